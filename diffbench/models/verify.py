"""Whether a checkpoint's files are those that its card states."""

from __future__ import annotations

from diffbench.models.card import Card
from diffbench.models.checked_file import checked_file


def verify_files(card: Card, under: str = "") -> None:
    """Check every file of a card, or those whose paths begin with ``under``, against the sha256 that it states.

    Raises WeightsError for a missing or altered file: a cell's identity rests on these.
    """
    for file in card.sha256:
        if file.startswith(under):
            with checked_file(card.directory, file, card.sha256):
                pass
