"""The shards of a run: the only truth on disk; everything else in a run folder can be made again from them.

A shard is a range of sample indices of one cell. Its artefacts (the features of one extractor, the kept images) are
safetensors files beside one sealed manifest that states the sha256 of each. The manifest is written last: a shard
without a valid one does not exist, and what a valid one says decides whether the shard can still be used.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from diffbench.errors import StoreError
from diffbench.store.atomic import read_bytes, remove, write_together
from diffbench.store.sealed import seal, unseal

FORMAT = 2
IMAGES = "images"
X0 = "x0"
TRAJECTORIES = "trajectories"
SHOWN = (IMAGES, TRAJECTORIES)  # what reports show; no score is made of it
FREED = "freed.json"

Arrays = dict[str, NDArray[Any]]
Manifest = dict[str, Any]

_NAME = re.compile(r"shard-(\d{8,})-(\d{8,})\.json")


@dataclass(frozen=True, order=True, slots=True)
class ShardRange:
    """The sample indices first <= i < last of one cell."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.last - self.first

    @property
    def name(self) -> str:
        """Stem of the shard's files; indices are zero-padded so that names sort as indices do."""
        return f"shard-{self.first:08d}-{self.last:08d}"


def shard_ranges(samples: int, size: int) -> list[ShardRange]:
    """The fixed division of ``samples`` indices into shards; a short last one is keyed by its own range."""
    return [ShardRange(first, min(first + size, samples)) for first in range(0, samples, size)]


