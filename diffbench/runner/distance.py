"""Cells' stored samples against their converged solutions, and the orders that the distances fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from diffbench.catalog import METRICS, TOLERANCES, MetricEntry, load
from diffbench.errors import ScoringError, StoreError
from diffbench.runner.features import read_features, read_x0
from diffbench.runner.loaded import Loaded
from diffbench.scoring.images import quantise
from diffbench.scoring.interval import Score, score_without_error
from diffbench.scoring.solver_error import RESOLVED, fitted_order, own_error, resolved, rmse_per_sample, rounded_apart
from diffbench.store.atomic import remove
from diffbench.store.sealed import write_sealed
from diffbench.store.shards import Store
from diffbench.suite.cell import Cell, Solution

if TYPE_CHECKING:
    from diffbench.runner.scores import Scorer

CONVERGENCE = "convergence.json"
_ROUNDED = 64  # samples that show how far rounding moves features


@dataclass
class Distances:
    """Distances between the cells of a store and their solutions; each solution's own error is worked out once."""

    store: Store
    loaded: Loaded
    _own: dict[tuple[str, str], float] = field(default_factory=dict)

    def score(self, cell: Cell, solution: Solution, entry: MetricEntry) -> Score:
        """The metric, told as far as the solution's own error allows. Raises StoreError, ScoringError."""
        samples, exact = (self._values(one, entry) for one in (cell, solution.cell))
        score: Score = load(entry.target)(samples, exact)
        return resolved(score, self.own_error(solution, entry), solution.label)

    def own_error(self, solution: Solution, entry: MetricEntry) -> float:
        """How exact the solution is, in the metric's terms: features not beyond what rounding to 8 bits hides.

        Raises StoreError, ScoringError.
        """
        key = (solution.cell.id, entry.uses)
        if key not in self._own:
            own = own_error(*(self._values(one, entry) for one in (solution.cell, solution.half)))
            self._own[key] = own if entry.uses == "x0" else max(own, self._rounding(solution.cell))
        return self._own[key]

    def _rounding(self, cell: Cell) -> float:
        extractor, model = self.loaded.extractor(cell), self.loaded.model(cell)
        assert extractor is not None
        x0 = torch.from_numpy(read_x0(self.store, cell)["x0"][:_ROUNDED]).to(self.loaded.device)
        with torch.inference_mode():
            images = quantise(model.codec.decode(x0)).cpu()
        again = torch.from_numpy(rounded_apart(images.numpy()))
        return float(rmse_per_sample(*(extractor(one).features.numpy() for one in (again, images))).mean())

    def _values(self, cell: Cell, entry: MetricEntry) -> NDArray[Any]:
        return read_x0(self.store, cell)["x0"] if entry.uses == "x0" else read_features(self.store, cell)["features"]


def write_convergence(folder: Path, cells: Sequence[Cell], scorer: Scorer) -> None:
    """Write ``convergence.json``: every solution's own error, and the fitted order of every sampler on every model.

    No such file is left where no metric needs a solution. Raises StoreError.
    """
    metrics = [metric.name for metric in scorer.suite.metrics if METRICS[metric.name].needs_solution]
    content = {name: _of_metric(cells, scorer, name) for name in metrics}
    if any(entry["orders"] for entry in content.values()):
        write_sealed(folder / CONVERGENCE, content)
    elif (folder / CONVERGENCE).exists():
        remove(folder / CONVERGENCE)


def _of_metric(cells: Sequence[Cell], scorer: Scorer, metric: str) -> dict[str, Any]:
    solutions: dict[str, dict[str, Any]] = {}
    series: dict[str, list[tuple[Cell, float, Score, float]]] = {}
    for cell in cells:
        solution, found = cell.solutions.get(metric), scorer.stored_score(cell, metric)
        if not isinstance(solution, Solution) or found is None:
            continue
        try:
            own = scorer.distances.own_error(solution, METRICS[metric])
        except (StoreError, ScoringError):
            continue
        name = {"model": cell.model, "solution": solution.label, "sigma_max": solution.sigma_max, "n": cell.n}
        solutions[solution.cell.id] = {**name, "own_error": own, "resolved": RESOLVED * own}
        options = {key: v for key, v in cell.options.items() if cell.budget is not None or key not in TOLERANCES}
        own_name = {"model": cell.model, "sampler": cell.sampler, "options": options, "grid": cell.grid_label}
        series.setdefault(json.dumps(own_name, sort_keys=True), []).append((cell, *found, own))
    orders = []
    for who, points in series.items():
        fit = _fit(points, metric)
        said = {"order": fit.value, "ci_low": fit.ci_low, "ci_high": fit.ci_high, "n": fit.n, "reason": fit.reason}
        orders.append({**json.loads(who), **said})
    return {"solutions": solutions, "orders": orders}


def _fit(points: Sequence[tuple[Cell, float, Score, float]], metric: str) -> Score:
    """The order over points (cell, evaluations, score, its solution's own error) of one sampler."""
    cells, *columns = zip(*points, strict=True)
    if any(cell.budget is None for cell in cells):
        reason = "it chooses its own steps: how errors fall with evaluations is the step control's doing as well"
        return score_without_error(None, cells[0].n, reason)
    if len({cell.solutions[metric].cell.id for cell in cells}) > 1:
        reason = "its budgets start or land at different noise levels: errors against different solutions"
        return score_without_error(None, cells[0].n, reason)
    return fitted_order(*columns)
