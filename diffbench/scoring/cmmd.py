"""CMMD of Jayasumana et al. 2024: maximum mean discrepancy of CLIP embeddings with a Gaussian kernel."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ScoringError
from diffbench.scoring.fid import require_dimension
from diffbench.scoring.interval import Score, score_from_influence, score_without_error, too_few
from diffbench.scoring.moments import Array, alike, checked
from diffbench.scoring.neighbours import squared_distances

if TYPE_CHECKING:
    from diffbench.scoring.reference import Reference

SIGMA, SCALE = 10.0, 1000.0


def cmmd(features: NDArray[Any], reference: Reference) -> Score:
    """1000 times the unbiased squared MMD of embeddings (n, d), kernel exp(-|x - y|^2 / (2 sigma^2)), sigma = 10.

    Embeddings are scaled to length 1, as the paper's are. Negative values are valid: the distance is smaller than its
    noise. The error treats the reference as fixed: influence_i = 2000 (mean_{j != i} k(x_i, x_j) - mean_l k(x_i, y_l))
    - mean.

    Raises:
        ScoringError: features of the wrong shape, not finite, or of length 0 (the sample is named).
        ReferenceDataError: another dimension, or moments alone.
    """
    return _mmd(features, reference, unbiased=True)


def cmmd_compat(features: NDArray[Any], reference: Reference) -> Score:
    """:func:`cmmd` with the diagonals of both kernel matrices kept, as in the authors' code.

    Biased upwards by about 1000 (1/n + 1/N) (1 - mean k).
    """
    return _mmd(features, reference, unbiased=False)


def _mmd(features: NDArray[Any], reference: Reference, unbiased: bool) -> Score:
    x = unit(features)
    n = len(x)
    require_dimension(x.shape[1], reference)
    if n < 2:
        return score_without_error(None, n, too_few(n))
    y = _unit_reference(reference)
    sums = kernel_sums(x, x)
    among = (sums - 1) / (n - 1) if unbiased else sums / n  # k(x, x) = 1
    across = kernel_sums(x, y) / len(y)
    value = SCALE * float(among.mean() + _reference_mean(reference, unbiased) - 2 * across.mean())
    if (reason := alike(x)) is not None:
        return score_without_error(value, n, reason)
    influence = 2 * SCALE * (among - across)
    return score_from_influence(value, influence - influence.mean())


def unit(features: NDArray[Any]) -> Array:
    """Embeddings (n, d) scaled to length 1. Raises ScoringError for one of length 0, by its index."""
    wide = checked(features)
    lengths = np.linalg.norm(wide, axis=1)
    if len(wide) and lengths.min() == 0:
        raise ScoringError(f"the embedding of sample {int(lengths.argmin())} has length 0")
    return np.asarray(wide / lengths[:, None])


def kernel_sums(x: Array, y: Array) -> Array:
    """Sums over all of y (m, d) of exp(-|x_i - y|^2 / (2 sigma^2)), for each of x (n, d)."""
    sums = np.zeros(len(x))
    for rows, distances, _ in squared_distances(x, y):
        sums[rows] = np.exp(distances / (-2 * SIGMA**2)).sum(axis=1)
    return sums


@lru_cache(maxsize=4)
def _unit_reference(reference: Reference) -> Array:
    return unit(reference.known_features)


@lru_cache(maxsize=8)
def _reference_mean(reference: Reference, unbiased: bool) -> float:
    y = _unit_reference(reference)
    total = float(kernel_sums(y, y).sum())
    count = len(y)
    return (total - count) / (count * (count - 1)) if unbiased else total / count**2
