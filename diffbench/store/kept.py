"""The images that a run kept of a cell, and how its first ones formed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import StoreError
from diffbench.store.shards import IMAGES, TRAJECTORIES, ShardRange, Store

Images = NDArray[np.uint8]
FRAMES = 8
"""How many estimates of x0 a trajectory has at most, beside the sample itself."""


def kept_images(store: Store, cell: str, most: int | None = None) -> Images:
    """The first kept images of a cell, in index order: uint8 (k, C, H, W), ``most`` at most, k = 0 if none were kept.

    Raises StoreError if they are absent or altered.
    """
    found: list[Images] = []
    end, kept = 0, 0
    for shard in store.ranges(cell):
        if shard.first < end or (most is not None and kept >= most):  # a short shard that a longer one has replaced
            continue
        images = _of_shard(store, cell, shard)
        if images is None or shard.first > end:
            break
        found.append(images if most is None else images[: most - kept])
        kept += len(found[-1])
        end = shard.last
        if len(images) < shard.size:
            break
    return np.concatenate(found) if found else np.zeros((0, 1, 1, 1), np.uint8)


def _of_shard(store: Store, cell: str, shard: ShardRange) -> Images | None:
    if IMAGES not in store.manifest(cell, shard)["artefacts"]:
        return None
    arrays, _ = store.read(cell, shard, IMAGES)
    images = arrays.get(IMAGES)
    if images is None or images.ndim != 4 or images.dtype != np.uint8:
        found = "none" if images is None else f"{images.dtype} of shape {images.shape}"
        raise StoreError(f"{store.folder(cell) / shard.name}: images are {found}, not uint8 (k, C, H, W)")
    return images.astype(np.uint8, copy=False)


@dataclass(frozen=True, eq=False)
class Trajectories:
    """How the first samples of a cell formed: ``frames`` uint8 (k, S, C, H, W), the last being the samples themselves.

    ``evaluations`` (S,): how many had been made; ``sigma`` (k, S): the noise level that each estimate was made at.
    """

    frames: Images
    evaluations: NDArray[np.int64]
    sigma: NDArray[np.float64]


def kept_trajectories(store: Store, cell: str) -> Trajectories | None:
    """How the first samples of a cell formed; None if that was not kept. Raises StoreError if it is altered."""
    shard = next((one for one in store.ranges(cell) if one.first == 0), None)
    if shard is None or TRAJECTORIES not in store.manifest(cell, shard)["artefacts"]:
        return None
    arrays, _ = store.read(cell, shard, TRAJECTORIES)
    found = Trajectories(arrays[TRAJECTORIES], arrays["evaluations"], arrays["sigma"])
    k, s = found.frames.shape[:2]
    if found.frames.ndim != 5 or found.frames.dtype != np.uint8 or found.sigma.shape != (k, s) or k * s == 0:
        raise StoreError(f"{store.folder(cell) / shard.name}: trajectories are not uint8 (k, S, C, H, W)")
    return found
