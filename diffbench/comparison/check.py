"""What ``diffbench check`` found of one model, and the file that another one can be held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diffbench.comparison.denoising import BASELINES, Apart, Errors, Judged
from diffbench.errors import StoreError, UsageError
from diffbench.store.sealed import read_sealed, write_sealed

_FORMAT = 1


@dataclass(frozen=True)
class Told:
    """What another reading of the network gives: ``of_linear`` where the card's own gives ``card``.

    Attributes:
        key: what would be otherwise in the card.
        value: what it would be.
        of_linear: mean squared error as a share of the best linear estimate's.
        card: the same as the card has it.
    """

    key: str
    value: str
    of_linear: float
    card: float

    def __str__(self) -> str:
        told = f"read with {self.key} {self.value} the error would be {self.of_linear:.3g}"
        return f"{told} of the best linear estimate's instead of {self.card:.3g}: is {self.key} right in the card?"


@dataclass(frozen=True, kw_only=True, eq=False)
class Check:
    """What a model's denoising errors say.

    Attributes:
        basis: what must agree before two models' errors are compared: data, seed, range, latents.
        errors: of the network and the baselines, at each sigma and for each image.
        bands: a verdict a band of sigmas.
        readings: ways to read the same network that would give much less error, the best first.
        other: the model or file that this one is held against, if any.
        against: how this model differs from the other, a verdict a band.
        notes: what else is to know.
        seconds: what loading and measuring took.
    """

    model: str
    family: str
    prediction: str
    weights_sha256: str
    device: str
    dtype: str
    split: str
    basis: Mapping[str, Any]
    errors: Errors
    bands: list[Judged]
    readings: list[Told] = field(default_factory=list)
    other: str | None = None
    against: list[Apart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """WRONG if any band is, else WORSE if any is against the other model, else SUSPECT if not all is told."""
        words = {one.word for one in self.bands} | {one.verdict.word for one in self.against}
        for word in ("WRONG", "WORSE"):
            if word in words:
                return word
        return "SUSPECT" if words & {"SUSPECT", "INCONCLUSIVE"} else "GOOD"

    def levels(self) -> list[dict[str, Any]]:
        """A row a sigma: mean squared errors in the data's unit squared, with the network's standard error."""
        network, means = self.errors.network, {name: self.errors.baselines[name].mean(1) for name in BASELINES}
        count = network.shape[1]
        names = {level: one.band.name for one in self.bands for level in one.band.levels}
        return [
            {
                "sigma": float(sigma),
                "band": names[index],
                "error": float(network[index].mean()),
                "se": float(network[index].std(ddof=1)) / count**0.5 if count > 1 else None,
                **{name: float(mean[index]) for name, mean in means.items()},
                "allowed": float(self.errors.allowed[index]),
            }
            for index, sigma in enumerate(self.errors.sigmas)
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row a band: its verdict, what it rests on, and how it differs from the other model."""
        found = [{"model": self.model, **one.to_dict()} for one in self.bands]
        for row, one in zip(found, self.against, strict=False):
            interval = one.difference.interval() or (None, None)
            row |= {
                "other": self.other,
                "difference": one.difference.value,
                "difference_low": interval[0],
                "difference_high": interval[1],
                "against": one.verdict.word,
                "p_worse": one.verdict.p_worse,
                "p_better": one.verdict.p_better,
            }
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without the single images."""
        own = ("model", "family", "prediction", "weights_sha256", "device", "dtype", "split", "notes", "seconds")
        return {
            **{name: getattr(self, name) for name in own},
            "verdict": self.verdict,
            "std": self.errors.std,
            "n": self.errors.network.shape[1],
            "basis": dict(self.basis),
            "bands": self.rows(),
            "sigmas": self.levels(),
            "readings": [{**vars(told), "text": str(told)} for told in self.readings],
        }

    def save(self, path: str | Path) -> None:
        """Write what ``against`` takes: sealed JSON with every image's error at every sigma. Raises StoreError."""
        given = {"sigmas": self.errors.sigmas.tolist(), "errors": self.errors.network.tolist()}
        own = {"format": _FORMAT, "check": self.model, "weights_sha256": self.weights_sha256}
        write_sealed(Path(path), {**own, "basis": dict(self.basis), **given})


@dataclass(frozen=True, eq=False)
class Saved:
    """Errors (S,n) of a model at sigmas (S,), and what they rest on."""

    name: str
    basis: Mapping[str, Any]
    sigmas: np.ndarray[Any, np.dtype[np.float64]]
    errors: np.ndarray[Any, np.dtype[np.float64]]

    @classmethod
    def read(cls, path: str | Path) -> Saved:
        """Open what ``Check.save`` wrote. Raises StoreError for what it isn't, and for any changed byte."""
        content = read_sealed(path)
        if "check" not in content or content.get("format") != _FORMAT:
            raise StoreError(f"{path}: no saved check that this version can read")
        sigmas, errors = (np.array(content[key], dtype=np.float64) for key in ("sigmas", "errors"))
        return cls(f"{content['check']} ({Path(path).name})", content["basis"], sigmas, errors)

    def require(self, basis: Mapping[str, Any], model: str) -> None:
        """UsageError unless its errors are of the same x0 and noise as those of ``model``."""
        differ = [key for key in basis if self.basis.get(key) != basis[key]]
        if differ:
            said = "; ".join(
                "other codecs" if key == "codec" else f"{key} {self.basis.get(key)} and {basis[key]}" for key in differ
            )
            raise UsageError(f"{self.name} and {model} can't be compared: {said}")
