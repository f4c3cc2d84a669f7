"""Distances between features in blocks, and the radius of every sample's k nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ReferenceDataError
from diffbench.scoring.moments import Array, checked
from diffbench.scoring.reference import Reference

BLOCK = 2**22  # distances held at once: 32 MiB, a few times over
TIE = 1e-12
"""Squared distances nearer to each other than this share of |x|^2 + |y|^2 are equal: what rounding leaves of ties."""
SPARE = 16


def squared_distances(x: Array, y: Array) -> Iterator[tuple[slice, Array, Array]]:
    """Rows of |x_i - y_j|^2 for x (n, d) and y (m, d): (rows, (b, m) distances, (b, m) tie bands) at a time.

    b is as large as ``BLOCK`` allows.

    By |x|^2 + |y|^2 - 2 x.y in float64, about the mean of y, which takes most of the cancellation out.
    """
    centre = y.mean(axis=0)
    x, y = x - centre, y - centre
    x_norms, y_norms = (np.einsum("nd,nd->n", z, z) for z in (x, y))
    block = max(1, BLOCK // len(y))
    for start in range(0, len(x), block):
        rows = slice(start, min(start + block, len(x)))
        total = x_norms[rows, None] + y_norms
        yield rows, np.maximum(total - 2 * x[rows] @ y.T, 0.0), TIE * total


def squared_radii(x: Array, k: int) -> Array:
    """Squared distance of each of x (n, d) to its k-th nearest other sample, 1 <= k < n: (n,)."""
    radii = np.empty(len(x))
    for rows, distances in distances_to_others(x):
        radii[rows] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    return radii


def distances_to_others(x: Array) -> Iterator[tuple[slice, Array]]:
    """Rows of |x_i - x_j|^2 for x (n, d), infinite for j = i."""
    for rows, distances, _ in squared_distances(x, x):
        distances[np.arange(rows.stop - rows.start), np.arange(rows.start, rows.stop)] = np.inf
        yield rows, distances


def squared_radii_without(x: Array, k: int, groups: NDArray[np.int64], count: int) -> Array:
    """``squared_radii`` of x (n, d) without the samples of each of ``count`` groups (n,): (count, n).

    -inf for the group's own. Where a sample has more than ``SPARE`` of a group among its nearest, all its distances are
    looked through, else those of the nearest k + ``SPARE`` alone.
    """
    radii = np.empty((count, len(x)))
    nearest = min(k + SPARE, len(x) - 1)
    for rows, distances in distances_to_others(x):
        near = np.argpartition(distances, nearest - 1, axis=1)[:, :nearest]
        near = np.take_along_axis(near, np.take_along_axis(distances, near, axis=1).argsort(axis=1), axis=1)
        sorted_distances = np.take_along_axis(distances, near, axis=1)
        for group in range(count):
            rank = (groups[near] != group).cumsum(axis=1)
            radii[group, rows] = sorted_distances[np.arange(len(near)), (rank >= k).argmax(axis=1)]
            short = np.flatnonzero(rank[:, -1] < k)
            rest = distances[short][:, groups != group]
            radii[group, rows.start + short] = np.partition(rest, k - 1, axis=1)[:, k - 1]
    radii[groups, np.arange(len(x))] = -np.inf
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
