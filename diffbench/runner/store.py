"""The shards of a run on disk: the only truth; everything else in a run folder can be made again from them.

A shard is a safetensors file and a JSON manifest that holds the file's sha256; the manifest is written last, so a
shard without one does not exist. Files appear whole or not at all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from diffbench.atomic import read_json, write_atomically, write_json
from diffbench.errors import StoreError

FORMAT = 1

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, order=True)
class ShardRange:
    """The sample indices first <= i < last of one cell."""

    first: int
    last: int

    @property
    def name(self) -> str:
        """Stem of the shard's two files; indices are zero-padded so that names sort as indices do."""
        return f"shard-{self.first:08d}-{self.last:08d}"


def shard_ranges(samples: int, size: int) -> list[ShardRange]:
    """The fixed division of ``samples`` indices into shards; a short last one is keyed by its own range."""
    return [ShardRange(first, min(first + size, samples)) for first in range(0, samples, size)]


class Store:
    """The shards under ``<run>/cells``."""

    def __init__(self, run: Path) -> None:
        self.cells = run / "cells"

    def folder(self, cell: str) -> Path:
        """Folder of one cell, by its id."""
        return self.cells / cell

    def write(self, cell: str, shard: ShardRange, arrays: Arrays, info: dict[str, Any]) -> None:
        """Store one shard; ``info`` (JSON-able) travels in its manifest."""
        data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        manifest = {"format": FORMAT, "first": shard.first, "last": shard.last, **info}
        manifest["sha256"] = hashlib.sha256(data).hexdigest()
        folder = self.folder(cell)
        write_atomically(folder / f"{shard.name}.safetensors", data)
        write_json(folder / f"{shard.name}.json", manifest)

    def read(self, cell: str, shard: ShardRange) -> tuple[Arrays, dict[str, Any]]:
        """A shard's arrays and manifest. Raises StoreError if it is absent, altered or cut short."""
        path = self.folder(cell) / f"{shard.name}.safetensors"
        manifest = read_json(path.with_suffix(".json"))
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from None
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise StoreError(f"{path}: its manifest is of another format")
        if hashlib.sha256(data).hexdigest() != manifest.get("sha256"):
            raise StoreError(f"{path}: does not match the sha256 in its manifest")
        try:
            return load(data), manifest
        except SafetensorError as error:
            raise StoreError(f"{path}: not a safetensors file ({error})") from None
