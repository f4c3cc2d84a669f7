"""Images in ``.npy`` and ``.npz`` files, streamed: what a header claims is checked before anything is read."""

from __future__ import annotations

import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffbench.errors import ImagesError, ScoringError
from diffbench.scoring.images import quantise

BLOCK = 64
LARGEST = 2**26
"""Pixels of an image that are decoded: 8192 x 8192. A small file can claim to be any size."""
Range = tuple[float, float]

DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError)
"""What reading a damaged, encrypted or unknown archive raises (NotImplementedError is a RuntimeError)."""
_LONGEST_HEADER = 10_000
_HEADERS = {
    (1, 0): ("<H", np.lib.format.read_array_header_1_0),
    (2, 0): ("<I", np.lib.format.read_array_header_2_0),
    (3, 0): ("<I", np.lib.format.read_array_header_2_0),
}


@dataclass(frozen=True)
class ArrayPictures:
    """An array of images in a file, read block by block; see ``scoring/pictures.py``."""

    path: Path
    member: str | None
    count: int
    dtype: np.dtype[Any]
    item: tuple[int, ...]
    shape: tuple[int, int, int]
    channels_last: bool
    values: Range | None
    ignored: int = 0

    @classmethod
    def open(cls, path: Path, values: Range | None) -> ArrayPictures:
        """Read the header alone. Raises ImagesError."""
        member = _member(path) if path.suffix == ".npz" else None
        with _stream(path, member) as (stream, size):
            dims, dtype = read_header(path, stream)
            if size is not None and size != stream.tell() + dtype.itemsize * int(np.prod(dims, dtype=object)):
                raise ImagesError(f"{path}: does not hold the {_told(dims)} values that it claims")
        _check_dtype(path, dtype, values)
        shape, channels_last = _layout(path, dims)
        if 0 in dims:
            raise ImagesError(f"{path}: holds no images" + (f" with pixels: {_told(dims)}" if dims[0] else ""))
        if shape[1] * shape[2] > LARGEST:
            raise ImagesError(f"{path}: images of {shape[2]} x {shape[1]} pixels; at most {LARGEST:,}")
        return cls(path, member, dims[0], dtype, dims[1:], shape, channels_last, values)

    def blocks(self) -> Iterator[Tensor]:
        """All images in order. Raises ImagesError."""
        each = self.dtype.itemsize * int(np.prod(self.item))
        with _stream(self.path, self.member) as (stream, _):
            read_header(self.path, stream)
            least, most = math.inf, -math.inf
            for start in range(0, self.count, BLOCK):
                count = min(BLOCK, self.count - start)
                data = _read(self.path, stream, count * each)
                block = np.frombuffer(data, self.dtype).reshape(count, *self.item)
                yield self._images(block, start)
                least, most = min(least, float(block.min())), max(most, float(block.max()))
        self._require_span(least, most)

    def _require_span(self, least: float, most: float) -> None:
        """Raise ImagesError for floats that all lie in half of their stated range, or in less: it is another one."""
        if self.values is not None and most - least <= 0.51 * (self.values[1] - self.values[0]):
            low, high = self.values
            said = f"all values lie between {least:.4g} and {most:.4g}, in half of {low:g} to {high:g}"
            raise ImagesError(f"{self.path}: {said}; is that their range?")

    def _images(self, block: NDArray[Any], start: int) -> Tensor:
        if block.ndim == 3:
            block = block[:, None]
        elif self.channels_last:
            block = block.transpose(0, 3, 1, 2)
        if self.values is None:
            return torch.from_numpy(np.array(block, order="C"))
        low, high = self.values
        floats = torch.from_numpy(np.array(block, dtype=np.float64, order="C"))
        within = (floats >= low - 1e-3 * (high - low)) & (floats <= high + 1e-3 * (high - low))
        good = (within | ~torch.isfinite(floats)).flatten(1).all(dim=1)
        if not bool(good.all()):
            bad = int((~good).nonzero()[0, 0])
            extremes = f"{float(floats[bad].min()):.4g} to {float(floats[bad].max()):.4g}"
            raise ImagesError(
                f"{self.path}: image {start + bad} has values from {extremes}, outside {low:g} to {high:g}"
            )
        try:
            return quantise(floats, low, high, first_index=start)
        except ScoringError as error:
            raise ImagesError(f"{self.path}: {error}") from None


