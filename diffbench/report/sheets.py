"""Samples as sheets for the page: one image file a cell, as good as all of them together may be large."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_PROBED = 12  # sheets that a quality is tried on
_SPARE = 0.9  # the others may be larger


@dataclass(frozen=True)
class Quality:
    """Samples of a sheet, their longest side in pixels, and the quality of WebP; ``webp`` None is PNG, without loss."""

    samples: int
    side: int
    webp: int | None

    @property
    def words(self) -> str:
        """How a sheet's images differ from those of the run."""
        return "without loss" if self.webp is None else f"as WebP of quality {self.webp}"


QUALITIES = (
    Quality(16, 256, None), Quality(16, 256, 90), Quality(16, 128, 90), Quality(16, 128, 75),
    Quality(8, 96, 75), Quality(4, 96, 75), Quality(4, 64, 60), Quality(2, 48, 50),
    Quality(1, 48, 50),
)  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """A grid of equally large tiles in one image file: ``rows`` x ``columns`` of ``width`` x ``height`` pixels."""

    data: bytes
    kind: str
    rows: int
    columns: int
    width: int
    height: int

    def to_dict(self) -> dict[str, Any]:
        """For the page's script; ``src`` is an address that holds the file."""
        src = f"data:image/{self.kind};base64,{base64.b64encode(self.data).decode()}"
        return {"src": src, "rows": self.rows, "columns": self.columns, "width": self.width, "height": self.height}


def sheets(
    tiles: Mapping[str, Callable[[int], Pixels]], most: int, qualities: Sequence[Quality] = QUALITIES
) -> tuple[dict[str, Sheet], Quality | None]:
    """The sheets by name, at the best of the ``qualities`` at which all of them take at most ``most`` bytes in a page.

    ``tiles`` gives for a number of samples k the tiles (rows, columns, C, H, W), rows or columns being k or fewer. The
    quality is tried on a few sheets; None where none is good enough.
    """
    names = sorted(tiles)
    probed = names[:: max(1, len(names) // _PROBED)]
    for quality in qualities:
        size = sum(len(sheet(tiles[name](quality.samples), quality).data) for name in probed)
        if size * 4 / 3 * len(names) <= _SPARE * most * len(probed):
            return {name: sheet(tiles[name](quality.samples), quality) for name in names}, quality
    return {}, None


def sheet(tiles: Pixels, quality: Quality) -> Sheet:
    """Tiles (rows, columns, C, H, W) as one image file; channels beyond three are left out, of two the second."""
    from PIL import Image

    rows, columns, channels = tiles.shape[:3]
    shown = tiles[:, :, : 3 if channels >= 3 else 1]
    height, width = shown.shape[3:]
    factor = min(1.0, quality.side / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    whole = shown.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, -1)
    picture = Image.fromarray(whole[:, :, 0] if whole.shape[2] == 1 else np.ascontiguousarray(whole))
    if factor < 1:
        picture = picture.resize((columns * size[0], rows * size[1]), Image.Resampling.BOX)
    data = io.BytesIO()
    if quality.webp is None:
        picture.save(data, "PNG")
    else:
        picture.save(data, "WEBP", quality=quality.webp, method=2)
    return Sheet(data.getvalue(), "png" if quality.webp is None else "webp", rows, columns, *size)
