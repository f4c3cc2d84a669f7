"""Image sets made by anything else, as blocks of uint8 (B, C, H, W): folders of PNG and JPEG, arrays, datasets.

Nothing is guessed: what could be read in two ways is refused in one line. An image set is read in blocks, never whole.
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from diffbench.errors import ImagesError
from diffbench.scoring.picture_arrays import BLOCK, LARGEST, ArrayPictures, Range

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_REFUSED = {
    "RGBA": "has an alpha channel; flatten it to RGB first",
    "LA": "has an alpha channel; flatten it to grey first",
    "PA": "has an alpha channel; flatten it to RGB first",
    "P": "has a palette; convert it to RGB first",
    "CMYK": "is CMYK; convert it to RGB first",
    "1": "has one bit a pixel; convert it to grey first",
}


class Pictures(Protocol):
    """A set of images of one shape."""

    @property
    def count(self) -> int:
        """Number of images."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W), C is 1 or 3."""
        ...

    @property
    def ignored(self) -> int:
        """Files of a folder that are no PNG or JPEG."""
        ...

    def blocks(self) -> Iterator[Tensor]:
        """All images in order, as uint8 (B, C, H, W) with B at most ``BLOCK``. Raises ImagesError."""
        ...


def open_pictures(path: Path, values: Range | None = None) -> Pictures:
    """Open a folder of PNG and JPEG (in order of their paths, folders within included), an ``.npz`` or an ``.npy``.

    Pictures are taken as they are stored: a tag that says how a camera was held turns none of them.

    Arrays are uint8 (N,H,W,C), (N,C,H,W) or (N,H,W); with ``values`` = (low, high), floats of that range, which go
    through the one quantiser. Of an ``.npz``, ``images``, ``arr_0`` or its only array is taken.

    Raises:
        ImagesError: nothing there, no images, or images that are not all of one plain shape and kind.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ImagesError(f"{path}: {error.strerror or error}") from None
    if stat.S_ISDIR(mode):
        if values is not None:
            raise ImagesError(f"{path}: PNG and JPEG hold 8-bit values; a range is for float arrays")
        return _Folder.open(path)
    if not stat.S_ISREG(mode):
        raise ImagesError(f"{path}: neither a folder nor a file")
    if path.suffix not in (".npz", ".npy"):
        raise ImagesError(f"{path}: expected a folder of PNG or JPEG files, an .npz or an .npy")
    return ArrayPictures.open(path, values)


@dataclass(frozen=True)
class _Folder:
    files: tuple[Path, ...]
    shape: tuple[int, int, int]
    ignored: int

    @classmethod
    def open(cls, path: Path) -> _Folder:
        found = sorted(one for one in path.rglob("*") if not one.is_dir())
        files = tuple(one for one in found if one.suffix.lower() in _SUFFIXES and not one.name.startswith("."))
        if not files:
            raise ImagesError(f"{path}: no PNG or JPEG file in it{f', {len(found)} others' if found else ''}")
        return cls(files, tuple(_decoded(files[0]).shape), len(found) - len(files))

    @property
    def count(self) -> int:
        return len(self.files)

    def blocks(self) -> Iterator[Tensor]:
        for start in range(0, len(self.files), BLOCK):
            yield torch.from_numpy(np.stack([self._image(file) for file in self.files[start : start + BLOCK]]))

    def _image(self, file: Path) -> NDArray[np.uint8]:
        image = _decoded(file)
        if image.shape != self.shape:
            raise ImagesError(
                f"{file}: is {_size(image.shape)}, but {self.files[0].name} is {_size(self.shape)}; all must be alike"
            )
        return image


def _size(shape: Sequence[int]) -> str:
    return f"{shape[2]} x {shape[1]} {'grey' if shape[0] == 1 else 'RGB'}"


def _decoded(file: Path) -> NDArray[np.uint8]:
    """One image as (C, H, W)."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ImagesError(f"{file}: not a regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of corrupt metadata, and of sizes that only a bomb has
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                if (hidden := _hidden(file, image)) is not None:
                    raise ImagesError(f"{file}: {hidden}")
                if image.width * image.height > LARGEST:
                    raise ImagesError(f"{file}: claims {image.width} x {image.height} pixels; at most {LARGEST:,}")
                if image.mode not in ("L", "RGB"):
                    said = _REFUSED.get(
                        image.mode, f"has {image.mode} pixels; 8 bits a channel, grey or RGB, are taken"
                    )
                    raise ImagesError(f"{file}: {said}")
                pixels = np.asarray(image, dtype=np.uint8)
    except UnidentifiedImageError:
        raise ImagesError(f"{file}: neither a PNG nor a JPEG, whatever its name says") from None
    except (OSError, SyntaxError, ValueError, Warning, Image.DecompressionBombError) as error:
        raise ImagesError(f"{file}: can't be decoded ({' '.join(str(error).split())})") from None
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def _hidden(file: Path, image: Image.Image) -> str | None:
    """What Pillow would drop without a word: low bytes, a transparent colour, later frames."""
    if image.format != "PNG":
        return None
    with file.open("rb") as stream:
        depth = stream.read(25)[-1]  # of IHDR, which stands first
    if depth == 16:
        return "has 16 bits a channel; 8 bits a channel, grey or RGB, are taken"
    if "transparency" in image.info and image.mode in ("L", "RGB"):
        return "has a transparent colour; flatten it first"
    if getattr(image, "n_frames", 1) > 1:
        return "is animated; save each frame as a file"
    return None


@dataclass(frozen=True)
class DatasetPictures:
    """A torch dataset whose items are uint8 tensors (C, H, W), or tuples that begin with one."""

    dataset: Any
    ignored: int = 0

    @property
    def count(self) -> int:
        """Length of the dataset."""
        return len(self.dataset)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of its first image."""
        if not self.count:
            raise ImagesError("the dataset is empty")
        channels, height, width = self._image(0).shape
        return channels, height, width

    def blocks(self) -> Iterator[Tensor]:
        """All items in order. Raises ImagesError."""
        shape = self.shape
        for start in range(0, self.count, BLOCK):
            images = [self._image(index) for index in range(start, min(start + BLOCK, self.count))]
            for index, image in enumerate(images, start):
                if tuple(image.shape) != shape:
                    raise ImagesError(f"item {index} of the dataset is {tuple(image.shape)}, the first one is {shape}")
            yield torch.stack(images)

    def _image(self, index: int) -> Tensor:
        item = self.dataset[index]
        image = item[0] if isinstance(item, tuple | list) else item
        if not isinstance(image, Tensor) or image.dtype != torch.uint8 or image.ndim != 3 or len(image) not in (1, 3):
            raise ImagesError(f"item {index} of the dataset is no uint8 tensor (C, H, W) with 1 or 3 channels")
        return image