@dataclass(frozen=True)
class Artefact:
    """One file of a shard: its arrays, and what its entry in the manifest says beside size and sha256."""

    arrays: Arrays
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What a stored shard must be to be used.

    ``probe`` is the digest of the probe that its samples were made under (None: any), ``extractors`` maps names to the
    sha256 of their weights (None: any), ``images`` counts the cell's first samples whose images must be there, ``x0``
    says whether the sampler's own output must be, ``trajectories`` counts those of the first shard that must be.
    """

    probe: str | None
    extractors: Mapping[str, str | None]
    images: int
    x0: bool = False
    trajectories: int = 0


@dataclass(frozen=True)
class Flaw:
    """Why a shard has to be made (again), in a word and in a sentence."""

    kind: Literal["missing", "corrupt", "stale", "freed"]
    reason: str


class Store:
    """The shards under ``<run>/cells``."""

    def __init__(self, run: Path) -> None:
        self.cells = run / "cells"
        self._root = str(self.cells)

    def folder(self, cell: str) -> Path:
        """Folder of one cell, by its id."""
        return self.cells / cell

    def _path(self, cell: str, name: str) -> str:
        """A file of a cell; text, because a run may have a million of them."""
        return f"{self._root}/{cell}/{name}"

    def write(self, cell: str, shard: ShardRange, artefacts: Mapping[str, Artefact], info: Mapping[str, Any]) -> None:
        """Store one shard; ``info`` (JSON-able) travels in its manifest. Raises StoreError."""
        files: dict[str, bytes] = {}
        entries: dict[str, Any] = {}
        for name, artefact in artefacts.items():
            data = save({key: np.ascontiguousarray(array) for key, array in artefact.arrays.items()})
            files[_file(shard, name)] = data
            entries[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **artefact.info}
        manifest = {"format": FORMAT, "cell": cell, "first": shard.first, "last": shard.last, **info}
        files[f"{shard.name}.json"] = seal({**manifest, "artefacts": entries})
        write_together(self.folder(cell), files)

    def adopt(self, cell: str, shard: ShardRange, data: Mapping[str, bytes], manifest: Manifest) -> None:
        """Store the bytes of another store's shard, its artefacts by name. Raises StoreError."""
        files = {_file(shard, name): content for name, content in data.items()}
        write_together(self.folder(cell), {**files, f"{shard.name}.json": seal(manifest)})

    def manifest(self, cell: str, shard: ShardRange) -> Manifest:
        """A shard's manifest. Raises StoreError if it is absent, changed, of another format or of another shard."""
        path = self._path(cell, f"{shard.name}.json")
        manifest = unseal(read_bytes(path), path)
        if manifest.get("format") != FORMAT:
            raise StoreError(f"{path}: its format is {manifest.get('format')!r}, not {FORMAT}")
        if (manifest["cell"], manifest["first"], manifest["last"]) != (cell, shard.first, shard.last):
            raise StoreError(f"{path}: belongs to another shard")
        return manifest

    def data(self, cell: str, shard: ShardRange, manifest: Manifest, artefact: str) -> bytes:
        """The bytes of an artefact. Raises StoreError if they are absent or not those of the manifest."""
        path = self._path(cell, _file(shard, artefact))
        data = read_bytes(path)
        if hashlib.sha256(data).hexdigest() != manifest["artefacts"][artefact]["sha256"]:
            raise StoreError(f"{path}: does not match the sha256 in its manifest")
        return data

    def read(self, cell: str, shard: ShardRange, artefact: str) -> tuple[Arrays, Manifest]:
        """An artefact's arrays, and the shard's manifest. Raises StoreError if anything is absent or altered."""
        manifest = self.manifest(cell, shard)
        if artefact not in manifest["artefacts"]:
            raise StoreError(f"{self.folder(cell) / shard.name}: holds no {artefact}")
        try:
            return load(self.data(cell, shard, manifest, artefact)), manifest
        except SafetensorError as error:
            path = self.folder(cell) / _file(shard, artefact)
            raise StoreError(f"{path}: not a safetensors file ({error})") from None

    def flaw(self, cell: str, shard: ShardRange, wanted: Wanted, verify: bool = True) -> Flaw | None:
        """Why a shard can't be used; None if it can. See :meth:`examine`."""
        found = self.examine(cell, shard, wanted, verify)
        return found if isinstance(found, Flaw) else None

    def examine(self, cell: str, shard: ShardRange, wanted: Wanted, verify: bool = True) -> Manifest | Flaw:
        """The manifest of a shard that can be used, or why it can't.

        ``verify`` hashes every artefact; without it only the manifest is read, and the artefacts' sizes compared.
        """
        try:
            manifest = self.manifest(cell, shard)
        except StoreError as error:
            absent = not os.path.exists(self._path(cell, f"{shard.name}.json"))
            return Flaw("missing", "not sampled yet") if absent else Flaw("corrupt", str(error))
        entries = manifest["artefacts"]
        if wanted.probe is not None and manifest["probe"] != wanted.probe:
            return Flaw("stale", "made by other code or another network: the probe's answer was different")
        for name, sha256 in wanted.extractors.items():
            if name not in entries or sha256 not in (None, entries[name]["weights"]):
                return Flaw("stale", f"holds no features of this {name}")
        images = max(0, min(wanted.images, shard.last) - shard.first)
        if entries.get(IMAGES, {"count": 0})["count"] < images:
            return Flaw("stale", "fewer images were kept than are wanted now")
        if wanted.x0 and X0 not in entries:
            return Flaw("stale", "holds no x0, which the solver error is computed from")
        if shard.first == 0 and entries.get(TRAJECTORIES, {"count": 0})["count"] < min(wanted.trajectories, shard.size):
            return Flaw("stale", "fewer trajectories were kept than are wanted now")
        return self._damage(cell, shard, manifest, verify) or manifest

    def _damage(self, cell: str, shard: ShardRange, manifest: Manifest, verify: bool) -> Flaw | None:
        for name, entry in manifest["artefacts"].items():
            path = self._path(cell, _file(shard, name))
            try:
                if verify:
                    self.data(cell, shard, manifest, name)
                elif os.stat(path).st_size != entry["bytes"]:
                    return Flaw("corrupt", f"{path}: does not have the size that its manifest states")
            except (StoreError, OSError) as error:
                if self.freed(cell, shard, name):
                    return Flaw("freed", "its features were freed by cache gc")
                return Flaw("corrupt", str(error) if isinstance(error, StoreError) else f"{path}: {error.strerror}")
        return None

    def freed(self, cell: str, shard: ShardRange, artefact: str) -> bool:
        """Whether an artefact is absent because ``cache gc`` freed the features of its cell."""
        folder = self.folder(cell)
        return artefact not in SHOWN and (folder / FREED).exists() and not (folder / _file(shard, artefact)).exists()

    def ranges(self, cell: str) -> list[ShardRange]:
        """Ranges of all shards that have a manifest, in index order; of those that begin alike the longest first."""
        folder = self.folder(cell)
        names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
        found = [ShardRange(int(match[1]), int(match[2])) for match in map(_NAME.fullmatch, names) if match]
        return sorted(found, key=lambda shard: (shard.first, -shard.last))

    def remove(self, cell: str, shard: ShardRange) -> None:
        """Delete a shard, its manifest first. Raises StoreError."""
        folder = self.folder(cell)
        remove(folder / f"{shard.name}.json")
        for path in folder.glob(f"{shard.name}.*.safetensors"):
            remove(path)


def _file(shard: ShardRange, artefact: str) -> str:
    return f"{shard.name}.{artefact}.safetensors"
