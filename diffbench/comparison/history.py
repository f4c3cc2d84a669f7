"""Many runs as one history: every score over the runs, and which of its steps are real."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from diffbench.catalog import COSTS, METRICS
from diffbench.comparison.equality import features_equal
from diffbench.comparison.join import cell_key, differing_fields
from diffbench.comparison.multiple import holm, upper_tail
from diffbench.comparison.paired import FEWEST, Difference, paired
from diffbench.comparison.runs import RunEntry
from diffbench.comparison.side import Row, RunSide, score_of
from diffbench.comparison.verdict import ALPHA
from diffbench.errors import UsageError
from diffbench.scoring.interval import Score
from diffbench.suite.select import matching

Found = Literal["worse", "better", "same", "not told", "not tested"]
SECONDS = "seconds_per_image"


@dataclass(frozen=True)
class Point:
    """A score of one run; ``row`` is None where the run has no such cell or metric.

    Values of the same ``part`` are scores of the same thing; ``differs`` says by which fields a later part begins.
    """

    row: Row | None
    part: int
    differs: tuple[str, ...] = ()

    @property
    def value(self) -> float | None:
        """The score; None if it is missing."""
        return None if self.row is None else self.row["value"]

    @property
    def reason(self) -> str | None:
        """Why a value is missing, or what it rests on."""
        return "not in this run" if self.row is None else self.row["reason"]


@dataclass(frozen=True)
class Step:
    """A score's change from one run (its index) to a later one.

    ``p`` is two-sided, ``adjusted`` by Holm for all steps and changes of the history; None where nothing was tested.
    """

    first: int
    last: int
    difference: Difference
    p: float | None
    adjusted: float | None
    found: Found

    @property
    def real(self) -> bool:
        """Whether it is told from no change."""
        return self.found in ("worse", "better")


@dataclass(frozen=True)
class Series:
    """One metric of one cell over the runs.

    Attributes:
        row: the latest row, for what the cell is.
        points: one a run.
        steps: from each value to the next one of the same part.
        change: from the first value of the last part to its last; None with fewer than two.
    """

    row: Row
    points: tuple[Point, ...]
    steps: tuple[Step, ...]
    change: Step | None

    @property
    def metric(self) -> str:
        """The metric's name."""
        return str(self.row["metric"])

    @property
    def largest(self) -> Step | None:
        """The step that is clearest from no change: by its p-value, else by its size."""

        def clearness(step: Step) -> tuple[float, float]:
            return (2.0 if step.p is None else step.p, -abs(step.difference.value or 0.0))

        return min(self.steps, key=clearness, default=None)


@dataclass(frozen=True)
class History:
    """All series of some runs; ``alpha`` is the chance of one false alarm among all steps and changes."""

    runs: tuple[RunEntry, ...]
    series: tuple[Series, ...]
    alpha: float

    @property
    def tested(self) -> int:
        """How many steps and changes share ``alpha``."""
        changes = (s.change for s in self.series if s.change is not None and s.change not in s.steps)
        return sum(step.p is not None for step in (*(step for s in self.series for step in s.steps), *changes))


def history(
    runs: Sequence[RunEntry],
    metrics: Sequence[str] = (),
    only: str | None = None,
    alpha: float = ALPHA,
) -> History:
    """All scores of the runs, joined by what their cells mean.

    A step is the paired difference of a value and the one before it, as in ``compare``: sample i of both starts from
    the same noise. It is real if its two-sided p-value, adjusted by Holm over all steps and over the changes from first
    to last, is below ``alpha``. Scores of different things (another n, reference or extractor) have no difference;
    neither have costs, which can't be paired.

    Args:
        runs: in order.
        metrics: those to take; default: all of quality, and seconds per image.
        only: a rule for cells, as of ``run``.
        alpha: chance of one false alarm.

    Raises:
        UsageError: a metric that no run has, or a rule that no cell satisfies.
    """
    tables: list[dict[tuple[Any, ...], Row]] = [
        {(*cell_key(row), row["metric"]): row for row in run.side.rows} for run in runs
    ]
    latest: dict[tuple[Any, ...], Row] = {key: row for table in tables for key, row in table.items()}
    known = list(dict.fromkeys(row["metric"] for row in latest.values()))
    for metric in metrics:
        if metric not in known:
            raise UsageError(f"no run has the metric {metric!r}; they have {', '.join(known)}")
    wanted = metrics or [metric for metric in known if metric in METRICS or metric == SECONDS]
    latest = {key: row for key, row in latest.items() if row["metric"] in wanted}
    if only is not None:
        keys = list(latest)
        latest = {keys[i]: latest[keys[i]] for i in matching([_fields(row) for row in latest.values()], only)}
    cells: dict[tuple[Any, ...], list[Row]] = {}
    for key, row in latest.items():
        cells.setdefault(key[:-1], []).append(row)
    found = [series for rows in cells.values() for series in _of_cell(runs, tables, rows)]
    return History(tuple(runs), tuple(_judged(found, alpha)), alpha)


