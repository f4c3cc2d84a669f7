"""A comparison as a page: the verdicts, and same-seed pairs of the images that changed most."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from diffbench.comparison.compare import Comparison
from diffbench.comparison.equality import Equality
from diffbench.comparison.join import cell_key, label
from diffbench.comparison.side import Row, Side
from diffbench.document.words import counted
from diffbench.report.comparison import GATES, comparison_table, headline, notes
from diffbench.report.grids import mosaic
from diffbench.report.html import png, render_page
from diffbench.store.kept import Images

CELLS = 6
PAIRS = 8
_SIDE = 64  # pixels that a small image is enlarged to, by whole factors


@dataclass(frozen=True)
class Pairs:
    """The images of one cell that changed most: a ``strip`` each of the base, the new side and their difference."""

    cell: str
    said: str
    indices: tuple[int, ...]
    gain: int
    strips: tuple[tuple[str, Markup], ...]


def comparison_page(found: Comparison, base: Side, new: Side) -> str:
    """One HTML file: verdicts, notes, and image pairs of at most ``CELLS`` cells. Raises StoreError."""
    return render_page(
        "comparison.html.j2",
        title=f"{found.base} → {found.new}",
        gate=found.gate,
        outcome=GATES[found.gate].partition(" ")[2],
        headline=headline(found),
        gaps=found.gaps,
        short=comparison_table(found),
        whole=comparison_table(found, everything=True),
        notes=notes(found),
        pairs=largest_changes(found, base, new),
    )


def largest_changes(found: Comparison, base: Side, new: Side, cells: int = CELLS, images: int = PAIRS) -> list[Pairs]:
    """Image pairs of the cells whose images differ most (least PSNR first), those with a WORSE score before others.

    Cells that share samples are shown once. Raises StoreError where images are damaged.
    """
    worse = {cell_key(row.new) for row in found.rows if row.gated and row.verdict.word == "WORSE"}
    rows: dict[tuple[Any, ...], tuple[Row, Row]] = {cell_key(row.new): (row.base, row.new) for row in found.rows}
    told = [(key, one) for key, one in found.samples.items() if one.changed and one.psnr is not None and key in rows]
    told.sort(key=lambda item: (item[0] not in worse, item[1].psnr))
    first: dict[tuple[str, str], tuple[tuple[Any, ...], Equality]] = {}
    for key, one in told:
        first.setdefault((rows[key][0]["cell"], rows[key][1]["cell"]), (key, one))
    return [
        _pairs(label(rows[key][1]), one, base.images(ids[0]), new.images(ids[1]), images)
        for ids, (key, one) in list(first.items())[:cells]
    ]


def _pairs(cell: str, found: Equality, base: Images, new: Images, most: int) -> Pairs:
    indices = found.changed[:most]
    one, other = base[list(indices)], new[list(indices)]
    apart = np.abs(one.astype(np.int16) - other.astype(np.int16))
    gain = max(1, 255 // max(1, int(apart.max())))
    difference = np.minimum(255, apart * gain).astype(np.uint8)
    changed = f"{len(found.changed)} of {counted(found.images, 'kept image')}"
    said = f"{changed} changed, by up to {found.largest} of 255 (PSNR {found.psnr:.1f} dB at worst)"
    strips = (("base", one), ("new", other), ("difference" if gain == 1 else f"difference × {gain}", difference))
    return Pairs(cell, said, indices, gain, tuple((name, png(_strip(images))) for name, images in strips))


def _strip(images: Images) -> bytes:
    """The images side by side as a PNG, small ones enlarged by a whole factor."""
    from PIL import Image

    factor = max(1, _SIDE // max(images.shape[2:]))
    sheet: NDArray[np.uint8] = mosaic(images, 1, len(images))
    whole = Image.fromarray(sheet).resize((sheet.shape[1] * factor, sheet.shape[0] * factor), Image.Resampling.NEAREST)
    data = io.BytesIO()
    whole.save(data, "PNG")
    return data.getvalue()
