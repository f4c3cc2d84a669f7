"""The images that a run kept of a cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import StoreError
from diffbench.store.shards import IMAGES, ShardRange, Store

Images = NDArray[np.uint8]


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
