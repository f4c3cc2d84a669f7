"""Mean and scatter of features in float64, mergeable between shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ScoringError

Array = NDArray[np.float64]

LARGEST = 1e24
"""Largest value that is scored: above, the square of KID's kernel, of sixth power in them, overflows float64."""


def checked(values: NDArray[Any], what: str = "features") -> Array:
    """Return (n, d) values in float64 after checking them.

    Raises:
        ScoringError: not real numbers, not two-dimensional, d = 0, or a value that is not finite or beyond
            ``LARGEST``: the first such sample is named.
    """
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ScoringError(f"{what} must have shape (n, d) with d >= 1, got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise ScoringError(f"{what} must be real numbers, got {array.dtype}")
    wide = array.astype(np.float64, copy=False)
    finite = np.isfinite(wide).all(axis=1)
    if not finite.all():
        bad = int(np.flatnonzero(~finite)[0])
        raise ScoringError(f"{what} of sample {bad} are not finite (NaN or infinity)")
    beyond = (np.abs(wide) > LARGEST).any(axis=1)
    if beyond.any():
        bad = int(np.flatnonzero(beyond)[0])
        raise ScoringError(f"{what} of sample {bad} are beyond {LARGEST:g}: scores of them would overflow")
    return wide


def alike(features: Array) -> str | None:
    """Why features (n, d) have no spread to take an error from: all samples are the same; None if they are not."""
    same = len(features) > 1 and bool((features == features[0]).all())
    return "all samples have the same features: no spread to take an error from" if same else None


@dataclass(frozen=True, eq=False)
class Moments:
    """First and second moments of n samples.

    Attributes:
        n: number of samples, at least 1.
        mean: (d,) float64.
        scatter: (d, d) float64, the sum of (x - mean)(x - mean)^T.
    """

    n: int
    mean: Array
    scatter: Array

    @classmethod
    def of(cls, features: NDArray[Any]) -> Moments:
        """Two-pass moments of features (n, d) of any real dtype, in float64.

        Raises:
            ScoringError: no samples, wrong shape, or values that are not finite (the sample is named).
        """
        wide = checked(features)
        if len(wide) == 0:
            raise ScoringError("moments of no samples")
        mean = wide.mean(axis=0)
        centred = wide - mean
        return cls(len(wide), mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets together (Chan, Golub & LeVeque 1979, Eq. 2.1).

        Bitwise commutative. Associative only up to rounding, so byte-equal results need a fixed order: ``merged``.

        Raises:
            ScoringError: the dimensions differ.
        """
        if self.mean.shape != other.mean.shape:
            raise ScoringError(f"moments of {self.mean.size} and of {other.mean.size} dimensions can't be merged")
        n = self.n + other.n
        mean = (self.n * self.mean + other.n * other.mean) / n
        shift = other.mean - self.mean
        between = np.outer(shift, shift) * (self.n * other.n / n)
        return Moments(n, mean, (self.scatter + other.scatter) + between)

    @property
    def cov(self) -> Array:
        """Unbiased covariance (d, d).

        Raises:
            ScoringError: n < 2.
        """
        if self.n < 2:
            raise ScoringError(f"a covariance needs at least 2 samples, got {self.n}")
        return self.scatter / (self.n - 1)


def merged(parts: Sequence[Moments]) -> Moments:
    """Merge in the order given: the same parts in the same order give the same bytes."""
    if not parts:
        raise ScoringError("moments of no samples")
    return reduce(Moments.merge, parts)
