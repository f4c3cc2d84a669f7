"""What only a look at this machine tells of a suite: real data that cards name, and what diffusers itself refuses.

Suites of finished runs are read without it, anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from diffbench import shipped
from diffbench.document.words import unknown
from diffbench.models.card import Card
from diffbench.scoring.known import known_extractors, refused_shape

Trial = Callable[[str, Mapping[str, Any]], str | None]
"""What a scheduler class of diffusers says against a config; None: nothing. It may import whatever it needs."""


def card_faults(card: Card) -> Iterable[tuple[str, str]]:
    """What a run would stop at, as (key of the card, sentence); of a card whose files are elsewhere, its extractor."""
    if card.extractor is not None:
        if card.extractor not in known_extractors():
            yield "extractor", unknown("extractor", card.extractor, known_extractors())
        elif (said := refused_shape(card.extractor, card.image_shape)) is not None:
            yield "extractor", f"{said}, as those of {card.name} are"
    if card.reference is None or card.missing is not None:
        return
    if not card.reference.endswith(".json"):
        if card.reference not in (known := shipped.references()):
            yield "reference", f"{unknown('reference', card.reference, known)}; one of your own ends in .json"
        return
    for path in (card.home / card.reference, (card.home / card.reference).with_suffix(".safetensors")):
        if not path.is_file():
            yield "reference", f"{path}: no such file; diffbench reference build makes it"
            return