def _fields(row: Row) -> dict[str, object]:
    """What a rule of ``--only`` can name of a row."""
    named = {name: row[name] for name in ("model", "family", "sampler", "grid", "dtype", "nfe", "steps")}
    named |= {} if row["budget_kind"] is None else {row["budget_kind"]: row["budget"]}
    return named | {name: value for name, value in json.loads(row["options"]).items() if name not in named}


def _of_cell(
    runs: Sequence[RunEntry], tables: Sequence[dict[tuple[Any, ...], Row]], rows: Sequence[Row]
) -> Iterator[Series]:
    """The series of one cell; what is stored of its samples is let go with it."""
    sides = [RunSide(run.side.path, []) for run in runs]
    for latest in rows:
        key = (*cell_key(latest), latest["metric"])
        points = _points(runs, [table.get(key) for table in tables])
        scores = {
            i: score_of(sides[i], p.row) for i, p in enumerate(points) if p.row is not None and p.value is not None
        }

        def step(first: int, last: int, points: Sequence[Point] = points, scores: dict[int, Score] = scores) -> Step:
            difference = _difference(sides, points, scores, first, last)
            return Step(first, last, difference, _p_value(difference), None, "not tested")

        measured = list(scores)
        pairs = [pair for pair in zip(measured, measured[1:], strict=False) if _together(points, *pair)]
        steps = tuple(step(*pair) for pair in pairs)
        last_part = [i for i in measured if points[i].part == points[measured[-1]].part] if measured else []
        change = None
        if len(last_part) > 1:
            change = steps[-1] if len(last_part) == 2 else step(last_part[0], last_part[-1])
        yield Series(latest, points, steps, change)


def _together(points: Sequence[Point], first: int, last: int) -> bool:
    return points[first].part == points[last].part


def _points(runs: Sequence[RunEntry], rows: Sequence[Row | None]) -> tuple[Point, ...]:
    points: list[Point] = []
    before: tuple[RunEntry, Row] | None = None
    part = 0
    for run, row in zip(runs, rows, strict=True):
        told: tuple[str, ...] = ()
        if row is not None and row["value"] is not None:
            told = () if before is None else _told_apart(*before, run, row)
            part += bool(told)
            before = run, row
        points.append(Point(row, part, told))
    return tuple(points)


def _told_apart(first: RunEntry, one: Row, last: RunEntry, other: Row) -> tuple[str, ...]:
    """What makes two values scores of different things, as ``n: 160, then 240``; a cost's are device and batch."""
    if other["metric"] in COSTS:
        fields = [("device", first.side.device, last.side.device), ("batch", one["batch_size"], other["batch_size"])]
        fields = [field for field in fields if field[1] != field[2]]
    else:
        fields = differing_fields(one, other)
    return tuple(f"{name}: {_short(before)}, then {_short(after)}" for name, before, after in fields)


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text  # a hash


def _difference(
    sides: Sequence[RunSide], points: Sequence[Point], scores: dict[int, Score], first: int, last: int
) -> Difference:
    one, other = points[first].row, points[last].row
    assert one is not None and other is not None
    if other["metric"] in COSTS:
        reason = "a cost of separate runs can't be paired"
        value = other["value"] - one["value"]
        return Difference(one["value"], other["value"], value, None, None, None, other["n"] or 0, reason)
    found = paired(scores[first], scores[last])
    same = found.value == 0 and _same_features(sides, first, one["cell"], last, other["cell"])
    return replace(found, se=0.0, reason=None, equal=True) if same else found


def _same_features(sides: Sequence[RunSide], first: int, one: str, last: int, other: str) -> bool:
    return features_equal(sides[first], one, sides[last], other) is True


def _p_value(difference: Difference) -> float | None:
    if difference.value is None or not difference.se or difference.n < FEWEST:
        return None
    return min(1.0, 2 * upper_tail(abs(difference.value) / difference.se, difference.freedom))


def _judged(found: Sequence[Series], alpha: float) -> Iterator[Series]:
    """The series with all p-values adjusted together."""
    steps = [step for series in found for step in _all(series) if step.p is not None]
    adjusted = dict(zip(map(id, steps), holm([step.p for step in steps if step.p is not None]), strict=True))

    def judged(step: Step, lower: bool) -> Step:
        p = adjusted.get(id(step))
        word: Found = "same" if step.difference.equal else "not tested"
        if p is not None:
            harm = (step.difference.value or 0.0) * (1 if lower else -1)
            word = "not told" if p >= alpha else "worse" if harm > 0 else "better"
        return replace(step, adjusted=p, found=word)

    for series in found:
        lower = series.row["better"] == "lower"
        own = tuple(judged(step, lower) for step in series.steps)
        change = series.change
        if change is not None:
            change = own[-1] if change is series.steps[-1] else judged(change, lower)
        yield replace(series, steps=own, change=change)


def _all(series: Series) -> list[Step]:
    apart = series.change is not None and all(series.change is not step for step in series.steps)
    return [*series.steps, *([series.change] if apart and series.change is not None else [])]
