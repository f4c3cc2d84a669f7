"""What the code and the networks of a run answered to fixed questions, and whether they still do.

Samples stored under one answer must never be mixed with samples made under another. An answer is a sealed JSON file of
named numbers; its seal is the digest that shards carry. The questions are asked in ``runner/probe.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import StoreError
from diffbench.store.atomic import create, read_bytes, write_atomically
from diffbench.store.sealed import checked, read_sealed, seal

FORMAT = 1
DIGITS = 16
"""Hexadecimal digits of a digest."""

Numbers = NDArray[np.float64]

# What numerics alone may change, relative to the size of the answer: on the same device, version of torch and number of
# threads, and otherwise. Three threads instead of one changed a shipped model by 8e-5, another memory layout bfloat16
# by 0.005. On a GPU, convolutions of float32 run in TF32 by default (11 bits of mantissa). An image, which is quantised
# after many steps, may change by a level.
_SAME = {"float64": 1e-9, "float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2, "image": 1.5 / 255}
_OTHER = {"float64": 1e-9, "float32": 2e-3, "float16": 5e-3, "bfloat16": 4e-2, "image": 0.1}


@dataclass(frozen=True)
class Answer:
    """Numbers of any shape, the ``dtype`` whose precision they have, and the ``scale`` of a change (broadcast)."""

    values: Numbers
    dtype: str
    scale: Numbers


@dataclass(frozen=True)
class Answers:
    """All answers of one model, or of one cell's sampler, by name; ``where`` names device and torch."""

    named: Mapping[str, Answer]
    where: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; values that are not finite become null."""
        named = {
            name: {"dtype": a.dtype, "shape": list(a.values.shape), "values": _list(a.values), "scale": _list(a.scale)}
            for name, a in self.named.items()
        }
        return {"format": FORMAT, "where": dict(self.where), "answers": named}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], path: Path | str) -> Answers:
        """Answers from what ``to_dict`` gave. Raises StoreError, naming ``path``, for another format."""
        if content.get("format") != FORMAT:
            raise StoreError(f"{path}: its format is {content.get('format')!r}, not {FORMAT}")
        named = {
            name: Answer(_array(a["values"]).reshape(a["shape"]), a["dtype"], _array(a["scale"]))
            for name, a in content["answers"].items()
        }
        return cls(named, content["where"])

    @property
    def digest(self) -> str:
        """``DIGITS`` hexadecimal digits that shards made under these answers carry."""
        return hashlib.sha256(seal(self.to_dict())).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class Difference:
    """The answer that changed most, by how much of its scale, and what would have been allowed."""

    name: str
    by: float
    allowed: float

    def __str__(self) -> str:
        """For the user: ``denoised differs by 0.031 of its size (1e-05 is allowed)``."""
        return f"{self.name} differs by {self.by:.2g} of its size ({self.allowed:g} is allowed)"


def difference(old: Answers, new: Answers) -> Difference | None:
    """The largest change beyond what numerics explain; None if there is none."""
    tolerance = _SAME if dict(old.where) == dict(new.where) else _OTHER
    found = []
    for name in sorted(old.named.keys() | new.named.keys()):
        if name not in old.named or name not in new.named:
            found.append(Difference(name, float("inf"), 0.0))
            continue
        allowed = tolerance.get(old.named[name].dtype, 0.0)
        by = _change(old.named[name], new.named[name])
        if by > allowed:
            found.append(Difference(name, by, allowed))
    return max(found, key=lambda d: d.by, default=None)


def _change(old: Answer, new: Answer) -> float:
    """Largest difference over scale; not-a-number answers only equal themselves."""
    if old.values.shape != new.values.shape or old.dtype != new.dtype:
        return float("inf")
    finite = np.isfinite(old.values)
    if not np.array_equal(finite, np.isfinite(new.values)):
        return float("inf")
    scale = np.broadcast_to(np.maximum(old.scale, np.finfo(np.float64).tiny), old.values.shape)
    changes = np.abs(new.values[finite] - old.values[finite]) / scale[finite]
    return float(changes.max(initial=0.0))


def read_answers(path: Path) -> Answers:
    """Stored answers. Raises StoreError if they are missing, changed or of another format."""
    return Answers.from_dict(read_sealed(path), path)


def stored_digest(path: Path) -> str:
    """The ``digest`` of stored answers. Raises StoreError if they are missing or changed."""
    data = read_bytes(path)
    checked(data, path)
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def settle(path: Path, answers: Answers) -> Answers:
    """Store answers unless some are there; returns those that are in force. A damaged file is replaced."""
    for first in (True, False):
        try:
            return read_answers(path)
        except StoreError:
            if first and create(path, seal(answers.to_dict())):  # False: another process was faster, or it is damaged
                return answers
    replace_answers(path, answers)
    return answers


def replace_answers(path: Path, answers: Answers) -> None:
    """Store answers in place of others: shards that were made under those are stale from now on."""
    write_atomically(path, seal(answers.to_dict()))


def _list(values: Numbers) -> list[Any]:
    plain = values.astype(object)
    plain[~np.isfinite(values)] = None
    listed: list[Any] = plain.tolist()
    return listed


def _array(values: Any) -> Numbers:
    return np.array(values, dtype=np.float64)