def _member(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names: list[str] = [name for name in archive.namelist() if name.endswith(".npy")]
    except (*DAMAGE, ValueError) as error:
        raise ImagesError(f"{path}: can't be read as .npz ({error})") from None
    for name in ("images.npy", "arr_0.npy", *(names if len(names) == 1 else ())):
        if name in names:
            return str(name)
    raise ImagesError(f"{path}: holds {', '.join(names) or 'no array'}; expected one array, or images or arr_0")


class _stream(closing[Any]):
    """The open array file and its size; of a compressed member, the size after decompression."""

    def __init__(self, path: Path, member: str | None) -> None:
        try:
            self._archive = zipfile.ZipFile(path) if member is not None else None
            self._file: IO[bytes] = self._archive.open(member) if self._archive and member else path.open("rb")
            self._size = self._archive.getinfo(member).file_size if self._archive and member else path.stat().st_size
        except DAMAGE as error:
            raise ImagesError(f"{path}: can't be read ({error})") from None
        super().__init__(self)

    def __enter__(self) -> tuple[IO[bytes], int]:
        return self._file, self._size

    def close(self) -> None:
        self._file.close()
        if self._archive is not None:
            self._archive.close()


def read_header(path: Path, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of the array that a stream in numpy's format begins with; nothing is unpickled.

    The header's length is checked before it is read: numpy itself checks it afterwards, when a small compressed file
    has filled the memory already. Raises ImagesError, which names ``path``.
    """
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"version {version[0]}.{version[1]} is none of numpy's")
        size, read = _HEADERS[version]
        stated = stream.read(struct.calcsize(size))
        (length,) = struct.unpack(size, stated)
        if length > _LONGEST_HEADER:
            raise ValueError(f"its header claims {length:,} bytes, at most {_LONGEST_HEADER:,}")
        dims, fortran, dtype = read(io.BytesIO(stated + stream.read(length)), max_header_size=_LONGEST_HEADER)
    except (*DAMAGE, ValueError, struct.error, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise ImagesError(f"{path}: no array in numpy's format ({' '.join(str(error).split())[:200]})") from None
    if dtype.hasobject:
        raise ImagesError(f"{path}: holds pickled objects, which are never loaded")
    if fortran and len(dims) > 1:
        raise ImagesError(f"{path}: is in Fortran's order; save it with numpy.ascontiguousarray")
    if any(size < 0 for size in dims):
        raise ImagesError(f"{path}: claims the shape {_told(dims)}")
    return tuple(int(size) for size in dims), dtype


def _read(path: Path, stream: IO[bytes], size: int) -> bytes:
    try:
        data = stream.read(size)
    except DAMAGE as error:
        raise ImagesError(f"{path}: damaged ({error})") from None
    if len(data) != size:
        raise ImagesError(f"{path}: ends too early; it is truncated")
    return data


def _check_dtype(path: Path, dtype: np.dtype[Any], values: Range | None) -> None:
    if values is not None:
        if dtype.kind != "f":
            raise ImagesError(f"{path}: holds {dtype}; a range is for floats")
        if not -math.inf < values[0] < values[1] < math.inf:
            raise ImagesError(f"the range {values[0]:g} to {values[1]:g} is empty, or not finite")
    elif dtype.kind == "f":
        raise ImagesError(f"{path}: holds {dtype}; say which values are black and white, as in --range -1,1")
    elif dtype != np.uint8:
        raise ImagesError(f"{path}: holds {dtype}; images are uint8")


def _told(dims: tuple[int, ...]) -> str:
    return " x ".join(map(str, dims))


def _layout(path: Path, dims: tuple[int, ...]) -> tuple[tuple[int, int, int], bool]:
    """(C, H, W), and whether channels come last."""
    if len(dims) == 3:
        return (1, dims[1], dims[2]), False
    told = _told(dims)
    if len(dims) != 4:
        raise ImagesError(f"{path}: is {told}; expected N x H x W x C or N x C x H x W")
    last, first = dims[3] in (1, 3), dims[1] in (1, 3)
    if last == first:
        why = "could be either" if last else "has no axis of 1 or 3 channels"
        raise ImagesError(f"{path}: is {told}, which {why}; expected N x H x W x C or N x C x H x W")
    return ((dims[3], dims[1], dims[2]) if last else (dims[1], dims[2], dims[3])), last
