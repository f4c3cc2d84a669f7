"""The kept images of a run as files that every other tool reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from diffbench.comparison.side import RunSide
from diffbench.document.words import slug
from diffbench.errors import StoreError, UsageError
from diffbench.status.stored import distinct
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite
from diffbench.suite.select import select

INDEX = "cells.json"


@dataclass(frozen=True)
class Exported:
    """Folders with the number of images in each, and the cells, by their keys, that keep fewer images than samples."""

    folders: dict[Path, int]
    partly: dict[str, tuple[int, int]]


def export_images(run: Path, out: Path, only: str | None = None) -> Exported:
    """Write the kept images of every cell, or of those that ``only`` selects.

    File names are sample indices; ``cells.json`` says what each folder holds. PNG is lossless.

    Raises:
        StoreError: no run folder, or damaged images.
        UsageError: ``out`` holds something, or no image was kept.
    """
    suite = run / "suite.yaml"
    if not suite.is_file():
        raise StoreError(f"{run}: no suite.yaml here; not a run folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: exists and is not an empty folder")
    side, written, index = RunSide(run, []), {}, {}
    partly: dict[str, tuple[int, int]] = {}
    for cell in distinct(select(plan(read_suite(suite)), only), solutions=False):
        images = side.images(cell.id)
        if len(images) < cell.n:
            partly[cell.key] = len(images), cell.n
        if not len(images):
            continue
        folder = out / slug(cell.key)
        folder.mkdir(parents=True)
        for number, image in enumerate(images):
            pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
            Image.fromarray(pixels).save(folder / f"{number:08d}.png")
        written[folder] = len(images)
        index[folder.name] = {"cell": cell.id, "key": cell.key, "images": len(images), "of": cell.n}
    if not written:
        raise UsageError(f"{run}: no images were kept; give the suite run: {{keep: {{samples: N}}}}")
    (out / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return Exported(written, partly)
