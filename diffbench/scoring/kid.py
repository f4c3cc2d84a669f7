"""Kernel distance between features: KID of Binkowski et al. 2018, section 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ScoringError
from diffbench.scoring.fid import require_dimension
from diffbench.scoring.interval import Score, score_from_influence, score_without_error, too_few
from diffbench.scoring.moments import Array, alike, checked

if TYPE_CHECKING:
    from diffbench.scoring.reference import Reference

BLOCK = 1024  # rows and columns of the kernel held at once: 8 MiB


def kid(features: NDArray[Any], reference: Reference) -> Score:
    """KID of features (n, d): squared maximum mean discrepancy with the kernel (x.y/d + 1)^3.

    The unbiased U-statistic over all samples, not a mean over random subsets. Negative values are valid: they say that
    the distance is smaller than its noise. The error treats the reference as fixed:

        influence_i = 2 (mean_{j != i} k(x_i, x_j) - mean_l k(x_i, y_l)) - mean,

    the statistic's first-order projection. Near KID = 0 the projection is dominated by noise of the second order, and
    the error errs on the wide side (by up to sqrt 2).

    Raises:
        ScoringError: features of the wrong shape, or not finite (the sample is named); fewer than two references.
        ReferenceDataError: the reference has another dimension, or moments alone.
    """
    wide = checked(features)
    n, d = wide.shape
    require_dimension(d, reference)
    if n < 2:
        return score_without_error(None, n, too_few(n))
    among = (kernel_sums(wide, wide) - _diagonal(wide)) / (n - 1)
    real = checked(reference.known_features)
    across = kernel_sums(wide, real) / len(real)
    value = float(among.mean() + reference.kernel_mean - 2 * across.mean())
    if (reason := alike(wide)) is not None:
        return score_without_error(value, n, reason)
    influence = 2 * (among - across)
    return score_from_influence(value, influence - influence.mean())


def kernel_mean(features: NDArray[Any]) -> float:
    """Mean of the kernel over all ordered pairs of different samples (n, d), n >= 2.

    Raises:
        ScoringError: fewer than two samples, wrong shape, or values that are not finite.
    """
    wide = checked(features)
    n = len(wide)
    if n < 2:
        raise ScoringError(too_few(n))
    return float((kernel_sums(wide, wide) - _diagonal(wide)).sum() / (n * (n - 1)))


def kernel_sums(x: Array, y: Array, block: int = BLOCK) -> Array:
    """Sums of the kernel over all of y (m, d) for each of x (n, d); memory is O(block^2 + block d)."""
    sums = np.zeros(len(x))
    for row in range(0, len(x), block):
        for column in range(0, len(y), block):
            kernel = x[row : row + block] @ y[column : column + block].T
            kernel /= x.shape[1]
            kernel += 1
            sums[row : row + block] += (kernel * kernel * kernel).sum(axis=1)
    return sums


def _diagonal(x: Array) -> Array:
    kernel: Array = (np.einsum("nd,nd->n", x, x) / x.shape[1] + 1) ** 3
    return kernel
