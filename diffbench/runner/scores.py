"""Stored shards to rows of the results table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import save

from diffbench.atomic import write_atomically
from diffbench.catalog import COSTS, METRICS, load
from diffbench.errors import ScoringError, StoreError
from diffbench.results import Row
from diffbench.runner.loaded import Loaded
from diffbench.runner.store import Arrays, Store, shard_ranges
from diffbench.runner.timing import Timing, block_median
from diffbench.scoring.interval import Score
from diffbench.scoring.signature import signature
from diffbench.suite.plan import Cell
from diffbench.suite.spec import Suite

QUANTISER = "round"


@dataclass(frozen=True)
class CellSamples:
    """All features and logits of a cell, in index order; mean counted evaluations; the devices that sampled it."""

    features: Arrays
    nfe: float
    network_evals: float
    device: str


def read_cell(store: Store, cell: Cell) -> CellSamples:
    """Join a cell's shards. Raises StoreError if one is missing or altered."""
    parts, nfe, evals, devices = [], 0.0, 0.0, set()
    for shard in shard_ranges(cell.n, cell.shard):
        arrays, manifest = store.read(cell.id, shard)
        parts.append(arrays)
        share = (shard.last - shard.first) / cell.n
        nfe += share * manifest["nfe"]
        evals += share * manifest["network_evals"]
        devices.add(str(manifest["device"]))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in ("features", "logits")}
    return CellSamples(joined, nfe, evals, "+".join(sorted(devices)))


@dataclass(frozen=True)
class Scorer:
    """Makes the rows of a run's cells."""

    suite: Suite
    store: Store
    loaded: Loaded
    timing: Timing | None
    failed: dict[str, str]

    def rows(self, cell: Cell) -> Iterator[Row]:
        """One row a metric, quality first, then cost."""
        reason, status = self._why_not(cell)
        samples = None
        if reason is None:
            try:
                samples = read_cell(self.store, cell)
            except StoreError as error:
                status, reason = "incomplete", str(error)
        if samples is None:
            for metric in [*(m.name for m in self.suite.metrics), *self._costs()]:
                yield self._row(cell, metric, status=status, reason=reason)
            return
        yield from self._quality(cell, samples)
        for metric in self._costs():
            yield self._cost(cell, samples, metric)

    def _why_not(self, cell: Cell) -> tuple[str | None, str]:
        if cell.skip is not None:
            return cell.skip, "skipped"
        if cell.id in self.failed:
            return self.failed[cell.id], "failed"
        return None, "ok"

    def _costs(self) -> tuple[str, ...]:
        return tuple(COSTS)

    def _quality(self, cell: Cell, samples: CellSamples) -> Iterator[Row]:
        influence: Arrays = {}
        for metric in self.suite.metrics:
            try:
                score = self._score(cell, metric.name, metric.options, samples)
            except ScoringError as error:
                yield self._row(cell, metric.name, samples, status="failed", reason=str(error))
                continue
            if score.influence is not None:
                influence[metric.name] = score.influence
            yield self._row(
                cell,
                metric.name,
                samples,
                value=score.value,
                se=score.se,
                ci_low=score.ci_low,
                ci_high=score.ci_high,
                reason=score.reason,
                signature=self._signature(cell, metric.name, metric.options),
            )
        path = self.store.folder(cell.id) / "scores.safetensors"
        data = save(influence)
        if not path.exists() or path.read_bytes() != data:
            write_atomically(path, data)

    def _score(self, cell: Cell, metric: str, options: dict[str, Any], samples: CellSamples) -> Score:
        function = load(METRICS[metric].target)
        if METRICS[metric].uses == "logits":
            score: Score = function(samples.features["logits"], **options)
        else:
            score = function(samples.features["features"], self.loaded.reference(cell), **options)
        return score

    def _signature(self, cell: Cell, metric: str, options: dict[str, Any]) -> str:
        extractor, reference = self.loaded.extractor(cell), self.loaded.reference(cell)
        uses_reference = METRICS[metric].uses == "features"
        return signature(
            metric=metric,
            n=cell.n,
            extractor_name=extractor.name,
            extractor_sha256=extractor.sha256,
            reference_name=reference.name if uses_reference else None,
            reference_sha256=reference.sha256 if uses_reference else None,
            quantiser=QUANTISER,
            resize="none",
            options=options,
        )

    def _cost(self, cell: Cell, samples: CellSamples, metric: str) -> Row:
        if self.timing is None:
            return self._row(cell, metric, samples, reason="the timing pass is off (timing.seconds: 0)")
        if (error := self.timing.errors.get(cell.id)) is not None:
            return self._row(cell, metric, samples, reason=f"could not be timed: {error}")
        blocks = self.timing.blocks.get(cell.id)
        if not blocks:
            box = f"{self.timing.limit:g} s"
            return self._row(
                cell, metric, samples, reason=f"the timing pass ended after {box}, before this cell's turn"
            )
        batch = {"batch_size": self.timing.batch_size, "n": len(blocks) * self.timing.batch_size}
        if metric == "peak_memory_mb":
            peak = self.timing.peak_memory_mb.get(cell.id)
            reason = None if peak is not None else "the peak memory was not reached in time, or can't be read here"
            return self._row(cell, metric, samples, value=peak, reason=reason, **batch)
        middle = block_median(blocks)
        few = None if middle.ci_low is not None else f"{len(blocks)} blocks: an interval needs 6"
        value, low, high = middle.value, middle.ci_low, middle.ci_high
        if metric == "images_per_second":
            value, low, high = 1 / value, high and 1 / high, low and 1 / low
        return self._row(cell, metric, samples, value=value, ci_low=low, ci_high=high, reason=few, **batch)

    def _row(self, cell: Cell, metric: str, samples: CellSamples | None = None, **values: Any) -> Row:
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
            "nfe": samples.nfe if samples else None,
            "network_evals": samples.network_evals if samples else None,
            "n": cell.n,
            "metric": metric,
            "unit": unit,
            "better": better,
            "status": "ok",
            "batch_size": cell.batch_size,
            "device": samples.device if samples and metric in METRICS else str(self.loaded.device),
            "dtype": cell.dtype,
            "reference": cell.card.reference,
            "extractor": cell.card.extractor,
        }
        return Row(**{**shared, **values})
