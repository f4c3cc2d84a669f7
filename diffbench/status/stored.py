"""A plan's cells against a run folder: which shards are there, and why the others have to be made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffbench.catalog import METRICS
from diffbench.errors import StoreError
from diffbench.scoring.weights import weights_sha256
from diffbench.store.probe import stored_digest
from diffbench.store.sealed import read_sealed
from diffbench.store.shards import Flaw, ShardRange, Store, Wanted, shard_ranges
from diffbench.suite.choices import MetricChoice
from diffbench.suite.plan import Cell
from diffbench.suite.solution import solutions_of

PROBE, PROBES = "probe.json", "probes"
FAILED = "failed.json"
SCORES = "scores.json"


@dataclass(frozen=True)
class Part:
    """One of ``count`` equal parts of a run's shards: those whose place in the plan is ``index`` modulo ``count``."""

    index: int
    count: int

    def takes(self, place: int) -> bool:
        """Whether the shard at this place of the plan belongs to the part."""
        return place % self.count == self.index % self.count

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class CellState:
    """What is stored of a cell: ``done`` shards of ``total``; ``flaws`` says why each of the others is not."""

    cell: Cell
    total: int
    flaws: dict[ShardRange, Flaw] = field(default_factory=dict)
    failed: str | None = None

    @property
    def done(self) -> int:
        """Number of shards that are there and can be used."""
        return self.total - len(self.flaws)

    @property
    def samples_missing(self) -> int:
        """Number of samples that have to be made."""
        return sum(shard.size for shard in self.flaws)

    @property
    def word(self) -> str:
        """``skipped``, ``done``, ``failed``, ``partly`` or the flaw that most shards have."""
        if self.cell.skip is not None:
            return "skipped"
        if not self.flaws:
            return "done"
        if self.failed is not None:
            return "failed"
        return "partly" if self.done else Counter(flaw.kind for flaw in self.flaws.values()).most_common(1)[0][0]

    @property
    def why(self) -> str:
        """Why the cell is not done, in words; empty if it is."""
        if self.cell.skip is not None:
            return self.cell.skip
        reasons = Counter(flaw.reason for flaw in self.flaws.values())
        told = [f"{count} of {self.total} shards: {reason}" for reason, count in reasons.most_common(3)]
        failure = [f"the last attempt failed: {self.failed}"] if self.failed is not None and self.flaws else []
        return "; ".join(failure + told)


def distinct(cells: Sequence[Cell], solutions: bool = True) -> list[Cell]:
    """Cells that can be run, the first of those that share samples; then the ``solutions`` for their metrics."""
    first: dict[str, Cell] = {}
    for cell in [*cells, *(solutions_of(cells) if solutions else [])]:
        if cell.skip is None:
            first.setdefault(cell.id, cell)
    return list(first.values())


def numbered(cells: Iterable[Cell]) -> Iterator[tuple[Cell, list[tuple[int, ShardRange]]]]:
    """All shards of distinct cells with their places in the plan, which parts of a run are told by."""
    place = 0
    for cell in cells:
        shards = shard_ranges(cell.n, cell.shard)
        yield cell, list(enumerate(shards, start=place))
        place += len(shards)


def model_probe(run: Path, cell: Cell) -> Path:
    """Where the answers of a cell's model are stored."""
    return run / PROBES / f"{cell.model_key}.json"


def cell_probe(run: Path, cell: Cell) -> Path:
    """Where the answers of a cell's sampler are stored."""
    return Store(run).folder(cell.id) / PROBE


def stored_probe(run: Path, cell: Cell) -> str | None:
    """The digest that the cell's shards have to carry; None where answers are missing or damaged: any will do."""
    try:
        return stored_digest(model_probe(run, cell)) + stored_digest(cell_probe(run, cell))
    except StoreError:
        return None


def wanted(cell: Cell, images: int, probe: str | None) -> Wanted:
    """What a shard of the cell must be; the extractor is known by the sha256 that its config states."""
    name = cell.card.extractor
    sha256 = None if name is None else weights_sha256(name)
    extractors = {} if name is None else {name: sha256}
    return Wanted(probe, extractors, images, cell.keep_x0, min(cell.keep_trajectories, cell.batch_size))


def state_of(
    run: Path, cell: Cell, images: int, verify: bool = False, metrics: Sequence[MetricChoice] = ()
) -> CellState:
    """What is stored of one cell; ``verify`` hashes all its files. The probe is not asked again: that needs torch.

    Features that ``cache gc`` freed are no flaw where the scores of all ``metrics`` (if any are given) are stored.
    """
    if cell.skip is not None:
        return CellState(cell, 0)
    store, need = Store(run), wanted(cell, images, stored_probe(run, cell))
    shards = shard_ranges(cell.n, cell.shard)
    flaws = {shard: flaw for shard in shards if (flaw := store.flaw(cell.id, shard, need, verify)) is not None}
    if flaws and all(flaw.kind == "freed" for flaw in flaws.values()) and metrics and _scored(run, cell, metrics):
        flaws = {}
    return CellState(cell, len(shards), flaws, failure(run, cell.id))


def _scored(run: Path, cell: Cell, metrics: Sequence[MetricChoice]) -> bool:
    try:
        return are_scored(read_sealed(Store(run).folder(cell.id) / SCORES)["scores"], cell, metrics)
    except (StoreError, KeyError):
        return False


def are_scored(signatures: Iterable[str], cell: Cell, metrics: Iterable[MetricChoice]) -> bool:
    """Whether each metric, at the cell's number of samples, has a score among those of these signatures."""
    kept = [{**parts["comparable"], **parts["other"]} for parts in map(json.loads, signatures)]
    own = [metric for metric in metrics if cell.card.extractor or not METRICS[metric.name].needs_extractor]
    asked = [{"metric": metric.name, "n": cell.n, **metric.options} for metric in own]
    return all(any(metric.items() <= said.items() for said in kept) for metric in asked)


def failure(run: Path, cell: str) -> str | None:
    """Why a cell could not be sampled when it was last tried; None if it could, or was not."""
    try:
        return str(read_sealed(Store(run).folder(cell) / FAILED)["reason"])
    except (StoreError, KeyError):
        return None
