"""The parts of a run, sampled into folders of their own, into one; without torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffbench.errors import OtherCode, StoreError, UsageError
from diffbench.status.stored import PROBE
from diffbench.store.atomic import create, read_bytes
from diffbench.store.manifest import write_manifest
from diffbench.store.probe import Answers, difference, read_answers, settle
from diffbench.store.sealed import read_sealed
from diffbench.store.sessions import FOLDER, PROVENANCE, write_provenance
from diffbench.store.shards import ShardRange, Store, Wanted
from diffbench.suite.of_run import FILE, suite_of_run


@dataclass
class Merged:
    """How many shards were copied, how many were there already, and why others were left out."""

    copied: int = 0
    present: int = 0
    skipped: list[str] = field(default_factory=list)


def merge_runs(out: Path, runs: Sequence[Path]) -> Merged:
    """Copy the shards of ``runs`` into ``out`` that it lacks; each file is checked, and what is damaged is left out.

    Raises:
        UsageError: the runs are not of one suite, or one of them is ``out`` itself.
        OtherCode: before anything is written: two folders' networks or samplers answered differently.
        StoreError: a folder is no run folder, or ``out`` can't be written.
    """
    _refuse_other_suites(out, runs)
    answers: dict[Path, Answers] = {}
    for folder in (out, *runs):
        for path, own in _probes(folder):
            name = path.relative_to(folder)
            if (other := difference(answers.setdefault(name, own), own)) is not None:
                raise OtherCode(f"{path}: not of the same code as the other parts: {other}; they can't be merged")
    settled = {name: settle(out / name, own) for name, own in answers.items()}
    create(out / "suite.yaml", read_bytes(runs[0] / "suite.yaml"))
    merged = Merged()
    for run in runs:
        _merge(Store(out), run, settled, merged)
        for path in sorted((run / FOLDER).glob("*.json")):
            create(out / FOLDER / path.name, read_bytes(path))
    write_provenance(out)
    write_manifest(out, only=("suite.yaml", PROVENANCE))
    return merged


def _refuse_other_suites(out: Path, runs: Sequence[Path]) -> None:
    names: dict[str, Path] = {}
    for folder in (out, *runs):
        if folder is out and not (folder / FILE).is_file():
            continue
        names.setdefault(suite_of_run(folder).name, folder)
    if len(names) > 1:
        (one, first), (other, second), *_ = names.items()
        raise UsageError(f"{second} is a run of suite {other!r}, {first} one of {one!r}; parts are of one suite")
    if any(run.resolve() == out.resolve() for run in runs):
        raise UsageError(f"{out}: can't be merged into itself")


def _probes(run: Path) -> Iterable[tuple[Path, Answers]]:
    """The answers stored in a run folder; what is damaged is left out, and so are the shards that rest on it."""
    for path in [*sorted(run.glob("probes/*.json")), *sorted(run.glob(f"cells/*/{PROBE}"))]:
        try:
            yield path, read_answers(path)
        except StoreError:
            continue


def _merge(out: Store, run: Path, settled: dict[Path, Answers], merged: Merged) -> None:
    """Copy one run's shards; their digests become those of the answers that ``out`` holds, equal within tolerance."""
    source = Store(run)
    own = {path.relative_to(run): answers.digest for path, answers in _probes(run)}
    models = {digest: settled[name].digest for name, digest in own.items() if name.parts[0] == "probes"}
    for folder in sorted(run.glob("cells/*")):
        cell = folder.name
        name = Path("cells", cell, PROBE)
        digests = {model + own[name]: kept + settled[name].digest for model, kept in models.items() if name in own}
        _copy_description(out, folder)
        for shard in source.ranges(cell):
            _merge_shard(out, source, cell, shard, digests, merged)


def _copy_description(out: Store, folder: Path) -> None:
    try:
        read_sealed(folder / "cell.json")
    except StoreError:
        return
    create(out.folder(folder.name) / "cell.json", read_bytes(folder / "cell.json"))


def _merge_shard(
    out: Store, source: Store, cell: str, shard: ShardRange, digests: dict[str, str], merged: Merged
) -> None:
    where = source.folder(cell) / shard.name
    try:
        manifest = source.manifest(cell, shard)
    except StoreError as error:
        merged.skipped.append(str(error))
        return
    probe = digests.get(manifest["probe"])
    if probe is None:
        merged.skipped.append(f"{where}: made under answers that its run no longer holds")
        return
    if out.flaw(cell, shard, Wanted(probe, {}, 0)) is None:
        merged.present += 1
        return
    try:
        data = {name: source.data(cell, shard, manifest, name) for name in manifest["artefacts"]}
    except StoreError as error:
        merged.skipped.append(str(error))
        return
    out.adopt(cell, shard, data, {**manifest, "probe": probe})
    merged.copied += 1
