"""Measured scores against those that a suite expects: one verdict a row of ``expect`` and cell that it is about.

With the band of all values within the tolerance of the expected one, and the measured score's 95% interval,

- MET: the measured value lies in the band;
- NEAR: the value lies outside, but its interval reaches into the band: more samples would tell;
- MISSED: the whole interval lies outside, above or below; a score without an interval is judged by its value alone;
- NOT APPLICABLE: the cell was not sampled under the conditions of the figure: n, grid, reference or EMA weights;
- NOT MEASURED: there is no score of the cell, or it is not complete.

The interval covers the generated images of one checkpoint and one seed, not the published figure's own error, which is
what the tolerance is for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from diffbench.catalog import METRICS, SAMPLERS
from diffbench.diffusion.grid import time_grid
from diffbench.document.words import counted
from diffbench.errors import ScheduleError
from diffbench.suite.cell import Cell
from diffbench.suite.expect import Expectation

Word = Literal["MET", "NEAR", "MISSED", "NOT APPLICABLE", "NOT MEASURED"]
WORDS: tuple[Word, ...] = get_args(Word)

_SAME_POINT = 1e-9
"""Relative difference up to which two grid points are the same."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One verdict; all values in the metric's unit. ``low`` and ``high`` are the ends of the band.

    ``value`` and its interval are None where nothing was measured; ``reason`` says why there is no verdict.
    ``unverified``: why the published figure is to be taken with care, or None.
    """

    model: str
    sampler: str
    options: Mapping[str, Any]
    grid: str
    budget_kind: str | None
    budget: int | None
    n: int
    metric: str
    expected: float
    tolerance: str
    low: float
    high: float
    value: float | None
    ci_low: float | None
    ci_high: float | None
    verdict: Word
    reason: str | None
    source: str
    unverified: str | None

    @property
    def fails(self) -> bool:
        """Whether a verified figure was missed."""
        return self.verdict == "MISSED" and self.unverified is None


def verdict(band: tuple[float, float], value: float, interval: tuple[float, float] | None) -> Word:
    """MET, NEAR or MISSED: see the module's text."""
    low, high = band
    if low <= value <= high:
        return "MET"
    ends = interval or (value, value)
    return "NEAR" if ends[0] <= high and ends[1] >= low else "MISSED"


def expected(rows: Sequence[Expectation], cells: Sequence[Cell], scores: Iterable[Mapping[str, Any]]) -> list[Expected]:
    """Verdicts of every row on every cell of the plan that it is about, in the suite's order.

    Args:
        rows: the suite's ``expect``.
        cells: all cells of its plan, also those that were not run.
        scores: the rows of its results table.
    """
    known = {_key(score, score["options"], score["metric"]): score for score in scores}
    found = []
    for row in rows:
        for cell in cells:
            budget = None if cell.budget_kind is None or cell.budget is None else (cell.budget_kind, cell.budget)
            if row.selects(cell.model, cell.sampler, cell.options, budget):
                options = json.dumps(cell.options, sort_keys=True)
                where = {name: getattr(cell, name) for name in ("model", "sampler", "budget_kind", "budget")}
                found.append(_judged(row, cell, known.get(_key(where, options, row.metric))))
    return found


def _key(where: Mapping[str, Any], options: str, metric: str) -> tuple[Any, ...]:
    return where["model"], where["sampler"], options, where["budget_kind"], where["budget"], metric


def _judged(row: Expectation, cell: Cell, score: Mapping[str, Any] | None) -> Expected:
    value: float | None = None if score is None else score["value"]
    interval = None if score is None or score["ci_low"] is None else (score["ci_low"], score["ci_high"])
    word: Word
    if reason := _other_conditions(row, cell, score):
        word = "NOT APPLICABLE"
    elif reason := _unmeasured(cell, score):
        word = "NOT MEASURED"
    else:
        assert value is not None
        word = verdict(row.band, value, interval)
    low, high = row.band
    return Expected(
        model=cell.model,
        sampler=cell.sampler,
        options=cell.options,
        grid=cell.grid_label,
        budget_kind=cell.budget_kind,
        budget=cell.budget,
        n=cell.n,
        metric=row.metric,
        expected=row.value,
        tolerance=row.tolerance,
        low=low,
        high=high,
        value=value,
        ci_low=interval[0] if interval else None,
        ci_high=interval[1] if interval else None,
        verdict=word,
        reason=reason,
        source=row.source,
        unverified=row.unverified,
    )


def _other_conditions(row: Expectation, cell: Cell, score: Mapping[str, Any] | None) -> str | None:
    """What the cell was sampled or scored under, and the figure was not; None where all conditions are alike."""
    if row.ema is not None and row.ema != cell.card.ema:
        averaged = {True: "an average of the weights (EMA)", False: "the last weights, not their average"}
        return f"the model has {averaged[cell.card.ema]}, the figure is of {averaged[row.ema]}"
    if row.metric not in METRICS:
        return None
    if row.n != cell.n:
        return f"n is {cell.n:,}, the figure is of {row.n:,}"
    if row.reference is not None and (own := _other_reference(row.reference, cell, score)):
        return own
    return None if cell.skip is not None else _other_grid(row, cell)


def _other_reference(wanted: str, cell: Cell, score: Mapping[str, Any] | None) -> str | None:
    signature = None if score is None else score["signature"]
    digest = json.loads(signature)["comparable"].get("reference_sha256") if signature else None
    if wanted == cell.card.reference or (digest is not None and len(wanted) >= 8 and digest.startswith(wanted)):
        return None
    own = "no reference" if cell.card.reference is None else f"the reference {cell.card.reference}"
    return f"scored against {own}, the figure against {wanted}"


def _other_grid(row: Expectation, cell: Cell) -> str | None:
    """Grids are alike if they have the same noise levels, whatever their names."""
    if row.grid is None:
        return None
    wanted = row.grid.kind
    said = f"the grid is {cell.grid_label}, the figure's {wanted}"
    steps = _steps_asked(cell)
    if cell.grid is None or steps is None:
        return said
    try:
        grid = time_grid(cell.card.schedule_object(), steps, wanted, cell.grid.final, **row.grid.options)
    except ScheduleError:
        return said
    same = grid.steps == cell.grid.steps and np.allclose(grid.sigma, cell.grid.sigma, rtol=_SAME_POINT, atol=0.0)
    return None if same else said


def _steps_asked(cell: Cell) -> int | None:
    """The steps that a cell's budget is for; its grid may have fewer, where points coincide."""
    if cell.budget_kind != "nfe" or cell.budget is None or cell.grid is None:
        return cell.budget
    entry = SAMPLERS[cell.method]
    return entry.steps_within(cell.budget, cell.grid.final, entry.options.model_validate(cell.method_options))


def _unmeasured(cell: Cell, score: Mapping[str, Any] | None) -> str | None:
    if cell.skip is not None:
        return cell.skip
    if score is None:
        return "the cell is not among those of this run"
    if score["value"] is None or score["status"] != "ok":
        return str(score["reason"] or f"the score is {score['status']}")
    return None


def summary(found: Sequence[Expected]) -> str:
    """``3 expectations: 1 MET, 1 MISSED, 1 NOT APPLICABLE``, and how many of those missed are not verified."""
    counts = {word: sum(one.verdict == word for one in found) for word in WORDS}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    unverified = counts["MISSED"] - sum(one.fails for one in found)
    apart = f" ({unverified} of them unverified figures, which fail no run)" if unverified else ""
    return f"{counted(len(found), 'expectation')}: {said}{apart}"
