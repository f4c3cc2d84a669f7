"""What ``show`` says of one name: sentences for people, the same as values for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Description:
    """What one name means.

    Attributes:
        kind: ``sampler``, ``metric``, ``model``, ``suite`` or ``run``.
        name: what it was called.
        summary: one sentence; may be empty.
        lines: label and text of what people want to know.
        facts: the same as JSON-able values.
        options: name, default, what is allowed, and what it does, of every option.
        folder: of a run.
    """

    kind: str
    name: str
    summary: str
    lines: tuple[tuple[str, str], ...]
    facts: Mapping[str, Any]
    options: tuple[tuple[str, str, str, str], ...] = ()
    folder: Path | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """One row of JSON."""
        return {"kind": self.kind, "name": self.name, "summary": self.summary, **self.facts}


def told(lines: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The lines that have a text."""
    return tuple((label, text) for label, text in lines if text)
