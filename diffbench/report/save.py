"""Figures as files: PNG, PDF, SVG and the CSV behind them; the same bytes for the same input, and each says what it is.

The signatures of the scores that a figure shows (their comparable parts) stand in PNG's text chunk ``Signature``, in
PDF's keywords and in SVG's ``dc:description``; no file holds a date.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from diffbench import results
from diffbench.inert import printable
from diffbench.report.frame import CellView, comparable, unique
from diffbench.store.atomic import write_together

DPI = 200
ENDINGS = ("png", "pdf", "svg")

Behind = tuple[Sequence[str], list[Sequence[Any]]]
"""Columns and rows of the CSV behind a figure."""


def signatures_of(cells: Iterable[CellView], metrics: Sequence[str]) -> list[str]:
    """The comparable parts of the signatures of these cells' scores, each once."""
    return unique(comparable(c.signatures[m]) for c in cells for m in metrics if m in c.signatures)


def save(
    figure: Figure, folder: Path, name: str, data: Behind | None, signatures: Sequence[str] = ()
) -> list[Path]:  # fmt: skip
    """Write ``name``.png, .pdf, .svg and, with ``data``, the .csv behind it; returns the files. Raises StoreError."""
    files = {f"{name}.{ending}": content for ending, content in rendered(figure, name, signatures).items()}
    if data is not None:
        files[f"{name}.csv"] = results.csv_bytes(*data)
    write_together(folder, files)
    return [folder / file for file in files]


def rendered(figure: Figure, name: str, signatures: Sequence[str] = ()) -> dict[str, bytes]:
    """The figure in each of ``ENDINGS``, laid out once for all."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # what was laid out stays, in all formats
    told = json.dumps([printable(signature) for signature in signatures])
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": "diffbench", "Title": name, "Signature": told},
        "pdf": {"Creator": "diffbench", "Producer": "diffbench", "Title": name, "Keywords": told, "CreationDate": None},
        "svg": {"Creator": "diffbench", "Title": name, "Description": told, "Date": None},
    }
    made = {}
    with mpl.rc_context({"svg.hashsalt": "diffbench", "pdf.fonttype": 42}):
        for ending in ENDINGS:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending, dpi=DPI, metadata=metadata[ending], facecolor=figure.get_facecolor())
            made[ending] = buffer.getvalue()
    return made
