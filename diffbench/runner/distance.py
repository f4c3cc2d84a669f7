"""A cell's stored samples against its converged solution, and whether that is converged enough to be held against."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from diffbench.catalog import MetricEntry, load
from diffbench.runner.features import read_features, read_x0
from diffbench.scoring.interval import Score, score_without_error
from diffbench.store.shards import Store
from diffbench.suite.cell import Cell, Solution


def distance(store: Store, cell: Cell, solution: Solution, entry: MetricEntry) -> Score:
    """The metric between a cell and its solution; how far the solution moves at half its steps stands in the reason.

    A value below that movement is null: the solution's own error may be as large. Raises StoreError, ScoringError.
    """
    function = load(entry.target)
    full = _values(store, solution.cell, entry)
    moved = function(_values(store, solution.half, entry), full).value
    score: Score = function(_values(store, cell, entry), full)
    method = f"{solution.cell.method}, {solution.cell.steps} steps"
    said = f"the converged solution ({method}) moves by {moved:.3g} when its steps are halved"
    if score.value is not None and score.value < moved:
        return score_without_error(None, cell.n, f"below what can be told: {score.value:.3g}, but {said}")
    return Score(
        score.value,
        score.se,
        score.ci_low,
        score.ci_high,
        score.n,
        score.influence,
        said if score.reason is None else f"{score.reason}; {said}",
    )


def _values(store: Store, cell: Cell, entry: MetricEntry) -> NDArray[Any]:
    if entry.uses == "x0":
        return read_x0(store, cell)["x0"]
    return read_features(store, cell)["features"]
