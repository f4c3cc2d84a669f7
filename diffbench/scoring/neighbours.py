"""Distances between features in blocks, and the radius of every sample's k nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from diffbench.errors import ReferenceDataError
from diffbench.scoring.moments import Array, checked
from diffbench.scoring.reference import Reference

BLOCK = 1024  # rows of distances held at once
TIE = 1e-12
"""Squared distances nearer to each other than this share of |x|^2 + |y|^2 are equal: what rounding leaves of ties."""


def squared_distances(x: Array, y: Array, block: int = BLOCK) -> Iterator[tuple[slice, Array, Array]]:
    """Rows of |x_i - y_j|^2 for x (n, d) and y (m, d): (rows, (b, m) distances, (b, m) tie bands) at a time.

    By |x|^2 + |y|^2 - 2 x.y in float64, about the mean of y, which takes most of the cancellation out.
    """
    centre = y.mean(axis=0)
    x, y = x - centre, y - centre
    x_norms, y_norms = (np.einsum("nd,nd->n", z, z) for z in (x, y))
    for start in range(0, len(x), block):
        rows = slice(start, min(start + block, len(x)))
        total = x_norms[rows, None] + y_norms
        yield rows, np.maximum(total - 2 * x[rows] @ y.T, 0.0), TIE * total


def squared_radii(x: Array, k: int) -> Array:
    """Squared distance of each of x (n, d) to its k-th nearest other sample, 1 <= k < n: (n,)."""
    radii = np.empty(len(x))
    for rows, distances, _ in squared_distances(x, x):
        distances[np.arange(rows.stop - rows.start), np.arange(rows.start, rows.stop)] = np.inf
        radii[rows] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    return radii


@lru_cache(maxsize=8)
def reference_radii(reference: Reference, k: int) -> Array:
    """Squared radii of the real samples, worked out once a reference.

    Raises ReferenceDataError: moments alone, or not more than k real samples.
    """
    real = checked(reference.known_features)
    if len(real) <= k:
        raise ReferenceDataError(f"reference {reference.name!r} has {len(real)} images; more than k = {k} are needed")
    return squared_radii(real, k)
