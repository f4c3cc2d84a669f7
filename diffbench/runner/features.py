"""A cell's shards joined in index order: what scores are computed from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from diffbench.errors import StoreError
from diffbench.store.shards import Arrays, Flaw, Store, Wanted, shard_ranges
from diffbench.suite.plan import Cell


@dataclass(frozen=True)
class StoredCell:
    """What the manifests of a cell's shards say, all of them valid.

    ``digest`` is the hash of all features' hashes in index order: scores belong to it. ``nfe`` and ``network_evals``
    are means over samples; ``device`` names the devices that sampled.
    """

    digest: str
    nfe: float
    network_evals: float
    device: str


def stored_cell(store: Store, cell: Cell, wanted: Wanted) -> StoredCell | Flaw:
    """Read a cell's manifests; the first flaw if a shard can't be used (its features may have been freed)."""
    digest, nfe, evals, devices = hashlib.sha256(), 0.0, 0.0, set()
    for shard in shard_ranges(cell.n, cell.shard):
        flaw = store.flaw(cell.id, shard, wanted, verify=False)
        if flaw is not None and flaw.kind != "freed":
            return Flaw(flaw.kind, f"shard {shard.name}: {flaw.reason}")
        manifest = store.manifest(cell.id, shard)
        digest.update(bytes.fromhex(manifest["artefacts"][cell.card.extractor]["sha256"]))
        nfe += shard.size * manifest["nfe"]
        evals += shard.size * manifest["network_evals"]
        devices.add(str(manifest["device"]))
    return StoredCell(digest.hexdigest(), nfe / cell.n, evals / cell.n, "+".join(sorted(devices)))


def read_features(store: Store, cell: Cell) -> Arrays:
    """All features (n, d) and logits (n, K) of a cell. Raises StoreError if a shard is missing, freed or altered."""
    parts = []
    for shard in shard_ranges(cell.n, cell.shard):
        arrays, _ = store.read(cell.id, shard, cell.card.extractor)
        if {len(array) for array in arrays.values()} != {shard.size}:
            raise StoreError(f"{store.folder(cell.id) / shard.name}: does not hold {shard.size} samples")
        parts.append(arrays)
    return {name: np.concatenate([part[name] for part in parts]) for name in ("features", "logits")}
