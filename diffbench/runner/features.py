"""A cell's shards joined in index order: what scores are computed from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from diffbench.errors import StoreError
from diffbench.store.shards import X0, Arrays, Flaw, Manifest, ShardRange, Store, Wanted, shard_ranges
from diffbench.suite.plan import Cell


@dataclass(frozen=True)
class StoredCell:
    """What the manifests of a cell's shards say, all of them valid.

    ``digest`` is the hash of all features' (and x0's) hashes in index order: scores belong to it. ``nfe`` and
    ``network_evals`` are means over samples; ``device`` names the devices that sampled.
    """

    digest: str
    nfe: float
    network_evals: float
    device: str


class Tally:
    """Adds up the manifests of a cell's shards, which come in index order; ``codes`` are those that made them."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._digest = hashlib.sha256()
        self._nfe = self._evals = 0.0
        self._devices: set[str] = set()
        self.codes: set[str] = set()

    def add(self, shard: ShardRange, manifest: Manifest) -> None:
        """The next shard."""
        for name in self._cell.artefacts:
            self._digest.update(bytes.fromhex(manifest["artefacts"][name]["sha256"]))
        self._nfe += shard.size * manifest["nfe"]
        self._evals += shard.size * manifest["network_evals"]
        self._devices.add(str(manifest["device"]))
        self.codes.add(str(manifest["code"]))

    def total(self) -> StoredCell:
        """What all of them say."""
        n = self._cell.n
        return StoredCell(self._digest.hexdigest(), self._nfe / n, self._evals / n, "+".join(sorted(self._devices)))


def stored_cell(store: Store, cell: Cell, wanted: Wanted) -> StoredCell | Flaw:
    """Read a cell's manifests; the first flaw if a shard can't be used (its features may have been freed)."""
    tally = Tally(cell)
    for shard in shard_ranges(cell.n, cell.shard):
        found = store.examine(cell.id, shard, wanted, verify=False)
        if isinstance(found, Flaw) and found.kind != "freed":
            return Flaw(found.kind, f"shard {shard.name}: {found.reason}")
        tally.add(shard, store.manifest(cell.id, shard) if isinstance(found, Flaw) else found)
    if len(tally.codes) > 1:
        return Flaw("stale", "its shards were made by different versions of the sampling code")
    return tally.total()


def read_features(store: Store, cell: Cell) -> Arrays:
    """All features (n, d) and logits (n, K) of a cell. Raises StoreError if a shard is missing, freed or altered."""
    assert cell.card.extractor is not None
    return _joined(store, cell, cell.card.extractor)


def read_x0(store: Store, cell: Cell) -> Arrays:
    """``x0`` (n, C, H, W) float32 of a cell that keeps it. Raises StoreError if a shard is missing or altered."""
    return _joined(store, cell, X0)


def _joined(store: Store, cell: Cell, artefact: str) -> Arrays:
    parts = []
    for shard in shard_ranges(cell.n, cell.shard):
        arrays, _ = store.read(cell.id, shard, artefact)
        if {len(array) for array in arrays.values()} != {shard.size}:
            raise StoreError(f"{store.folder(cell.id) / shard.name}: does not hold {shard.size} samples")
        parts.append(arrays)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
