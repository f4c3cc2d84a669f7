"""Suites without any difference, made of two runs of one suite by exchanging their samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbench.catalog import METRICS, MetricEntry
from diffbench.comparison.paired import Difference, paired
from diffbench.comparison.side import Row, RunSide, score_of
from diffbench.document.words import counted
from diffbench.runner.features import read_features
from diffbench.runner.loaded import Loaded
from diffbench.scoring.interval import Score, score_from_influence
from diffbench.scoring.metric import compute
from diffbench.scoring.reference import Reference
from diffbench.status.show import duration
from diffbench.store.shards import Store
from diffbench.suite.choices import MetricChoice
from diffbench.suite.plan import Cell

USEFUL = 20
"""Null suites below which fewer cells are taken rather than fewer suites."""
_MEANS = frozenset({"precision", "density", "memorisation", "solver_error", "solver_error_features"})
"""Metrics that are means of one value a sample: what is stored of them is enough to score any choice of samples."""

Heads = NDArray[np.bool_]
Scored = Callable[[Heads], tuple[Score, Score]]
Pair = tuple[Cell, Cell, int]


@dataclass(frozen=True)
class Null:
    """A score's difference in a null suite."""

    metric: str
    difference: Difference


@dataclass
class NullSuites:
    """Draws them from the two ``sides``, of n samples a cell; ``notes`` gather what can't be tested, and why."""

    metrics: Sequence[MetricChoice]
    n: int
    loaded: Loaded
    sides: tuple[RunSide, RunSide]
    tell: Callable[[str], None]
    notes: dict[str, None] = field(default_factory=dict)

    def draw(self, pairs: Sequence[Pair], suites: int, seconds: float) -> tuple[list[list[Null]], int]:
        """The suites' differences, and of how many cells they are.

        ``pairs`` are a cell of either side and the number of cells that share its samples. Cell by cell, so that the
        features of one are in memory at a time; coin i of suite s is the same for all. Where the time box ends before,
        there are fewer suites, and where it does not hold ``USEFUL`` of them, fewer cells. Raises StoreError.
        """
        end = time.monotonic() + seconds
        drawn: list[list[Null]] = [[] for _ in range(suites)]
        queue, used = list(pairs), 0
        while queue:
            one, other, copies = queue.pop(0)
            used += 1
            scored = list(self._scored(one, other))
            self._extend([[]], scored, copies)  # what is worked out once, of the reference, is not to be timed
            begun = time.monotonic()
            self._extend(drawn[:1], scored, copies)
            took = max(time.monotonic() - begun, 1e-6)
            if used == 1:
                queue = _fitting(queue, took, seconds)
                whole = (len(queue) + 1) * suites * took
                boxed = f"; the time box is {duration(seconds)}" if whole > seconds else ""
                told = f"{counted(suites, 'null suite')} of {counted(len(queue) + 1, 'cell')}"
                self.tell(f"{told}: about {duration(whole)}{boxed}")
            left = (end - time.monotonic()) / (len(queue) + 1)
            drawn = drawn[: 1 + max(0, int(left / took))]
            self._extend(drawn, scored, copies, begin=1)
        return drawn, used

    def _extend(
        self, drawn: Sequence[list[Null]], scored: Sequence[tuple[str, Scored]], copies: int, begin: int = 0
    ) -> None:
        for number in range(begin, len(drawn)):
            heads = np.random.default_rng([0, number]).random(self.n) < 0.5
            for metric, score in scored:
                drawn[number] += [Null(metric, paired(*score(heads)))] * copies

    def _scored(self, one: Cell, other: Cell) -> Iterator[tuple[str, Scored]]:
        """For each metric with values per sample what scores both sides of an exchange."""
        arrays: list[Mapping[str, NDArray[Any]]] = []
        for choice in self.metrics:
            entry = METRICS[choice.name]
            found = [_score(side, cell, choice.name) for side, cell in zip(self.sides, (one, other), strict=True)]
            scores = [score for score in found if score is not None and score.influence is not None]
            if len(scores) < len(found):
                self.notes[f"{entry.title} is left out where it has no values per sample"] = None
            elif choice.name in _MEANS:
                yield choice.name, _exchanged_means(scores)
            else:
                if not arrays:
                    stores = (Store(side.path) for side in self.sides)
                    arrays += [read_features(store, cell) for store, cell in zip(stores, (one, other), strict=True)]
                yield choice.name, _exchanged(arrays, entry, choice.options, self.loaded.reference(one))


def _fitting(queue: Sequence[Pair], took: float, seconds: float) -> list[Pair]:
    """As many of the pairs, evenly chosen, as leave time for a useful number of suites."""
    room = max(0, int(seconds / (USEFUL * took)) - 1)
    if room >= len(queue):
        return list(queue)
    return [queue[int(place)] for place in np.linspace(0, len(queue) - 1, room)]


def _score(side: RunSide, cell: Cell, metric: str) -> Score | None:
    def is_of_it(row: Row) -> bool:
        return bool(row["cell"] == cell.id and row["metric"] == metric and row["value"] is not None)

    row = next(filter(is_of_it, side.rows), None)
    return None if row is None else score_of(side, row)


def _exchanged_means(scores: Sequence[Score]) -> Scored:
    """For means of one value a sample: the influence is that value minus the mean."""
    one, other = (
        score.influence + score.value for score in scores if score.influence is not None and score.value is not None
    )

    def score(heads: Heads) -> tuple[Score, Score]:
        sides = (np.where(heads, one, other), np.where(heads, other, one))
        base, new = (score_from_influence(float(values.mean()), values - values.mean()) for values in sides)
        return base, new

    return score


def _exchanged(
    arrays: Sequence[Mapping[str, NDArray[Any]]],
    entry: MetricEntry,
    options: Mapping[str, Any],
    reference: Reference | None,
) -> Scored:
    """For metrics of all features at once: computed anew."""
    one, other = arrays

    def score(heads: Heads) -> tuple[Score, Score]:
        chosen = heads[:, None]
        base = {name: np.where(chosen, one[name], other[name]) for name in one}
        new = {name: np.where(chosen, other[name], one[name]) for name in one}
        return compute(entry, options, base, reference), compute(entry, options, new, reference)

    return score
