"""``manifest.json``: the sha256 of every file that is made from the shards; and the check of a whole run folder.

No number is read from it: files that numbers are read from carry their own hash, or stand in a shard's manifest. It
lists the others, so that damage to any file of a run can be found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from diffbench.errors import StoreError
from diffbench.store.atomic import TEMPORARY, read_bytes
from diffbench.store.probe import read_answers
from diffbench.store.sealed import read_sealed, write_sealed
from diffbench.store.shards import Store

FORMAT = 1
MANIFEST = "manifest.json"

_APART = ("cells", "probes", "sessions")


def write_manifest(run: Path, only: Collection[str] | None = None) -> None:
    """List all files outside ``cells``, ``probes`` and ``sessions``, whose files carry their own hashes.

    With ``only`` (names) what is stated of the others stays, so that damage to them is still found. Written again until
    the disk agrees, so that of several processes that write at once the last one's list holds. Raises StoreError.
    """
    while True:
        files = _derived(run, only)
        listed = files if only is None else dict(sorted({**_stated(run), **files}.items()))
        write_sealed(run / MANIFEST, {"format": FORMAT, "files": listed})
        if _derived(run, only) == files:
            return


def _stated(run: Path) -> dict[str, dict[str, object]]:
    try:
        files: dict[str, dict[str, object]] = read_sealed(run / MANIFEST)["files"]
    except StoreError:
        return {}
    return files


def _derived(run: Path, only: Collection[str] | None = None) -> dict[str, dict[str, object]]:
    files: dict[str, dict[str, object]] = {}
    tops = [path for path in run.iterdir() if path.name not in (*_APART, MANIFEST)] if run.is_dir() else []
    for path in sorted(file for top in tops for file in (top.rglob("*") if top.is_dir() else [top])):
        if path.is_file() and not path.name.endswith(TEMPORARY):
            if only is not None and path.relative_to(run).as_posix() not in only:
                continue
            data = read_bytes(path)
            entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            files[path.relative_to(run).as_posix()] = entry
    return dict(sorted(files.items()))


def damage(run: Path) -> Iterator[str]:
    """One line for each file of a run folder that is not what its manifest or its own seal says."""
    yield from damaged_derived(run)
    store = Store(run)
    for path in sorted([*run.glob("sessions/*.json"), *run.glob("cells/*/*.json"), *run.glob("probes/*.json")]):
        try:
            if path.parent.name == "probes" or path.name == "probe.json":
                read_answers(path)
            elif not path.name.startswith("shard-"):
                read_sealed(path)
        except StoreError as error:
            yield str(error)
    for folder in sorted(run.glob("cells/*")):
        yield from _damaged_scores(folder)
        for shard in store.ranges(folder.name):
            try:
                manifest = store.manifest(folder.name, shard)
                for artefact in manifest["artefacts"]:
                    if not store.freed(folder.name, shard, artefact):
                        store.data(folder.name, shard, manifest, artefact)
            except StoreError as error:
                yield str(error)


def damaged_derived(run: Path) -> Iterator[str]:
    """One line for each file that is missing or not what the manifest says, and for a manifest that can't be read."""
    try:
        stated = read_sealed(run / MANIFEST)["files"]
    except StoreError as error:
        yield str(error)
        return
    present = _derived(run)
    for name in sorted(stated.keys() - present.keys()):
        yield f"{run / name}: missing"
    for name in sorted(stated.keys() & present.keys()):
        if stated[name] != present[name]:
            yield f"{run / name}: does not match the sha256 in {MANIFEST}"


def _damaged_scores(folder: Path) -> Iterator[str]:
    path = folder / "scores.json"
    if not path.exists():
        return
    try:
        stated = read_sealed(path).get("influence")
    except StoreError:  # told already
        return
    try:
        if hashlib.sha256(read_bytes(folder / "scores.safetensors")).hexdigest() != stated:
            yield f"{folder / 'scores.safetensors'}: does not match the sha256 in scores.json"
    except StoreError as error:
        yield str(error)
