"""Scores of a cell, kept beside its shards: valid for the same features, metric, reference and scoring code only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from diffbench.errors import StoreError
from diffbench.scoring.interval import Score
from diffbench.status.stored import SCORES
from diffbench.store.atomic import read_bytes, write_together
from diffbench.store.sealed import read_sealed, seal
from diffbench.store.shards import Arrays

FORMAT = 1
INFLUENCE = "scores.safetensors"
REPLICATES = "replicates "
"""What the names of jackknife replicates begin with; influence values have the signature as their name."""

_FIELDS = ("value", "se", "ci_low", "ci_high", "n", "reason")


@dataclass
class ScoreCache:
    """The scores of one cell by signature, for the features of one ``digest`` and one scoring ``code``.

    Influence values (n,) float64, one array a metric, and replicates of the jackknife (groups,) lie in a file of their
    own that the sealed one states the sha256 of.
    """

    folder: Path
    digest: str
    code: str
    scores: dict[str, Score] = field(default_factory=dict)
    changed: bool = False

    @classmethod
    def open(cls, folder: Path, digest: str, code: str) -> ScoreCache:
        """What is stored for these features and this code; empty if that is nothing, or damaged."""
        cache = cls(folder, digest, code)
        try:
            content = read_sealed(folder / SCORES)
            if (content["format"], content["features"], content["code"]) != (FORMAT, digest, code):
                return cache
            influence = _influence(folder / INFLUENCE, content["influence"])
        except (StoreError, KeyError):
            return cache
        for signature, entry in content["scores"].items():
            values: dict[str, Any] = {name: entry[name] for name in _FIELDS}
            kept = influence.get(signature), influence.get(REPLICATES + signature)
            cache.scores[signature] = Score(influence=kept[0], replicates=kept[1], **values)
        return cache

    def add(self, signature: str, score: Score) -> None:
        """Keep a score."""
        self.scores[signature] = score
        self.changed = True

    def write(self) -> None:
        """Store what was added. Raises StoreError."""
        if not self.changed:
            return
        ordered = dict(sorted(self.scores.items()))  # the same bytes, in whatever order the scores were computed
        arrays: Arrays = {s: score.influence for s, score in ordered.items() if score.influence is not None}
        arrays |= {REPLICATES + s: score.replicates for s, score in ordered.items() if score.replicates is not None}
        data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        entries = {s: {name: getattr(score, name) for name in _FIELDS} for s, score in ordered.items()}
        content = {"format": FORMAT, "features": self.digest, "code": self.code, "scores": entries}
        content["influence"] = hashlib.sha256(data).hexdigest()
        write_together(self.folder, {INFLUENCE: data, SCORES: seal(content)})


def stored_influence(folder: Path) -> tuple[str, Arrays]:
    """The digest of a scored cell's features, and influence values (n,) by signature, whatever code computed them.

    Replicates (groups,) are there under ``REPLICATES`` and the signature.

    Raises StoreError if the cell has no scores, or they are damaged.
    """
    content = read_sealed(folder / SCORES)
    if content.get("format") != FORMAT:
        raise StoreError(f"{folder / SCORES}: its format is {content.get('format')!r}, not {FORMAT}")
    return str(content["features"]), _influence(folder / INFLUENCE, str(content["influence"]))


def _influence(path: Path, sha256: str) -> Arrays:
    data = read_bytes(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StoreError(f"{path}: does not match the sha256 in {SCORES}")
    try:
        return load(data)
    except SafetensorError as error:
        raise StoreError(f"{path}: not a safetensors file ({error})") from None
