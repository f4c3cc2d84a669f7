"""A matplotlib figure that a notebook shows, and that knows the numbers and signatures behind it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from diffbench.report.save import DPI, Behind, save


class Drawn(Figure):
    """A ``matplotlib.figure.Figure``: everything of matplotlib works on it.

    ``behind`` has the columns and rows that it was drawn from, None for images; ``signatures`` the comparable parts of
    its scores' signatures.
    """

    behind: Behind | None = None
    signatures: Sequence[str] = ()

    def write(self, path: str | Path) -> list[Path]:
        """Write PNG, PDF, SVG and the CSV behind it to ``path`` with each ending; returns the files.

        The files hold the signatures and no date: the same results give the same bytes. Raises StoreError.
        """
        path = Path(path)
        return save(self, path.parent, path.name, self.behind, self.signatures)

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI / 2, facecolor=self.get_facecolor())
        return buffer.getvalue()
