"""What the table says, in words: the best sampler at each budget, and whether the ODE samplers agree.

Plain rules, stated wherever their results are shown. *Not told apart* from the best of a budget: no paired test of all
its cells finds one that is better (``comparison/ranking.py``); where a run has no values per sample beside its table,
the 95% intervals overlap. *Not tested*: there is no such test of a cell, or no such interval. *Still moving*: a
sampler's score changed by more than its interval's half-width between its last two budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diffbench.report.folder import RunFolder
from diffbench.report.frame import CellView, lower_is_better, models, scale, title
from diffbench.report.measured import alike, joined, number, with_interval

Worse = Callable[[Sequence[CellView], str], list[bool | None] | None]
"""(cells, metric) -> for each whether another is better by a paired test, None for one that none can be made of; None
as a whole where none can be made at all."""


def asked_once(worse: Worse) -> Worse:
    """The same, testing the same cells only once: the tests of a large run take seconds."""
    known: dict[tuple[object, ...], list[bool | None] | None] = {}

    def ask(cells: Sequence[CellView], metric: str) -> list[bool | None] | None:
        key = (metric, *map(id, cells))
        if key not in known:
            known[key] = worse(cells, metric)
        return known[key]

    return ask


@dataclass(frozen=True)
class Best:
    """The best cell of a model at one budget, and those not told apart from it, ``paired`` or by their intervals.

    ``untested`` are those of which nothing can be said: no paired test, or no interval.
    """

    model: str
    budget: str
    cell: CellView
    ties: tuple[CellView, ...]
    untested: tuple[CellView, ...]
    compared: int
    paired: bool


@dataclass(frozen=True)
class Agreement:
    """Whether a model's deterministic ODE samplers agree at its largest budget; ``agree`` None: can't be said."""

    model: str
    agree: bool | None
    sentences: tuple[str, ...]


def overlap(one: CellView, other: CellView, metric: str) -> bool | None:
    """Whether two cells' intervals overlap; None if one has no interval."""
    a, b = one[metric], other[metric]
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None
    return a.low <= b.high and b.low <= a.high


def _measured(cells: Sequence[CellView], metric: str) -> list[CellView]:
    """Cells with a value, best first."""
    sign = 1.0 if lower_is_better(cells, metric) else -1.0
    values = [(sign * value, index) for index, c in enumerate(cells) if (value := c.value(metric)) is not None]
    return [cells[index] for _, index in sorted(values)]


def best_cell(cells: Sequence[CellView], metric: str) -> CellView | None:
    """The cell with the best value; None if none has one."""
    return next(iter(_measured(cells, metric)), None)


def best_per_budget(cells: Sequence[CellView], metric: str, worse: Worse | None = None) -> list[Best]:
    """The best sampler of every model and budget, budgets ascending within a model, for each scale of its scores.

    Given images are the work of no sampler, and not among them.
    """
    found = []
    for model in models(cells):
        mine = [cell for cell in cells if cell.model == model and not cell.given]
        budgets = sorted({(c.budget is None, c.budget_kind or "", c.budget or 0, c.budget_label) for c in mine})
        for *_, label in budgets:
            for ranked in _of_one_scale([cell for cell in mine if cell.budget_label == label], metric):
                tested = None if worse is None else worse(ranked, metric)
                told = _by_intervals(ranked, metric) if tested is None else tested
                if told[0] is None:  # what was tested was tested against others than the best
                    told = [apart or None for apart in told]
                ties, untested = (
                    tuple(cell for cell, apart in zip(ranked[1:], told[1:], strict=True) if apart is wanted)
                    for wanted in (False, None)
                )
                found.append(Best(model, label, ranked[0], ties, untested, len(ranked), tested is not None))
    return found


def _by_intervals(ranked: Sequence[CellView], metric: str) -> list[bool | None]:
    """For each of the cells whether its interval lies apart from that of the first; None where one has no interval."""
    overlaps = [overlap(ranked[0], cell, metric) for cell in ranked]
    return [None if overlapping is None else not overlapping for overlapping in overlaps]


def _of_one_scale(cells: Sequence[CellView], metric: str) -> list[list[CellView]]:
    """Cells with a value, best first, those whose scores are of different things apart."""
    groups: dict[tuple[object, ...], list[CellView]] = {}
    for cell in _measured(cells, metric):
        groups.setdefault(scale(cell, metric), []).append(cell)
    return list(groups.values())


