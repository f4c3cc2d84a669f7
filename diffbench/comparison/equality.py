"""Whether two sides made the same samples from the same noise: the test that has no error rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from diffbench.comparison.side import Side
from diffbench.errors import StoreError
from diffbench.store.kept import Images


@dataclass(frozen=True)
class Equality:
    """How alike the samples of a cell are on both sides.

    Attributes:
        equal: whether all features are equal bit for bit; None if that is not known.
        images: kept images compared, sample by sample.
        largest: the largest difference of a pixel, 0 to 255; None without images.
        psnr: the least peak signal-to-noise ratio of an image, in dB; None where all are equal, or without images.
        changed: indices of the images that differ, most first.
    """

    equal: bool | None
    images: int
    largest: int | None
    psnr: float | None
    changed: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.equal:
            return "bit-equal"
        if self.largest is None:
            return "unknown" if self.equal is None else "differ"
        if self.largest == 0:
            return f"{self.images} images equal, features differ"
        return f"differ by up to {self.largest} of 255 (PSNR {self.psnr:.1f} dB)"


def psnr(one: Images, other: Images) -> list[float]:
    """Peak signal-to-noise ratio of each pair of images (k, C, H, W) in dB: 10 log10(255^2 / MSE); inf where equal."""
    apart = (one.astype(np.float64) - other.astype(np.float64)).reshape(len(one), -1)
    return [10 * math.log10(255**2 / error) if error else math.inf for error in (apart**2).mean(axis=1)]


def features_equal(base: Side, base_cell: str, new: Side, new_cell: str) -> bool | None:
    """Whether all features of a cell are the same on both sides, bit for bit; None where that is not known."""
    try:
        return base.stored(base_cell)[0] == new.stored(new_cell)[0]
    except StoreError:
        return None


def equality(base: Side, base_cell: str, new: Side, new_cell: str) -> Equality:
    """Compare what both sides stored of a cell. Raises StoreError for damaged images."""
    equal = features_equal(base, base_cell, new, new_cell)
    one, other = base.images(base_cell), new.images(new_cell)
    count = min(len(one), len(other))
    if count == 0 or one.shape[1:] != other.shape[1:]:
        return Equality(equal, 0, None, None)
    one, other = one[:count], other[:count]
    largest = int(np.abs(one.astype(np.int16) - other.astype(np.int16)).max())
    ratios = psnr(one, other)
    changed = sorted((index for index, ratio in enumerate(ratios) if ratio < math.inf), key=ratios.__getitem__)
    return Equality(equal, count, largest, min(ratios) if changed else None, tuple(changed))
