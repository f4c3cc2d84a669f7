"""What is missing in a run, and why: once for each group of cells and reason."""

from __future__ import annotations

from collections.abc import Sequence

from diffbench.document.words import counted
from diffbench.report.frame import CellView, models, quality_metrics, title, unique
from diffbench.report.tables import Entry, Table

_MOST_REASONS = 3


def gaps(cells: Sequence[CellView]) -> Table:
    """Values that are missing or incomplete, with their reasons; whole cells first.

    One row for each group of cells and reason, whatever number of metrics it is about.
    """
    whole: dict[tuple[str, str], list[CellView]] = {}
    part: dict[tuple[str, str, str], list[CellView]] = {}
    for cell in cells:
        lacking = {m: s for m, s in cell.scores.items() if s.value is None or s.status != "ok"}
        why = {
            m: ("missing" if s.status == "ok" else s.status, s.reason or "no reason given") for m, s in lacking.items()
        }
        if len(lacking) == len(cell.scores) and len(set(why.values())) == 1:
            whole.setdefault(next(iter(why.values())), []).append(cell)
        else:
            for metric, reason in why.items():
                part.setdefault((metric, *reason), []).append(cell)
    together: dict[tuple[tuple[int, ...], str, str], tuple[list[str], list[CellView]]] = {}
    for (metric, status, said), found in part.items():
        metrics, _ = together.setdefault((tuple(map(id, found)), status, said), ([], found))
        metrics.append(title(metric))
    left = len(cells) - sum(map(len, whole.values()))
    rows = [(_where(found, cells), "everything", *why) for why, found in whole.items()]
    every = "all other cells" if whole else "all cells"
    rows += [
        (every if len(found) == left else _where(found, cells), ", ".join(metrics), status, said)
        for (_, status, said), (metrics, found) in together.items()
    ]
    return Table(("cells", "what", "status", "reason"), tuple(tuple(map(Entry, row)) for row in rows))


def _where(found: Sequence[CellView], cells: Sequence[CellView]) -> str:
    """``all cells``, ``all of ldm-mnist; ddpm-mnist · heun @ NFE 5 and 10``."""
    if len(found) == len(cells):
        return "all cells"
    said: list[str] = []
    for model in models(found):
        mine = [cell for cell in found if cell.model == model]
        if len(mine) == sum(cell.model == model for cell in cells):
            said.append(f"all of {model}")
            continue
        lines: dict[str, list[str]] = {}
        for cell in mine:
            lines.setdefault(f"{model} · {cell.series}", []).append(cell.budget_label)
        said += [f"{name} @ {listed_budgets(budgets)}" for name, budgets in lines.items()]
    return "; ".join(said)


def listed_budgets(budgets: Sequence[str]) -> str:
    """``NFE 5, 10 and 20``."""
    first, *rest = budgets
    word = first.partition(" ")[0] + " "
    short = [first, *(b.removeprefix(word) for b in rest)]
    return short[0] if not rest else ", ".join(short[:-1]) + " and " + short[-1]


def unscored(cells: Sequence[CellView]) -> list[str]:
    """In a sentence each, the models of which no cell has any score of quality, and why; empty if all have one."""
    quality = quality_metrics(cells)
    without = {cell.model for cell in cells} - {c.model for c in cells if any(c.value(m) is not None for m in quality)}
    told: dict[str, list[str]] = {}
    for model in models(cells):
        if model in without:
            told.setdefault(why_missing([c for c in cells if c.model == model], quality), []).append(model)
    every = len(without) == len(models(cells))
    if every and len(told) == 1:
        return [f"No cell was scored: {why}." for why in told]
    return [f"No cell of {', '.join(names)} was scored: {why}." for why, names in told.items()]


def without_interval(cells: Sequence[CellView]) -> list[str]:
    """In a sentence each, the metrics whose values have no interval, and why."""
    told = []
    for metric in quality_metrics(cells):
        scored = [cell for cell in cells if cell.value(metric) is not None]
        bare = [cell[metric].reason for cell in scored if cell[metric].low is None]
        if bare:
            of = "" if len(bare) == len(scored) else f" in {len(bare)} of {counted(len(scored), 'cell')}"
            why = unique(reason or "no reason given" for reason in bare)
            told.append(f"{title(metric)} has no ±{of}: {'; '.join(why[:_MOST_REASONS])}.")
    return told


def why_missing(cells: Sequence[CellView], metrics: Sequence[str]) -> str:
    """Why these cells lack these scores: the distinct reasons, the first few of them."""
    lacking = [cell[metric] for cell in cells for metric in metrics if cell.value(metric) is None]
    reasons = unique(one.reason or f"{one.status}, no reason given" for one in lacking)
    if not reasons:
        return "the suite asks for no metric of quality"
    more = [f"{len(reasons) - _MOST_REASONS} more reasons"] if len(reasons) > _MOST_REASONS else []
    return "; ".join([*reasons[:_MOST_REASONS], *more])
