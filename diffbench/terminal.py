"""Whether a stream may be given more than plain text, and names in as many columns as there are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

_READABLE = 10
"""Columns that a name is cut to before words beside it go."""


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


def cut_apart(texts: Iterable[str], columns: int) -> dict[str, str]:
    """Each text :func:`cut`; of those that begin with one word, or would look alike, shared words go first."""
    found = {text: cut(text, columns) for text in texts}
    long = [text for text, short in found.items() if text != short]
    for whole in (False, True):
        groups: dict[str, list[str]] = {}
        for text in long:
            groups.setdefault(found[text] if whole else text.partition(" ")[0], []).append(text)
        for group in groups.values():
            if len(group) > 1:
                found |= dict(zip(group, _without_shared(group, columns), strict=True))
    return found


def _without_shared(texts: Sequence[str], columns: int) -> list[str]:
    """Texts with as many shared words as need be, the longest first, as an ellipsis; the first word is only cut."""
    from rich.cells import cell_len

    words = [text.split(" ") for text in texts]
    fewest = min(map(len, words))
    places = range(fewest) if len({*map(len, words)}) == 1 else range(next(_first_differing(words), fewest))
    shared = [place for place in places if len({line[place] for line in words}) == 1]
    later = sorted((place for place in shared if place), key=lambda place: -len(words[0][place]))
    steps = [(place, 0) for place in later]
    if 0 in shared:
        steps = [(0, _READABLE), *steps, (0, 1)]
    short = list(texts)
    for place, least in steps:
        if (over := max(map(cell_len, short)) - columns) <= 0:
            break
        for line in words:
            line[place] = cut(line[place], max(least, cell_len(line[place]) - over)) if least else ""
        short = [_joined(line) for line in words]
    start = len(os.path.commonprefix(short))
    cuts = [cut(text, columns) for text in short]
    if len({*cuts}) < len(cuts):  # within a word: what differs, from its beginning
        cuts = [cut(f"{text[:1]}…{text[max(1, start) :]}"[:columns], columns) for text in short]
    return cuts


def _first_differing(words: Sequence[Sequence[str]]) -> Iterator[int]:
    return (place for place, line in enumerate(zip(*words, strict=False)) if len({*line}) > 1)


def _joined(words: Sequence[str]) -> str:
    """Words, with an ellipsis for a run of empty ones."""
    kept: list[str] = []
    for word in words:
        if word or not (kept and kept[-1] == "…"):
            kept.append(word or "…")
    return " ".join(kept).replace(" … ", "…")
