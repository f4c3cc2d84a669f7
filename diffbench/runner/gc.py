"""Disk space that a run can give back, by a stated rule; without torch.

Always: what is damaged, of other code, or replaced by longer shards (only fewer samples could use those). On request:
the features of cells whose scores are all stored, and cells that the run's suite does not have.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diffbench.runner.features import StoredCell, stored_cell
from diffbench.status.code import scoring_code
from diffbench.status.score_cache import ScoreCache
from diffbench.status.stored import are_scored, distinct, stored_probe, wanted
from diffbench.store.atomic import TEMPORARY, remove
from diffbench.store.sealed import write_sealed
from diffbench.store.shards import FREED, SHOWN, ShardRange, Store, Wanted, shard_ranges
from diffbench.suite.of_run import suite_of_run
from diffbench.suite.plan import Cell, plan
from diffbench.suite.solution import solutions_of
from diffbench.suite.spec import Suite

_HOUR = 3600.0


@dataclass(frozen=True)
class _Find:
    """A file to delete; ``freed`` is the cell whose features it belongs to, if its scores stay."""

    what: str
    path: Path
    freed: str | None = None


def free(run: Path, features: bool = False, orphans: bool = False, dry_run: bool = False) -> dict[str, tuple[int, int]]:
    """Delete what can be spared; returns files and bytes by what they were. Raises StoreError for no run folder.

    Manifests go before the files that they describe, and a cell's features only after a note that they were freed, so
    that an interruption leaves nothing that looks whole and is not.
    """
    suite = suite_of_run(run)
    total: dict[str, tuple[int, int]] = {}
    for find in _finds(run, suite, features, orphans):
        try:
            bytes_freed = find.path.stat().st_size
        except OSError:  # another process was faster
            continue
        if not dry_run:
            if find.freed is not None:
                write_sealed(Store(run).folder(find.freed) / FREED, {"freed": "features"})
            remove(find.path)
        count, so_far = total.get(find.what, (0, 0))
        total[find.what] = (count + 1, so_far + bytes_freed)
    return total


def _finds(run: Path, suite: Suite, features: bool, orphans: bool) -> Iterator[_Find]:
    cells = {cell.id: cell for cell in distinct(plan(suite))}
    yield from (_Find("temporary files", path) for path in _old(run, f".*{TEMPORARY}"))
    solutions = {cell.id for cell in solutions_of(list(cells.values()))}
    for folder in sorted(run.glob("cells/*")):
        cell = cells.get(folder.name)
        if cell is None:
            if orphans:
                files = sorted(folder.glob("*"), key=lambda path: (path.suffix != ".json", path.name))
                yield from (_Find("cells that the suite does not have", path) for path in files)
            continue
        yield from _unusable(run, cell)
        if features and cell.id not in solutions:  # scores to come may be held against them
            yield from _features(run, cell, suite)


def _old(folder: Path, pattern: str) -> list[Path]:
    """Files that nobody can still be writing."""
    border = time.time() - _HOUR
    return [path for path in sorted(folder.rglob(pattern)) if path.stat().st_mtime < border]


def _unusable(run: Path, cell: Cell) -> Iterator[_Find]:
    store, need = Store(run), Wanted(stored_probe(run, cell), {}, 0)  # what is wanted today may change tomorrow
    stored = store.ranges(cell.id)
    usable = {shard for shard in stored if (flaw := store.flaw(cell.id, shard, need)) is None or flaw.kind == "freed"}
    longest: dict[int, ShardRange] = {}
    for shard in sorted(usable, key=lambda shard: shard.last):
        longest[shard.first] = shard
    current = set(shard_ranges(cell.n, cell.shard))
    for shard in stored:
        if shard not in usable:
            what = "shards that are damaged or of other code"
        elif shard not in current and longest[shard.first] != shard:
            what = "shards that a longer one has replaced"
        else:
            continue
        yield from (_Find(what, path) for path in _files(store, cell.id, shard))
    for path in _old(store.folder(cell.id), "shard-*.safetensors"):
        if not (path.parent / f"{path.name.partition('.')[0]}.json").exists():
            yield _Find("files without a manifest", path)


def _files(store: Store, cell: str, shard: ShardRange) -> list[Path]:
    folder = store.folder(cell)
    return [folder / f"{shard.name}.json", *sorted(folder.glob(f"{shard.name}.*.safetensors"))]


def _features(run: Path, cell: Cell, suite: Suite) -> Iterator[_Find]:
    store = Store(run)
    stored = stored_cell(store, cell, wanted(cell, suite.run.keep.samples, stored_probe(run, cell)))
    if not isinstance(stored, StoredCell) or not _scored(store, cell, stored, suite):
        return
    for shard in shard_ranges(cell.n, cell.shard):
        for path in _files(store, cell.id, shard)[1:]:
            if path.name.split(".")[1] not in SHOWN:
                yield _Find("features of scored cells", path, freed=cell.id)


def _scored(store: Store, cell: Cell, stored: StoredCell, suite: Suite) -> bool:
    cache = ScoreCache.open(store.folder(cell.id), stored.digest, scoring_code())
    return are_scored(cache.scores, cell, suite.metrics)
