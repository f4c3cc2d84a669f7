"""What a run answers beside the best of each budget: what a quality costs, and what could be on the front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from diffbench.report.folder import RunFolder
from diffbench.report.frame import SECONDS, CellView, lower_is_better, models, title, unique
from diffbench.report.iso_quality import Cost, Needed, Point, Standing, needed, standing, targets
from diffbench.report.measured import Measured, number, with_interval
from diffbench.report.tables import Entry, Table


@dataclass(frozen=True)
class Curve:
    """What one sampler of a model needs for each of the model's targets."""

    model: str
    line: str
    points: tuple[Point, ...]
    needed: tuple[Needed, ...]


def curves(run: RunFolder, metric: str) -> list[Curve]:
    """One a model and line of the figures that has scored cells with known evaluations, in the table's order."""
    found = []
    lower = lower_is_better(run.cells, metric)
    for model in models(run.cells):
        lines: dict[str, list[Point]] = {}
        for cell in run.cells:
            if cell.model == model and cell.nfe is not None and cell.nfe > 0 and cell.value(metric) is not None:
                seconds = cell.value(SECONDS)
                timed = seconds if seconds is not None and seconds > 0 else None
                lines.setdefault(cell.line, []).append(Point(cell.nfe, timed, cell[metric]))
        wanted = targets(list(lines.values()), lower)
        for line, points in lines.items():
            asked = tuple(needed(points, target, lower) for target in wanted)
            found.append(Curve(model, line, tuple(points), asked))
    return found


def levels(curves: Sequence[Curve], model: str, count: int = 40) -> list[float]:
    """Scores from the lowest to the highest measured of a model: evenly in their logarithm where all are positive."""
    scores = [p.score.value for c in curves if c.model == model for p in c.points if p.score.value is not None]
    if not scores:
        return []
    low, high = min(scores), max(scores)
    if low > 0:
        return [low * (high / low) ** (i / (count - 1)) for i in range(count)]
    return [low + (high - low) * i / (count - 1) for i in range(count)]


def iso_table(found: Sequence[Curve], metric: str) -> Table | None:
    """Evaluations and seconds that each sampler needs to reach the targets; None without any."""
    rows: list[tuple[Entry, ...]] = []
    groups: list[int] = []
    for model in unique(curve.model for curve in found):
        mine = [curve for curve in found if curve.model == model]
        for index, need in enumerate(mine[0].needed):
            groups.append(len(rows))
            asked = sorted(((curve.line, curve.needed[index]) for curve in mine), key=lambda item: _order(item[1].nfe))
            least = min((n.nfe.value for _, n in asked if n.nfe.value is not None), default=math.inf)
            bounds = [n.nfe.at_most for _, n in asked if n.nfe.at_most is not None]
            for line, one in asked:
                best = one.nfe.at_most is not None or (one.nfe.value == least and all(least < b for b in bounds))
                texts = (model, f"{need.target:g}", line, cost_text(one.nfe), cost_text(one.seconds))
                why = one.nfe.reason or one.seconds.reason or ""
                rows.append((*(Entry(text, best and column == 2) for column, text in enumerate(texts)), Entry(why)))
    columns = ("model", title(metric), "sampler", "evaluations needed", "seconds per image", "note")
    return Table(columns, tuple(rows), (1, 3, 4), tuple(groups)) if rows else None


def _order(cost: Cost) -> tuple[int, float]:
    """Cheapest first: what was reached at the smallest measured cost, what was crossed, what did not suffice."""
    if cost.at_most is not None:
        return 0, cost.at_most
    return (2, 0.0) if cost.value is None else (1, cost.value)


def cost_text(cost: Cost) -> str:
    """``12.3 [9.80, 16.0]``; beyond the measured budgets ``≤ 5`` or ``> 50``, and ``?`` for the end of an interval."""
    bound = next((f"{word} {limit:.3g}" for word, limit in (("≤", cost.at_most), (">", cost.at_least)) if limit), None)
    value = bound or number(cost.value)
    if cost.low is None and cost.high is None:
        return value
    low, high = ("?" if end is None else number(end) for end in (cost.low, cost.high))
    return f"{value} [{low}, {high}]"


def _whole(cost: Cost) -> str | None:
    """A cost that was reached, in whole evaluations: ``about 7 [6, 8]``, ``at most 5``."""
    if cost.value is None or cost.at_most is not None:
        return None if cost.at_most is None else f"at most {math.ceil(cost.at_most)}"
    if cost.low is None and cost.high is None:
        return f"about {math.ceil(cost.value)}"
    low, high = ("?" if end is None else str(math.ceil(end)) for end in (cost.low, cost.high))
    return f"about {math.ceil(cost.value)} [{low}, {high}]"


