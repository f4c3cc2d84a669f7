"""A run's scores in one file, small enough to commit: what a comparison needs of the base, without its samples.

A safetensors file, which no reader has to trust: influence values, the first images of every cell and the answers to
the probe as arrays, and one sealed JSON text that holds the rows of the results table and the sha256 of the arrays.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from diffbench import results
from diffbench.comparison.side import Probes, RunSide, Side, Stored
from diffbench.errors import StoreError
from diffbench.status.score_cache import REPLICATES
from diffbench.store.atomic import read_bytes, write_atomically
from diffbench.store.kept import Images
from diffbench.store.probe import Answer, Answers
from diffbench.store.sealed import seal, unseal

FORMAT = 1
IMAGES = 8
"""Images of each cell that are kept by default: enough to see what changed."""
_KEY = "diffbench"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Baseline:
    """A stored side: ``rows`` of its results table, the rest of the file's ``content``, and its ``arrays``."""

    path: Path
    rows: list[dict[str, Any]]
    content: Mapping[str, Any]
    arrays: Arrays

    @classmethod
    def open(cls, path: Path) -> Baseline:
        """Read a file that :func:`write_baseline` wrote.

        Raises:
            StoreError: missing, damaged, not a baseline, with rows that no results table has, or written by a newer
                diffbench.
        """
        if not path.is_file():
            raise StoreError(f"{path}: no baseline there; `diffbench baseline RUN --out {path}` makes one of a run")
        data = read_bytes(path)
        try:
            arrays, metadata = load(data), _metadata(data)
        except (SafetensorError, ValueError, struct.error):
            raise StoreError(f"{path}: not a baseline, or damaged") from None
        if _KEY not in metadata:
            raise StoreError(f"{path}: not a baseline: a safetensors file of something else")
        content = unseal(metadata[_KEY].encode(), path)
        if content["format"] > FORMAT:
            raise StoreError(
                f"{path}: format {content['format']} is newer than this diffbench reads ({FORMAT}); update it"
            )
        if content["arrays"] != _digest(arrays):
            raise StoreError(f"{path}: its arrays do not match their own sha256")
        try:
            rows = results.rows(results.frame(content["rows"]))
        except StoreError as error:
            raise StoreError(f"{path}: {error}") from None
        return cls(path, rows, content, arrays)

    @property
    def name(self) -> str:
        """The file's path as given."""
        return str(self.path)

    @property
    def device(self) -> str:
        """As the run's provenance named it."""
        return str(self.content["device"])

    @property
    def code(self) -> str:
        """As the run's provenance had it."""
        return str(self.content["code"])

    @property
    def seed(self) -> int | None:
        """As the run's suite had it."""
        seed = self.content["seed"]
        return None if seed is None else int(seed)

    def stored(self, cell: str) -> Stored:
        """Digest of the features, and influence values by signature."""
        known = self._cell(cell)
        if known["features"] is None:
            raise StoreError(f"{self.path}: no values per sample of cell {cell}")
        return known["features"], {signature: self.arrays[name] for signature, name in known["influence"].items()}

    def images(self, cell: str) -> Images:
        """The images that the file keeps."""
        return self.arrays.get(f"images/{cell}", np.zeros((0, 1, 1, 1), np.uint8))

    def codes(self, cell: str) -> frozenset[str]:
        """Hashes of the sampling code that made the cell's samples."""
        return frozenset(self._cell(cell)["codes"])

    def answers(self, cell: str) -> Probes:
        """What the file keeps of the probe."""
        known = self._cell(cell)
        return Probes(*(self._answers(known[one]) for one in ("model", "sampler")))

    def _cell(self, cell: str) -> Mapping[str, Any]:
        known: Mapping[str, Any] | None = self.content["cells"].get(cell)
        if known is None:
            raise StoreError(f"{self.path}: nothing of cell {cell}")
        return known

    def _answers(self, digest: str | None) -> Answers | None:
        if digest is None:
            return None
        outline = self.content["probes"][digest]
        named = {
            name: Answer(self.arrays[f"{digest}/{name}/values"], dtype, self.arrays[f"{digest}/{name}/scale"])
            for name, dtype in outline["answers"].items()
        }
        return Answers(named, outline["where"])


def open_side(path: Path) -> Side:
    """A run folder, or a baseline file. Raises StoreError if it is neither."""
    return RunSide.open(path) if path.is_dir() else Baseline.open(path)


def write_baseline(side: RunSide, path: Path, images: int = IMAGES) -> int:
    """Store what a comparison needs of a run in one file, which is replaced as a whole; returns its size in bytes.

    Args:
        side: the run.
        path: the file.
        images: kept images of each cell, at most.

    Raises:
        StoreError: no cell of the run has a score, a part of it is damaged, or the file can't be written.
    """
    rows = side.rows
    if not any(row["status"] == "ok" and row["value"] is not None for row in rows):
        raise StoreError(f"{side.name}: no cell has a score; there is nothing to compare with")
    arrays: Arrays = {}
    probes: dict[str, Any] = {}
    cells = {row["cell"]: None for row in rows if row["status"] == "ok"}
    outlines = {cell: _outline(side, cell, images, arrays, probes) for cell in cells}
    content = {
        "format": FORMAT, "suite": rows[0]["suite"], "device": side.device, "code": side.code, "seed": side.seed,
        "rows": rows, "cells": outlines, "probes": probes, "arrays": _digest(arrays),
    }  # fmt: skip
    data = save(arrays, metadata={_KEY: seal(content).decode()})
    write_atomically(path, data)
    return len(data)


def _outline(side: RunSide, cell: str, images: int, arrays: Arrays, probes: dict[str, Any]) -> dict[str, Any]:
    """What the file says of one cell; arrays go to ``arrays``, answers of its model and sampler to ``probes``."""
    wanted = {row["signature"] for row in side.rows if row["cell"] == cell}
    features, names = None, {}
    if wanted - {None}:
        try:
            features, influence = side.stored(cell)
        except StoreError:  # a cell without an extractor has no such scores
            influence = {}
        for index, (signature, values) in enumerate(sorted(influence.items())):
            if signature.removeprefix(REPLICATES) in wanted:
                names[signature] = f"influence/{cell}/{index}"
                arrays[names[signature]] = np.ascontiguousarray(values, np.float64)
    kept = side.images(cell)[:images]
    if len(kept):
        arrays[f"images/{cell}"] = np.ascontiguousarray(kept)
    answers = side.answers(cell)
    return {
        "features": features,
        "influence": names,
        "codes": sorted(side.codes(cell)),
        "model": _keep(answers.model, arrays, probes),
        "sampler": _keep(answers.sampler, arrays, probes),
    }


def _keep(answers: Answers | None, arrays: Arrays, probes: dict[str, Any]) -> str | None:
    if answers is None:
        return None
    digest = answers.digest
    if digest not in probes:
        probes[digest] = {
            "where": dict(answers.where), "answers": {name: answer.dtype for name, answer in answers.named.items()}
        }  # fmt: skip
        for name, answer in answers.named.items():
            arrays[f"{digest}/{name}/values"] = np.ascontiguousarray(answer.values)
            arrays[f"{digest}/{name}/scale"] = np.ascontiguousarray(answer.scale)
    return digest


def _metadata(data: bytes) -> dict[str, str]:
    """The text entries of a safetensors header, which ``load`` has found to be one."""
    (size,) = struct.unpack_from("<Q", data)
    header: dict[str, Any] = json.loads(data[8 : 8 + size])
    return dict(header.get("__metadata__") or {})


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}\n".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
