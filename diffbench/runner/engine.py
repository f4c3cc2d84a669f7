"""A suite to a run folder: plan, sample what is missing, time, score, write the results."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from diffbench import results
from diffbench.atomic import write_atomically, write_json
from diffbench.errors import (
    CardError,
    CellFailed,
    Interrupted,
    ScoringError,
    StoreError,
    SuiteError,
    UsageError,
    WeightsError,
)
from diffbench.runner.devices import keep_freed_memory, pick_device
from diffbench.runner.execute import run_shard
from diffbench.runner.loaded import Loaded
from diffbench.runner.progress import Progress
from diffbench.runner.provenance import Session, sampling_code
from diffbench.runner.references import write_references
from diffbench.runner.scores import Scorer
from diffbench.runner.store import ShardRange, Store, shard_ranges
from diffbench.runner.timing import Timing, load_timing, timing_pass
from diffbench.suite.plan import Cell, plan
from diffbench.suite.read import read_suite, resolved
from diffbench.suite.spec import Suite


@dataclass(frozen=True)
class RunSummary:
    """What :func:`execute` did.

    Attributes:
        folder: the run folder; the table is its ``results.parquet``.
        cells: all cells of the plan, skipped ones included.
        failed: cell id to reason.
        sampled: number of shards sampled now (not found stored).
        changed: whether the results differ from those that the folder held before.
    """

    folder: Path
    cells: list[Cell]
    failed: dict[str, str]
    sampled: int
    changed: bool


def execute(
    suite: Suite, out: Path | None = None, device: str | None = None, only: str | None = None, quiet: bool = False
) -> RunSummary:
    """Run a suite into a folder (default ``runs/<suite name>``); what is stored there already is not sampled again.

    A cell that fails does not stop the others: its rows carry the reason.

    Raises:
        UsageError, SuiteError, CardError, WeightsError, ReferenceDataError: before anything is sampled.
        Interrupted: on Ctrl-C; finished shards are kept, and the same call resumes.
        StoreError: the folder can't be written.
    """
    cells = plan(suite, only)
    run = _Run(suite, out or Path("runs") / suite.name, cells, pick_device(device or suite.run.device), Progress(quiet))
    _refuse_other_suite(run.folder, suite)
    for cell in cells:
        if cell.skip is None:
            run.loaded.check(cell)
    session = Session(run.folder, run.device)
    write_atomically(run.folder / "suite.yaml", resolved(suite).encode())
    try:
        with run.progress:
            with session.phase("sampling"):
                sampled = run.sample_missing()
            with session.phase("timing"):
                timing, timed = run.time()
            with session.phase("scoring"):
                changed = run.write_results(timing)
    except KeyboardInterrupt:
        session.write()
        done = sum(not run.missing(cell) for cell in run.distinct)
        message = f"interrupted with {done} of {len(run.distinct)} cells sampled; the same command resumes"
        raise Interrupted(message) from None
    if sampled or timed or not session.recorded:
        session.write()
    return RunSummary(run.folder, cells, run.failed, sampled, changed)


def _refuse_other_suite(folder: Path, suite: Suite) -> None:
    """A run folder belongs to the suite of one name: another would replace its results without a word."""
    path = folder / "suite.yaml"
    if path.exists():
        try:
            name = read_suite(path).name
        except SuiteError:  # of another version; its cells are still known by their ids
            return
        if name != suite.name:
            raise UsageError(f"{folder}: holds the run of suite {name!r}, not of {suite.name!r}; give another --out")


@dataclass
class _Run:
    """One execution of a suite; ``failed`` maps a cell's id to the reason."""

    suite: Suite
    folder: Path
    cells: list[Cell]
    device: torch.device
    progress: Progress
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        keep_freed_memory(self.device)
        self.store = Store(self.folder)
        self.loaded = Loaded(self.device)
        self.code = sampling_code()
        first: dict[str, Cell] = {}
        for cell in self.cells:
            if cell.skip is None:
                first.setdefault(cell.id, cell)
        self.distinct = list(first.values())

    def missing(self, cell: Cell) -> list[ShardRange]:
        """Shards that are not stored whole, with the present extractor's features and images enough."""
        return [shard for shard in shard_ranges(cell.n, cell.shard) if not self._stored(cell, shard)]

    def _stored(self, cell: Cell, shard: ShardRange) -> bool:
        try:
            arrays, manifest = self.store.read(cell.id, shard)
        except StoreError:
            return False
        images = max(0, min(self.suite.run.keep.samples, shard.last) - shard.first)
        known = manifest.get("extractor_sha256") == self.loaded.extractor(cell).sha256
        return known and manifest.get("code") == self.code and len(arrays.get("images", ())) >= images

    def sample_missing(self) -> int:
        """Sample all missing shards, model by model; returns their number."""
        todo = [(cell, shards) for cell in self.distinct if (shards := self.missing(cell))]
        todo.sort(key=lambda item: (str(item[0].card.directory), item[0].dtype))
        evaluations = sum((cell.nfe or 0) * (s.last - s.first) for cell, shards in todo for s in shards)
        self.progress.begin("sampling", evaluations)
        for number, (cell, shards) in enumerate(todo, start=1):
            name = f"{cell.model} · {cell.sampler} @ {cell.budget_kind} {cell.budget}"
            self.progress.describe(name, f"cell {number}/{len(todo)}")
            try:
                for shard in shards:
                    self._sample(cell, shard)
            except (CellFailed, ScoringError) as error:
                self._fail(cell, name, str(error))
            except torch.cuda.OutOfMemoryError:
                advice = f"out of device memory at batch size {cell.batch_size}; set run.batch_size lower"
                self._fail(cell, name, advice)
            except (StoreError, WeightsError, CardError):
                raise
            except Exception as error:  # a model's or sampler's own; the other cells go on
                self._fail(cell, name, f"{type(error).__name__}: {error}")
        return sum(len(shards) for _, shards in todo)

    def _fail(self, cell: Cell, name: str, reason: str) -> None:
        self.failed[cell.id] = reason
        self.progress.note(f"failed: {name}: {reason}")

    def _sample(self, cell: Cell, shard: ShardRange) -> None:
        extractor, keep = self.loaded.extractor(cell), self.suite.run.keep.samples
        samples = run_shard(self.loaded.model(cell), cell, shard, extractor, keep, self.progress.advance)
        description = self.store.folder(cell.id) / "cell.json"
        if not description.exists():
            write_json(description, cell.to_dict())
        info = {
            "nfe": samples.nfe,
            "network_evals": samples.network_evals,
            "seconds": samples.seconds,
            "device": str(self.device),
            "extractor_sha256": extractor.sha256,
            "code": self.code,
        }
        self.store.write(cell.id, shard, samples.arrays, info)

    def time(self) -> tuple[Timing | None, bool]:
        """The timing of all cells, and whether it was measured now (not found stored)."""
        limit, batch_size = self.suite.timing.seconds, self.suite.timing.batch_size
        cells = [cell for cell in self.distinct if cell.id not in self.failed]
        if limit == 0 or not cells:
            return None, False
        path = self.folder / "timing.json"
        timing = load_timing(path)
        if timing is not None and timing.covers(cells, str(self.device), limit, batch_size):
            return timing, False
        self.progress.begin("timing", limit)
        timing = timing_pass(cells, self.loaded.model, self.device, limit, batch_size, self.progress.reach)
        write_json(path, timing.to_dict())
        return timing, True

    def write_results(self, timing: Timing | None) -> bool:
        """Score every cell and write the results table; returns whether it differs from the one before."""
        self.progress.begin("scoring", len(self.cells))
        scorer = Scorer(self.suite, self.store, self.loaded, timing, self.failed)
        rows: list[results.Row] = []
        for cell in self.cells:
            rows.extend(scorer.rows(cell))
            self.progress.advance(1)
        write_references(self.folder, self.distinct, self.loaded)
        return results.write(results.frame(rows), self.folder)