def iso_sentence(found: Sequence[Curve], model: str, metric: str) -> str | None:
    """``evaluations to reach FID 6: dpmpp-2m about 7 [6, 8], heun at most 9; not reached by ddpm``: the middle target.

    In whole evaluations, rounded up.
    """
    mine = [curve for curve in found if curve.model == model and curve.needed]
    if not mine:
        return None
    place = len(mine[0].needed) // 2
    asked = [(curve.line, curve.needed[place]) for curve in mine]
    asked.sort(key=lambda item: _order(item[1].nfe))
    said = [f"{line} {text}" for line, n in asked if (text := _whole(n.nfe))]
    never = [line for line, n in asked if n.nfe.at_least is not None]
    missed = f"; not reached by {', '.join(never)}" if never else ""
    return f"evaluations to reach {title(metric)} {asked[0][1].target:g}: {', '.join(said)}{missed}" if said else None


def exact(value: float) -> Measured:
    """A value without an interval."""
    return Measured(value, None, None, None, "lower", "ok", None)


def costs(cell: CellView) -> dict[str, Measured]:
    """What a cell costs, by the axis of the figures; what is not known, or not positive, is left out."""
    found = {} if not cell.nfe or cell.nfe <= 0 else {"nfe": exact(cell.nfe)}
    seconds = cell.value(SECONDS)
    return found if seconds is None or seconds <= 0 else {**found, "seconds": cell[SECONDS]}


def untimed(cells: Sequence[CellView], metric: str) -> list[CellView]:
    """The scored cells of samplers that have no seconds per image, as where a timing pass ended early."""
    return [c for c in cells if not c.given and c.value(metric) is not None and "seconds" not in costs(c)]


def front_axis(cells: Sequence[CellView], metric: str) -> str:
    """``seconds`` where all scored cells were timed, else ``nfe``: a front of the timed alone is not the run's."""
    timed = any("seconds" in costs(c) and c.value(metric) is not None for c in cells)
    return "seconds" if timed and not untimed(cells, metric) else "nfe"


def standings(cells: Sequence[CellView], metric: str, axis: str) -> dict[int, Standing]:
    """Where each cell stands (by ``id()`` of the view) among those of its reference, extractor and n."""
    lower = lower_is_better(cells, metric)
    groups: dict[tuple[object, ...], list[CellView]] = {}
    for cell in cells:
        if axis in costs(cell) and cell.value(metric) is not None:
            groups.setdefault((cell.reference, cell.extractor, cell.n), []).append(cell)
    found: dict[int, Standing] = {}
    for group in groups.values():
        stands = standing([costs(c)[axis] for c in group], [c[metric] for c in group], lower)
        found |= {id(cell): stand for cell, stand in zip(group, stands, strict=True)}
    return found


def front_table(run: RunFolder, metric: str) -> Table | None:
    """The cells on the front, cheapest first, and those that the intervals leave room for; None where none is.

    Against seconds per image where all scored cells were timed, else against evaluations.
    """
    axis = front_axis(run.cells, metric)
    stands = standings(run.cells, metric, axis)
    scales = list(dict.fromkeys((c.reference, c.extractor, c.n) for c in run.cells if id(c) in stands))
    shown = [cell for cell in run.cells if stands.get(id(cell)) in ("front", "open")]
    shown.sort(key=lambda c: (scales.index((c.reference, c.extractor, c.n)), costs(c)[axis].value or 0.0))
    groups = [i for i, c in enumerate(shown) if not i or c.reference != shown[i - 1].reference or c.n != shown[i - 1].n]
    rows = [
        (
            Entry("front" if stands[id(c)] == "front" else "possible"),
            *(Entry(text, stands[id(c)] == "front") for text in (c.model, c.series)),
            Entry("–" if c.nfe is None else f"{c.nfe:.4g}"),
            Entry(number(c.value(SECONDS))),
            Entry(with_interval(c[metric])),
        )
        for c in shown
    ]
    columns = ("stands", "model", "sampler", "NFE", "s/image", title(metric))
    return Table(columns, tuple(rows), (3, 4, 5), tuple(groups)) if rows else None


def front_sentence(cells: Sequence[CellView], metric: str, axis: str, most: int = 6) -> str | None:
    """``FID against seconds per image, cheapest first: dpmpp-2m @ NFE 5, …``, the front of one model's cells."""
    words = "seconds per image" if axis == "seconds" else "NFE"
    stands = standings(cells, metric, axis)
    front = [cell for cell in cells if stands.get(id(cell)) == "front"]
    if not front:
        return None
    front.sort(key=lambda cell: costs(cell)[axis].value or 0.0)
    said = [cell.name for cell in front[:most]]
    more = [f"{len(front) - most} more"] if len(front) > most else []
    possible = sum(stand == "open" for stand in stands.values())
    room = f"; the intervals leave room for {possible} more" if possible else ""
    return f"front of {title(metric)} against {words}, cheapest first: {', '.join([*said, *more])}{room}"
