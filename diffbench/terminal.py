"""Whether a stream may be given more than plain text."""

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
