"""Make the shards that a run lacks, model by model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from diffbench.errors import CardError, CellFailed, ScoringError, StoreError, WeightsError, one_line
from diffbench.runner.board import Board
from diffbench.runner.execute import own_grid, run_shard
from diffbench.runner.features import StoredCell, Tally
from diffbench.runner.loaded import Loaded
from diffbench.runner.progress import Progress
from diffbench.runner.provenance import Session
from diffbench.status.stored import FAILED, Part, numbered, wanted
from diffbench.store.atomic import remove
from diffbench.store.sealed import write_sealed
from diffbench.store.shards import FREED, Flaw, ShardRange, Store, Wanted
from diffbench.suite.plan import Cell

Work = list[tuple[Cell, list[ShardRange]]]


@dataclass
class Sampling:
    """The shards of distinct cells in a run folder; ``failed`` maps a cell's id to the reason.

    ``probes`` are the digests that shards carry; cells without one could not be asked and are not sampled. ``images``
    counts each cell's first samples whose images are kept. ``known`` are cells found complete.
    """

    run: Path
    loaded: Loaded
    probes: Mapping[str, str]
    images: int
    session: Session
    progress: Progress
    failed: dict[str, str] = field(default_factory=dict)
    known: dict[str, StoredCell] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = Store(self.run)
        self._seconds: Callable[[Cell], float] = lambda cell: 1.0

    def wanted(self, cell: Cell) -> Wanted:
        """What a shard of the cell must be to be kept."""
        return wanted(cell, self.images, self.probes[cell.id])

    def missing(
        self, cells: Sequence[Cell], part: Part | None, needs_features: Callable[[Cell], bool] = lambda cell: True
    ) -> Work:
        """The shards to make, of those that belong to ``part``; every stored file is read and hashed.

        A damaged shard is named. Features that were freed count as there, as long as no score needs them. Cells that
        lack nothing are noted in ``known``.
        """
        work: Work = []
        for cell, shards in numbered(cells):
            if cell.id in self.failed:
                continue
            own = [shard for place, shard in shards if part is None or part.takes(place)]
            todo, freed, codes = self._examined(cell, own)
            if freed and (todo or needs_features(cell)):
                todo = sorted({*todo, *freed})
            if len(codes | ({self.session.code} if todo else set())) > 1:
                other = [shard for shard in own if shard not in todo and self._code(cell, shard) != self.session.code]
                self.progress.note(f"{cell.label}: {len(other)} shards of other sampling code are made again")
                todo = sorted({*todo, *other})
                self.known.pop(cell.id, None)
            if todo:
                work.append((cell, todo))
        return sorted(work, key=lambda item: (str(item[0].card.directory), item[0].dtype))

    def _code(self, cell: Cell, shard: ShardRange) -> str | None:
        """Which code made a shard. What answers the probe alike may stay, but not beside shards of another code."""
        try:
            return str(self.store.manifest(cell.id, shard)["code"])
        except (StoreError, KeyError):
            return None

    def _examined(
        self, cell: Cell, shards: Sequence[ShardRange]
    ) -> tuple[list[ShardRange], list[ShardRange], set[str]]:
        """Those that have to be made, those whose features were freed, and the codes that made the others."""
        todo: list[ShardRange] = []
        freed: list[ShardRange] = []
        need, tally = self.wanted(cell), Tally(cell)
        for shard in shards:
            found = self.store.examine(cell.id, shard, need)
            if not isinstance(found, Flaw):
                tally.add(shard, found)
                continue
            (freed if found.kind == "freed" else todo).append(shard)
            if found.kind == "corrupt":
                self.progress.note(f"{found.reason}; this shard is made again")
        if not todo and not freed and sum(shard.size for shard in shards) == cell.n:
            self.known[cell.id] = tally.total()
        return todo, freed, tally.codes

    def describe(self, cells: Sequence[Cell]) -> None:
        """Write what each cell's id stands for, where it is not written yet. Raises StoreError."""
        for cell in cells:
            failed = cell.id in self.failed  # such a sampler may not even say where it evaluates
            points = {} if failed else own_grid(cell, self.loaded.model(cell).schedule)
            write_sealed(self.store.folder(cell.id) / "cell.json", {**cell.to_dict(), **points})

    def discard(self, cells: Sequence[Cell], part: Part | None) -> None:
        """Delete the stored shards of these cells, except where none could be made instead. Raises StoreError."""
        for cell, shards in numbered(cells):
            if cell.id in self.failed:
                continue
            own = {shard for place, shard in shards if part is None or part.takes(place)}
            planned = {shard for _, shard in shards}
            for shard in self.store.ranges(cell.id):
                if shard in own or shard not in planned:  # also those of a larger or smaller number of samples
                    self.store.remove(cell.id, shard)

    def make(self, work: Work, shown: Sequence[Cell] = (), seconds: Callable[[Cell], float] = lambda cell: 1.0) -> int:
        """Sample all these shards; returns the number made. A cell that fails does not stop the others.

        ``shown``: the cells whose state is shown meanwhile; ``seconds``: what a sample of a cell should take.
        """
        counts = {cell.id: sum(shard.size for shard in shards) for cell, shards in work}
        board = Board.of(shown, counts, self.failed) if work else None
        self._seconds = seconds
        total = sum(seconds(cell) * counts[cell.id] for cell, _ in work)
        self.progress.begin("sampling", total or (None if work else 0.0), board)
        made = 0
        for number, (cell, shards) in enumerate(work, start=1):
            self.progress.describe(cell.label, f"cell {number}/{len(work)}", cell)
            try:
                remove(self.store.folder(cell.id) / FREED)
                made += sum(self._make(cell, shard) for shard in shards)
                remove(self.store.folder(cell.id) / FAILED)
            except (CellFailed, ScoringError) as error:
                self.fail(cell, str(error))
            except torch.cuda.OutOfMemoryError:
                advice = f"out of device memory at batch size {cell.batch_size}; set run.batch_size lower"
                self.fail(cell, advice)
            except (StoreError, WeightsError, CardError, OSError):
                raise
            except Exception as error:  # a model's or sampler's own; the other cells go on
                self.fail(cell, one_line(error))
        return made

    def _make(self, cell: Cell, shard: ShardRange) -> int:
        found = self.store.examine(cell.id, shard, self.wanted(cell))
        if not isinstance(found, Flaw) and found["code"] == self.session.code:  # another process made it meanwhile
            self._advance(cell, shard.size)
            return 0
        begin = time.perf_counter()
        extractor = self.loaded.extractor(cell)
        advance = partial(self._advance, cell)
        samples = run_shard(self.loaded.model(cell), cell, shard, extractor, self.images, advance)
        info = {
            "nfe": samples.nfe,
            "network_evals": samples.network_evals,
            "device": self.loaded.device.type,
            "probe": self.probes[cell.id],
            "code": self.session.code,
        }
        self.store.write(cell.id, shard, samples.artefacts, info)
        seconds, evaluations = time.perf_counter() - begin, samples.nfe * shard.size
        self.session.sampled(cell.id, cell.model_key, cell.batch_size, shard.size, evaluations, seconds)
        return 1

    def fail(self, cell: Cell, reason: str) -> None:
        """Note that a cell could not be sampled, and why: a record, never a result. Raises StoreError."""
        self.failed[cell.id] = reason
        write_sealed(self.store.folder(cell.id) / FAILED, {"reason": reason})
        self.progress.failed(cell)
        self.progress.note(f"failed: {cell.label}: {reason}")

    def _advance(self, cell: Cell, samples: int) -> None:
        self.progress.sampled(cell, samples)
        self.progress.advance(self._seconds(cell) * samples)