def agreements(run: RunFolder, metric: str) -> list[Agreement]:
    """One statement a model of which a deterministic sampler was scored at a budget."""
    found = []
    for model in models(run.cells):
        mine = [cell for cell in run.cells if cell.model == model]
        if solved := _ode_samplers(run, mine, metric):
            found.append(_agreement(run, model, mine, solved, metric))
    return found


def _ode_samplers(run: RunFolder, cells: Sequence[CellView], metric: str) -> list[CellView]:
    """Scored cells of samplers known to be deterministic; of samplers that share samples only the first."""
    distinct: dict[str, CellView] = {}
    for cell in cells:
        if cell.value(metric) is not None and cell.budget is not None and run.stochastic(cell) is False:
            distinct.setdefault(cell.id, cell)
    return list(distinct.values())


def _agreement(
    run: RunFolder, model: str, cells: Sequence[CellView], solved: Sequence[CellView], metric: str
) -> Agreement:
    label = max(solved, key=lambda cell: (cell.budget_kind == "nfe", cell.budget or 0)).budget_label
    there = [cell for cell in solved if cell.budget_label == label]
    texts = alike([cell[metric] for cell in there])
    named = ", ".join(f"{cell.series} {joined(text)}" for cell, text in zip(there, texts, strict=True))
    absent = [c for c in cells if c.budget_label == label and c.value(metric) is None and run.stochastic(c) is False]
    verbs = {"ok": "was not scored", "incomplete": "is incomplete", "skipped": "was skipped", "failed": "failed"}
    missing = tuple(f"{cell.series} {verbs[cell.status]} there." for cell in absent)
    if len(there) < 2:
        return Agreement(model, None, (f"Only one deterministic sampler was scored at {label}: {named}.", *missing))
    pairs = [(a, b) for i, a in enumerate(there) for b in there[i + 1 :]]
    if any(overlap(a, b, metric) is None for a, b in pairs):
        return Agreement(model, None, (f"At {label} not all scores have an interval: {named}.", *missing))
    apart = [(a, b) for a, b in pairs if not overlap(a, b, metric)]
    if not apart:
        return Agreement(model, True, (f"At {label} all intervals of {title(metric)} overlap: {named}.", *missing))
    said = [f"At {label} not all intervals of {title(metric)} overlap: {named}."]
    said.append("Apart: " + "; ".join(f"{a.series} from {b.series}" for a, b in apart) + ".")
    return Agreement(model, False, (*said, *_reasons(run, solved, apart, metric), *missing))


@dataclass(frozen=True)
class _Move:
    """A sampler's change between its last two budgets."""

    series: str
    change: float
    moving: bool
    sentence: str


def _move(run: RunFolder, solved: Sequence[CellView], last: CellView, metric: str) -> _Move | None:
    earlier = [c for c in solved if c.series == last.series and c.budget_kind == last.budget_kind]
    earlier = [c for c in earlier if (c.budget or 0) < (last.budget or 0)]
    if not earlier:
        return None
    before = max(earlier, key=lambda cell: cell.budget or 0)
    old, new, half = before.value(metric), last.value(metric), last[metric].half_width
    if old is None or new is None or half is None:
        return None
    order = run.order(last)
    name = last.series if order is None else f"{last.series} (order {order})"
    step = f"{with_interval(before[metric])} at {before.budget_label}"
    moving = abs(new - old) > half
    return _Move(last.series, new - old, moving, f"{name} {'still moves' if moving else 'has settled'}: it was {step}.")


def _reasons(
    run: RunFolder, solved: Sequence[CellView], apart: Sequence[tuple[CellView, CellView]], metric: str
) -> list[str]:
    """What each sampler that lies apart did between its last two budgets, and what follows from it."""
    involved = {cell.series: cell for pair in apart for cell in pair}
    moves = [move for cell in involved.values() if (move := _move(run, solved, cell, metric)) is not None]
    return [*(move.sentence for move in moves), _conclusion(moves)]


def _conclusion(moves: Sequence[_Move]) -> str:
    if not moves:
        return "With a single budget the run can't say whether discretisation error is the reason."
    most = max(moves, key=lambda move: abs(move.change))
    if not most.moving:
        return (
            "None moves any more by more than its interval's half-width, so discretisation error that more steps would "
            "remove does not explain the difference; the last step, clipping or the grid may."
        )
    others = ", ".join(f"{move.series} {number(abs(move.change), 2)}" for move in moves if move is not most)
    against = f", the others less ({others})" if others else ""
    return (
        f"{most.series} moved most, by {number(abs(most.change), 2)}{against}: its discretisation error is not yet "
        "small at this budget, which is the likeliest reason for the difference."
    )
