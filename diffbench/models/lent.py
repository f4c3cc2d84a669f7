"""Cards of models that are objects in memory, which suites may name for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from diffbench import shipped
from diffbench.errors import UsageError
from diffbench.models.card import Card

_LENT: dict[str, Card] = {}


@contextmanager
def lending(cards: Mapping[str, Card]) -> Iterator[None]:
    """Let suites name these for the time of a ``with`` block. Raises UsageError for the name of a shipped model."""
    if taken := cards.keys() & {*shipped.card_paths(), *_LENT}:
        raise UsageError(f"there is a model named {min(taken)!r} already")
    _LENT.update(cards)
    try:
        yield
    finally:
        for name in cards:
            del _LENT[name]


def lent_card(name: object) -> Card | None:
    """The card of an object that is lent under this name; None if there is none."""
    return _LENT.get(name) if isinstance(name, str) else None
