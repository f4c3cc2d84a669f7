"""What the real data itself scores: written beside the results, so that a report can mark the floor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffbench.runner.loaded import Loaded
from diffbench.scoring.inception_score import inception_score
from diffbench.scoring.reference import floor
from diffbench.store.sealed import write_sealed
from diffbench.suite.plan import Cell

FLOOR_DRAWS = 10


def write_references(folder: Path, cells: Sequence[Cell], loaded: Loaded) -> None:
    """Write ``references.json``: per reference its size, hash, IS, and the FID of n real images against the rest."""
    content: dict[str, dict[str, Any]] = {}
    for cell in cells:
        reference = loaded.reference(cell)
        if reference is None:
            continue
        entry = content.setdefault(
            reference.name,
            {
                "n": reference.n,
                "sha256": reference.sha256,
                "extractor": reference.extractor,
                "is": None if reference.logits is None else inception_score(reference.logits).value,
                "floors": {},
            },
        )
        if str(cell.n) not in entry["floors"] and reference.features is not None and 2 <= cell.n <= reference.n - 2:
            mean, sd = floor(reference, cell.n, draws=FLOOR_DRAWS)
            entry["floors"][str(cell.n)] = {"fid": {"mean": mean, "sd": sd, "draws": FLOOR_DRAWS}}
    if content:
        write_sealed(folder / "references.json", content)
