"""Stored shards to rows of the results table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from diffbench.catalog import COSTS, METRICS
from diffbench.errors import ScoringError, StoreError
from diffbench.results import Row
from diffbench.runner.distance import Distances
from diffbench.runner.features import StoredCell, read_features, stored_cell
from diffbench.runner.loaded import Loaded
from diffbench.runner.timing import Timing, block_median
from diffbench.scoring.interval import Score, score_without_error
from diffbench.scoring.metric import compute
from diffbench.scoring.signature import signature
from diffbench.status.code import scoring_code
from diffbench.status.score_cache import ScoreCache
from diffbench.status.stored import wanted
from diffbench.store.shards import Arrays, Flaw, Store
from diffbench.suite.choices import MetricChoice
from diffbench.suite.plan import Cell
from diffbench.suite.spec import Suite

QUANTISER = "round"


@dataclass(frozen=True)
class Scorer:
    """Makes the rows of a run's cells; ``probes`` are the digests that their shards have to carry.

    ``known`` are cells whose shards have been read already.
    """

    suite: Suite
    store: Store
    loaded: Loaded
    timing: Timing | None
    failed: Mapping[str, str]
    probes: Mapping[str, str]
    known: Mapping[str, StoredCell] = field(default_factory=dict)
    code: str = field(default_factory=scoring_code)

    @cached_property
    def distances(self) -> Distances:
        """From the stored cells to their converged solutions."""
        return Distances(self.store, self.loaded)

    def rows(self, cell: Cell) -> Iterator[Row]:
        """One row a metric, quality first, then cost."""
        stored, status = self._stored(cell)
        if isinstance(stored, Flaw):
            for metric in [*(m.name for m in self.suite.metrics), *COSTS]:
                yield self._row(cell, metric, status=status, reason=stored.reason)
            return
        yield from self._quality(cell, stored)
        for metric in COSTS:
            yield self._cost(cell, stored, metric)

    def _stored(self, cell: Cell) -> tuple[StoredCell | Flaw, str]:
        if cell.skip is not None:
            return Flaw("missing", cell.skip), "skipped"
        if cell.id in self.failed:
            return Flaw("missing", self.failed[cell.id]), "failed"
        stored: StoredCell | Flaw | None = self.known.get(cell.id)
        if stored is None:
            images = self.suite.run.keep.samples
            stored = stored_cell(self.store, cell, wanted(cell, images, self.probes.get(cell.id)))
        return stored, "ok" if isinstance(stored, StoredCell) else "incomplete"

    def needs_features(self, cell: Cell) -> bool:
        """Whether a score of a cell, all of whose shards were made, is not stored yet."""
        stored, _ = self._stored(cell)
        if isinstance(stored, Flaw):
            return True
        cache = ScoreCache.open(self.store.folder(cell.id), stored.digest, self.code)
        try:
            asked = [m for m in self.suite.metrics if cell.card.extractor or not METRICS[m.name].needs_extractor]
            return any(self._what(cell, metric) not in cache.scores for metric in asked)
        except StoreError:  # it is a converged solution itself, or its own is not complete
            return True

    def stored_score(self, cell: Cell, metric: str) -> tuple[float, Score] | None:
        """Evaluations per sample and the score of a metric, as they were stored; None where there is none."""
        stored, _ = self._stored(cell)
        choice = next(choice for choice in self.suite.metrics if choice.name == metric)
        if isinstance(stored, Flaw):
            return None
        cache = ScoreCache.open(self.store.folder(cell.id), stored.digest, self.code)
        try:
            score = cache.scores.get(self._what(cell, choice))
        except StoreError:
            return None
        return None if score is None else (stored.nfe, score)

    def _quality(self, cell: Cell, stored: StoredCell) -> Iterator[Row]:
        cache = ScoreCache.open(self.store.folder(cell.id), stored.digest, self.code)
        features: Arrays | None = None
        for metric in self.suite.metrics:
            if METRICS[metric.name].needs_extractor and cell.card.extractor is None:
                reason = f"{cell.card.name} has no feature extractor: its samples are no images of a data set"
                yield self._row(cell, metric.name, stored, reason=reason)
                continue
            try:
                what = self._what(cell, metric)
                if what not in cache.scores:
                    if METRICS[metric.name].needs_solution:
                        score = self._solver_error(cell, metric)
                    else:
                        features = features if features is not None else read_features(self.store, cell)
                        score = self._score(cell, metric.name, metric.options, features)
                    cache.add(what, score)
            except (ScoringError, StoreError) as error:
                status = "failed" if isinstance(error, ScoringError) else "incomplete"
                yield self._row(cell, metric.name, stored, status=status, reason=str(error))
                continue
            score = cache.scores[what]
            bounds = {"se": score.se, "ci_low": score.ci_low, "ci_high": score.ci_high}
            yield self._row(cell, metric.name, stored, value=score.value, **bounds, reason=score.reason, signature=what)
        cache.write()

    def _score(self, cell: Cell, metric: str, options: dict[str, Any], features: Arrays) -> Score:
        return compute(METRICS[metric], options, features, self.loaded.reference(cell))

    def _solver_error(self, cell: Cell, metric: MetricChoice) -> Score:
        solution = cell.solutions[metric.name]
        if isinstance(solution, str):
            return score_without_error(None, cell.n, solution)
        return self.distances.score(cell, solution, METRICS[metric.name])

    def _what(self, cell: Cell, metric: MetricChoice) -> str:
        """The score's signature. Raises StoreError if it needs a converged solution that is not complete."""
        if not METRICS[metric.name].needs_solution:
            return self._signature(cell, metric.name, metric.options)
        solution = cell.solutions.get(metric.name)
        if solution is None:
            raise StoreError(f"{cell.label} is compared with no converged solution")
        if isinstance(solution, str):
            return self._signature(cell, metric.name, {**metric.options, "solution": None})
        digests = {}
        for name, part in (("solution_sha256", solution.cell), ("half_sha256", solution.half)):
            stored, _ = self._stored(part)
            if isinstance(stored, Flaw):
                raise StoreError(f"the converged solution ({part.method}, {part.steps} steps): {stored.reason}")
            digests[name] = stored.digest
        return self._signature(cell, metric.name, {**metric.options, "solution": solution.label}, digests)

    def _signature(
        self, cell: Cell, metric: str, options: dict[str, Any], origin: Mapping[str, Any] | None = None
    ) -> str:
        uses = METRICS[metric].uses
        extractor = self.loaded.extractor(cell) if uses != "x0" else None
        reference = self.loaded.reference(cell) if uses == "features" else None
        return signature(
            metric=metric,
            n=cell.n,
            extractor_name=extractor.name if extractor else None,
            extractor_sha256=extractor.sha256 if extractor else None,
            reference_name=reference.name if reference else None,
            reference_sha256=reference.sha256 if reference else None,
            quantiser=QUANTISER if extractor else None,
            resize=extractor.resize if extractor else None,
            options=options,
            origin=origin,
        )

    def _cost(self, cell: Cell, stored: StoredCell, metric: str) -> Row:
        if self.timing is None:
            return self._row(cell, metric, stored, reason="the timing pass is off (timing.seconds: 0)")
        if (error := self.timing.errors.get(cell.id)) is not None:
            return self._row(cell, metric, stored, reason=f"could not be timed: {error}")
        blocks = self.timing.blocks.get(cell.id)
        if not blocks:
            box = f"{self.timing.limit:g} s"
            return self._row(cell, metric, stored, reason=f"the timing pass ended after {box}, before this cell's turn")
        batch = {"batch_size": self.timing.batch_size, "n": len(blocks) * self.timing.batch_size}
        if metric == "peak_memory_mb":
            peak = self.timing.peak_memory_mb.get(cell.id)
            reason = None if peak is not None else "the peak memory was not reached in time, or can't be read here"
            return self._row(cell, metric, stored, value=peak, reason=reason, **batch)
        middle = block_median(blocks)
        few = None if middle.ci_low is not None else f"{len(blocks)} blocks: an interval needs 6"
        value, low, high = middle.value, middle.ci_low, middle.ci_high
        if metric == "images_per_second":
            value, low, high = 1 / value, high and 1 / high, low and 1 / low
        return self._row(cell, metric, stored, value=value, ci_low=low, ci_high=high, reason=few, **batch)

    def _row(self, cell: Cell, metric: str, stored: StoredCell | None = None, **values: Any) -> Row:
        if metric in METRICS:
            unit, better = METRICS[metric].unit, METRICS[metric].better
        else:
            unit, better = COSTS[metric]
        shared: dict[str, Any] = {
            "suite": self.suite.name,
            "cell": cell.id,
            "model": cell.model,
            "family": cell.family,
            "sampler": cell.sampler,
            "options": json.dumps(cell.options, sort_keys=True),
            "grid": cell.grid_label,
            "budget_kind": cell.budget_kind,
            "budget": cell.budget,
            "steps": cell.steps,
            "nfe": stored.nfe if stored else None,
            "network_evals": stored.network_evals if stored else None,
            "n": cell.n,
            "metric": metric,
            "unit": unit,
            "better": better,
            "status": "ok",
            "batch_size": cell.batch_size,
            "device": stored.device if stored and metric in METRICS else str(self.loaded.device),
            "dtype": cell.dtype,
            "reference": cell.card.reference,
            "extractor": cell.card.extractor,
        }
        return Row(**{**shared, **values})
