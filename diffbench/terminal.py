"""Whether a stream may be given more than plain text, and names in as many columns as there are."""

from __future__ import annotations

import os
from typing import TextIO


def lively(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows bold text and lines that change: not under NO_COLOR or TERM=dumb.

    ``NO_COLOR`` counts when it is not empty (https://no-color.org).
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    try:
        return not plain and stream.isatty()
    except ValueError:  # closed
        return False


def cut(text: str, columns: int) -> str:
    """Text in at most so many columns (>= 1), without its middle: what tells long names apart is often their end."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= columns:
        return text
    head, tail = set_cell_size(text, columns // 2).rstrip(), ""
    for character in reversed(text):
        if cell_len(head) + 1 + cell_len(character + tail) > columns:
            break
        tail = character + tail
    return f"{head}…{tail}"
