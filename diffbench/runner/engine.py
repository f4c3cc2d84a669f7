"""A suite to a run folder: plan, probe, sample what is missing, time, score, write the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from diffbench import results
from diffbench.document.words import counted
from diffbench.errors import DiffbenchError, Interrupted, SuiteError, UsageError
from diffbench.models.consent import TENSORS_ONLY, Consent
from diffbench.runner.devices import device_name, keep_freed_memory, pick_device
from diffbench.runner.distance import CONVERGENCE, write_convergence
from diffbench.runner.expectations import CSV, JSON, write_expectations
from diffbench.runner.loaded import Loaded
from diffbench.runner.progress import Progress
from diffbench.runner.provenance import Session
from diffbench.runner.references import write_references
from diffbench.runner.resume import Probed, answer_alike, ask
from diffbench.runner.sampling import Sampling, Work
from diffbench.runner.scores import Scorer
from diffbench.runner.speed import measured_rates
from diffbench.runner.timing import Timing, load_timing, timing_pass
from diffbench.status.code import sampling_code
from diffbench.status.cost import Rates, earlier_rates
from diffbench.status.show import duration
from diffbench.status.stored import Part, distinct, state_of, stored_probe
from diffbench.store.atomic import remove, update
from diffbench.store.manifest import write_manifest
from diffbench.store.sealed import write_sealed
from diffbench.store.sessions import PROVENANCE
from diffbench.suite.plan import Cell, plan
from diffbench.suite.read import read_suite, resolved
from diffbench.suite.select import select
from diffbench.suite.solution import solutions_of
from diffbench.suite.spec import Suite

# What a run writes outside its cells; the report writes the rest.
_TABLES = (results.PARQUET, results.CSV, JSON, CSV)
_OWN = ("suite.yaml", PROVENANCE, *_TABLES, "references.json", "timing.json", CONVERGENCE)


@dataclass(frozen=True)
class RunSummary:
    """What :func:`execute` did.

    Attributes:
        folder: the run folder; the table is its ``results.parquet``.
        cells: the cells that were asked for, skipped ones included.
        failed: cell id to reason.
        sampled: number of shards sampled now (not found stored).
        changed: whether the results differ from those that the folder held before.
        scored: whether there is a table; not after one part of a run.
    """

    folder: Path
    cells: list[Cell]
    failed: dict[str, str]
    sampled: int
    changed: bool
    scored: bool = True


def execute(
    suite: Suite,
    out: Path | None = None,
    device: str | None = None,
    only: str | None = None,
    quiet: bool = False,
    *,
    force: bool = False,
    part: Part | None = None,
    consent: Consent = TENSORS_ONLY,
) -> RunSummary:
    """Run a suite into a folder (default ``runs/<suite name>``); what is stored there already is not sampled again.

    A cell that fails does not stop the others: its rows carry the reason. Cells that ``only`` leaves out stay in the
    table if all their samples are there. ``force`` makes the samples of the cells again, whatever is stored and
    whatever code made it. ``part`` samples its share of the shards and stops before timing and scoring. ``consent``:
    what checkpoints may do beyond giving tensors.

    Raises:
        UsageError, SuiteError, CardError, WeightsError, ReferenceDataError: before anything is sampled.
        OtherCode: before anything is written: code or networks are not those that made what the folder holds.
        Interrupted: on Ctrl-C or SIGTERM; finished shards are kept, and the same call resumes.
        StoreError: the folder can't be read or written.
    """
    cells = plan(suite)
    folder = out or Path("runs") / suite.name
    picked = pick_device(device or suite.run.device)
    run = _Run(suite, folder, cells, select(cells, only), picked, Progress(quiet), part, consent)
    _refuse_other_suite(folder, suite)
    for cell in run.chosen:  # not only distinct ones: a model whose files were altered must not hide behind its twin
        if cell.skip is None:
            run.loaded.check(cell)
    try:
        with run.progress:
            run.settle(force)
            sampled, changed = run.go()
    except KeyboardInterrupt:
        if run.session.shards:
            run.session.write(finished=True)
            write_manifest(folder, only=_OWN)
        raise Interrupted(f"interrupted after {run.session.shards} shards; the same command resumes") from None
    return RunSummary(folder, run.chosen, run.failed, sampled, changed, scored=part is None)


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
    """One execution of a suite; ``chosen`` are the cells asked for, ``failed`` maps a cell's id to the reason."""

    suite: Suite
    folder: Path
    cells: list[Cell]
    chosen: list[Cell]
    device: torch.device
    progress: Progress
    part: Part | None
    consent: Consent
    failed: dict[str, str] = field(default_factory=dict)
    probed: Probed = field(default_factory=Probed)

    def __post_init__(self) -> None:
        keep_freed_memory(self.device)
        self.loaded = Loaded(self.device, self.consent)
        self.distinct = distinct(self.chosen)
        self.session = Session(self.folder, self.device, sampling_code(), None if self.part is None else str(self.part))

    def settle(self, force: bool) -> None:
        """Ask today's code, and begin: the suite is written once the folder is known to be of the same code."""
        self.progress.begin("asking networks and samplers", len(self.distinct))
        self.probed = ask(self.folder, self.distinct, self.loaded, force, lambda: self.progress.advance(1))
        keep = self.suite.run.keep.samples
        arguments = (self.folder, self.loaded, self.probed.digests, keep, self.session, self.progress, self.failed)
        self.sampling = Sampling(*arguments)
        for cell in self.distinct:
            if cell.id in self.probed.failed:
                self.sampling.fail(cell, self.probed.failed[cell.id])
        if force:
            remove(self.folder / "timing.json")
            self.sampling.discard(self.distinct, self.part)
        self.sampling.describe(self.distinct)
        for line in self.session.drift():
            self.progress.note(f"stored samples were made under other conditions, but by answers like today's: {line}")
        update(self.folder / "suite.yaml", resolved(self.suite).encode())
        write_manifest(self.folder, only=_OWN)

    def go(self) -> tuple[int, bool]:
        """Sample, and unless this is one part of a run, time and score; shards made, and whether results changed."""
        scorer = self.scorer(None)
        work = self.sampling.missing(self.distinct, self.part, scorer.needs_features)
        rates = self.expect(work) if work else None

        def seconds(cell: Cell) -> float:
            rate = None if rates is None else rates.of(cell)
            return (None if rate is None else rate.seconds(cell, 1)) or 0.0  # of adaptive cells nobody knows

        with self.session.phase("sampling"):
            sampled = self.sampling.make(work, [*self.chosen, *solutions_of(self.chosen)], seconds)
        if self.part is not None:
            self.session.write(finished=True)
            write_manifest(self.folder, only=_OWN)
            return sampled, False
        shown = self.shown()
        with self.session.phase("timing"):
            timing, timed = self.time(distinct(shown, solutions=False))
        with self.session.phase("scoring"):
            changed = self.write_results(shown, self.scorer(timing))
        if sampled or timed or not self.session.recorded:
            self.session.write(finished=True)
        write_manifest(self.folder, only=_OWN)
        return sampled, changed

    def expect(self, work: Work) -> Rates:
        """Say and record what sampling should take, and by which rates."""
        samples = [(cell, sum(shard.size for shard in shards)) for cell, shards in work]
        planned = [(cell, count) for cell, count in samples if cell.nfe is not None]
        rates = earlier_rates(self.folder, device_name(self.device))
        if (seconds := rates.seconds(planned)) is None:
            rates = measured_rates([cell for cell, _ in planned], self.loaded)
            seconds = rates.seconds(planned) or 0.0
        apart = ""
        if len(planned) == len(samples):
            self.session.expect(seconds, rates.basis)
        else:
            apart = ", adaptive cells apart"
        self.session.write()
        evaluations = sum((cell.nfe or 0) * count for cell, count in samples)
        self.progress.note(
            f"{counted(sum(count for _, count in samples), 'sample')} in {counted(len(work), 'cell')}, "
            f"{counted(evaluations, 'evaluation')}: "
            f"about {duration(seconds)} by {rates.basis}{apart}"
        )
        return rates

    def shown(self) -> list[Cell]:
        """The table's cells: those asked for and the others that are complete; skipped ones with all the rest."""
        asked = {cell.key for cell in self.chosen}
        keep = self.suite.run.keep.samples

        def complete(cell: Cell) -> bool:
            known = cell.skip is None and stored_probe(self.folder, cell) is not None
            return known and not state_of(self.folder, cell, keep, metrics=self.suite.metrics).flaws

        whole_cells = [c for c in self.cells if c.key not in asked and all(map(complete, [c, *solutions_of([c])]))]
        alike = answer_alike(self.folder, distinct(whole_cells), self.loaded) | {cell.id for cell in self.distinct}
        kept = {cell.key for cell in whole_cells if {one.id for one in [cell, *solutions_of([cell])]} <= alike}
        shown = [cell for cell in self.cells if cell.key in asked or (cell.key in kept and self.intact(cell))]
        whole = {cell.key for cell in shown} >= {cell.key for cell in self.cells if cell.skip is None}
        return self.cells if whole else shown

    def intact(self, cell: Cell) -> bool:
        """Whether a cell that was not asked for could be run: its model's files are those of its card."""
        if cell.skip is not None:
            return False
        try:
            self.loaded.check(cell)
        except DiffbenchError:
            return False
        return True

    def time(self, cells: Sequence[Cell]) -> tuple[Timing | None, bool]:
        """The timing of all cells, and whether it was measured now (not found stored)."""
        said, batch_size = self.suite.timing.seconds, self.suite.timing.batch_size
        cells = [cell for cell in cells if cell.id not in self.failed]
        if said == 0 or not cells:
            return None, False
        path = self.folder / "timing.json"
        timing = load_timing(path)
        conditions = self.session.conditions()
        probes = {cell.id: self.probed.digests.get(cell.id) or stored_probe(self.folder, cell) or "" for cell in cells}
        if timing is not None and timing.covers(cells, str(self.device), said, batch_size, conditions, probes):
            return timing, False
        limit = self.suite.timing.limit(self.session.sampling_seconds())
        self.progress.begin("timing", limit)
        timing = timing_pass(cells, self.loaded.model, self.device, limit, batch_size, conditions, self.progress.reach)
        timing.probes = probes
        write_sealed(path, timing.to_dict())
        return timing, True

    def scorer(self, timing: Timing | None) -> Scorer:
        """Makes rows of what is stored."""
        return Scorer(
            self.suite, self.sampling.store, self.loaded, timing, self.failed, self.probed.digests, self.sampling.known
        )

    def write_results(self, cells: Sequence[Cell], scorer: Scorer) -> bool:
        """Score every cell and write the results table; returns whether it differs from the one before."""
        self.progress.begin("scoring", len(cells))
        rows: list[results.Row] = []
        for cell in cells:
            rows.extend(scorer.rows(cell))
            self.progress.advance(1)
        write_references(self.folder, distinct(cells, solutions=False), self.loaded)
        write_convergence(self.folder, cells, scorer)
        table = results.frame(rows)
        write_expectations(self.folder, self.suite, self.cells, table)
        return results.write(table, self.folder)
