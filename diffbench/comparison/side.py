"""One side of a comparison: the table of a run folder, and what is stored of every sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from diffbench import results
from diffbench.catalog import METRICS
from diffbench.document.source import read_document
from diffbench.errors import StoreError
from diffbench.scoring.interval import Score
from diffbench.status.score_cache import REPLICATES, stored_influence
from diffbench.status.stored import PROBE, PROBES
from diffbench.store.kept import Images, kept_images
from diffbench.store.probe import DIGITS, Answers, read_answers, stored_digest
from diffbench.store.sealed import read_sealed
from diffbench.store.shards import Store

Row = Mapping[str, Any]
Stored = tuple[str, Mapping[str, NDArray[np.float64]]]


class Side(Protocol):
    """What a comparison needs to know of one side."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        ...

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of its results table."""
        ...

    @property
    def device(self) -> str:
        """Type and name of the device that it was timed on; empty if that is not known."""
        ...

    @property
    def code(self) -> str:
        """Hash of the sampling code of its last session; empty if that is not known."""
        ...

    @property
    def seed(self) -> int | None:
        """The seed of its noise; None if that is not known."""
        ...

    def stored(self, cell: str) -> Stored:
        """Digest of a cell's features, and influence values (n,) by signature. Raises StoreError."""
        ...

    def images(self, cell: str) -> Images:
        """The kept images of a cell from sample 0 on, (k, C, H, W), k = 0 if there are none. Raises StoreError."""
        ...

    def codes(self, cell: str) -> frozenset[str]:
        """Hashes of the sampling code that made the cell's samples. Raises StoreError."""
        ...

    def answers(self, cell: str) -> Probes:
        """What the cell's model and its sampler answered to the probe. Raises StoreError."""
        ...


@dataclass(frozen=True)
class Probes:
    """Answers of a cell's ``model`` and of its ``sampler`` to fixed questions; None where they are not stored."""

    model: Answers | None
    sampler: Answers | None


@dataclass(frozen=True)
class RunSide:
    """A run folder."""

    path: Path
    rows: list[dict[str, Any]]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    _stored: dict[str, Stored] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> RunSide:
        """Read the table of a run folder. Raises StoreError if there is none, or it is damaged or newer."""
        table = results.read(path)
        provenance = path / "provenance.json"
        return cls(path, results.rows(table), read_sealed(provenance) if provenance.is_file() else {})

    @property
    def name(self) -> str:
        """The folder's path as given."""
        return str(self.path)

    @property
    def device(self) -> str:
        """As the provenance names it, with its number of threads."""
        device = self.provenance.get("device") or {}
        return " ".join(str(value) for _, value in sorted(device.items()))

    @property
    def code(self) -> str:
        """As the provenance has it."""
        return str(self.provenance.get("code", ""))

    @property
    def seed(self) -> int | None:
        """As the resolved suite has it."""
        content = read_document(self.path / "suite.yaml").value
        seed = content.get("seed") if isinstance(content, dict) else None
        return seed if isinstance(seed, int) else None

    def stored(self, cell: str) -> Stored:
        """Of the scores beside the cell's shards; read once."""
        if cell not in self._stored:
            self._stored[cell] = stored_influence(Store(self.path).folder(cell))
        return self._stored[cell]

    def images(self, cell: str) -> Images:
        """Of the cell's shards."""
        return kept_images(Store(self.path), cell)

    def codes(self, cell: str) -> frozenset[str]:
        """Of the manifests of the cell's shards."""
        store = Store(self.path)
        return frozenset(str(store.manifest(cell, shard)["code"]) for shard in store.ranges(cell))

    def answers(self, cell: str) -> Probes:
        """Of the run's probes: a shard's manifest says which of them its model gave."""
        store = Store(self.path)
        given = {str(store.manifest(cell, shard)["probe"])[:DIGITS] for shard in store.ranges(cell)}
        models = [path for path in sorted((self.path / PROBES).glob("*.json")) if stored_digest(path) in given]
        sampler = store.folder(cell) / PROBE
        return Probes(
            read_answers(models[0]) if len(models) == 1 else None, read_answers(sampler) if sampler.is_file() else None
        )


def score_of(side: Side, row: Row) -> Score:
    """A row's score, with its influence values where they are stored; the reason says why not."""
    influence, replicates, reason = None, None, row["reason"]
    if row["metric"] in METRICS and row["se"] is not None:
        try:
            stored = side.stored(row["cell"])[1]
            influence, replicates = stored.get(row["signature"]), stored.get(REPLICATES + row["signature"])
        except StoreError as error:
            reason = str(error)
    return Score(row["value"], row["se"], row["ci_low"], row["ci_high"], row["n"] or 0, influence, reason, replicates)
