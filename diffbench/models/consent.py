"""What a user allows a checkpoint to do beyond giving tensors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Consent:
    """``code``: a card's factory or exported program may run. ``pickle``: pickled tensors may be read as such."""

    code: bool = False
    pickle: bool = False


TENSORS_ONLY = Consent()
