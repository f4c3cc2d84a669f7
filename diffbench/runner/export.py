"""The kept images of a run as files that every other tool reads."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from diffbench import results
from diffbench.catalog import COSTS
from diffbench.comparison.join import cell_key, label
from diffbench.comparison.side import RunSide
from diffbench.document.words import slug
from diffbench.errors import SuiteError, UsageError
from diffbench.status.stored import distinct
from diffbench.store.atomic import write_atomically
from diffbench.store.kept import Images
from diffbench.suite.of_run import suite_file
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite
from diffbench.suite.select import select

INDEX = "cells.json"
Format = Literal["png", "npz"]


@dataclass(frozen=True)
class Exported:
    """What was written: folders or files with the number of images in each.

    ``partly`` are the cells, by their keys, that keep fewer images than samples.
    """

    folders: dict[Path, int]
    partly: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class _Kept:
    id: str
    key: str
    n: int


def export_images(run: Path, out: Path, only: str | None = None, form: Format = "png") -> Exported:
    """Write the kept images of every cell, or of those that ``only`` selects.

    ``png``: a folder a cell, files named by sample index, lossless. ``npz``: a file a cell as guided-diffusion's
    evaluator takes them, ``arr_0`` uint8 (k, H, W, C). ``cells.json`` says what each of them holds.

    Raises:
        StoreError: no run folder, or damaged images.
        UsageError: ``out`` holds something, no image was kept, or ``only`` for a run whose suite names objects.
    """
    cells = _cells(run, only)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: exists and is not an empty folder")
    side, written, index = RunSide(run, []), {}, {}
    partly: dict[str, tuple[int, int]] = {}
    write: Callable[[Images, Path], Path] = _npz if form == "npz" else _pngs
    for cell in cells:
        images = side.images(cell.id)
        if len(images) < cell.n:
            partly[cell.key] = len(images), cell.n
        if not len(images):
            continue
        place = write(images, out / slug(cell.key))
        written[place] = len(images)
        index[place.name] = {"cell": cell.id, "key": cell.key, "images": len(images), "of": cell.n}
    if not written:
        raise UsageError(f"{run}: no images were kept; give the suite run: {{keep: {{samples: N}}}}")
    (out / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return Exported(written, partly)


def _pngs(images: Images, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(pixels).save(folder / f"{number:08d}.png")
    return folder


def _npz(images: Images, stem: Path) -> Path:
    buffer = io.BytesIO()
    np.savez(buffer, np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
    path = stem.with_name(f"{stem.name}.npz")
    write_atomically(path, buffer.getvalue())
    return path


def _cells(run: Path, only: str | None) -> Sequence[_Kept]:
    """The run's cells by its suite; by its table where the suite names objects that are gone."""
    path = suite_file(run)
    try:
        planned = distinct(select(plan(read_suite(path)), only), solutions=False)
        return [_Kept(cell.id, cell.key, cell.n) for cell in planned]
    except SuiteError:
        if only is not None:
            raise UsageError(f"{run}: its suite names objects that are not here, so --only can't be read") from None
    scored = (row for row in results.rows(results.read(run)) if row["status"] == "ok" and row["metric"] not in COSTS)
    rows = {row["cell"]: row for row in scored}
    named = {cell_key(row): row for row in rows.values()}
    return [_Kept(row["cell"], label(row), int(row["n"] or 0)) for row in named.values()]
