"""Density and coverage: Naeem et al. 2020, Eq. 3 and 4, with strict inequalities as in the authors' code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffbench.scoring.fid import require_dimension
from diffbench.scoring.interval import (
    GROUPS,
    Score,
    groups_of,
    jackknifed,
    score_from_groups,
    score_of_mean,
    score_without_error,
    too_few,
)
from diffbench.scoring.moments import alike, checked
from diffbench.scoring.neighbours import reference_radii, squared_distances

if TYPE_CHECKING:
    from diffbench.scoring.reference import Reference


def density(features: NDArray[Any], reference: Reference, k: int = 5) -> Score:
    """Mean over samples (n, d) of the number of real balls that they lie in, over k: |x - y| < radius_k(y).

    Near 1 for a perfect generator, and not bounded by it. A mean with the reference held fixed: influence_i =
    number_i / k - mean.

    Raises:
        ScoringError: features of the wrong shape, or not finite (the sample is named).
        ReferenceDataError: another dimension, moments alone, or not more than k real samples.
    """
    wide = checked(features)
    require_dimension(wide.shape[1], reference)
    real, radii = checked(reference.known_features), reference_radii(reference, k)
    number = np.zeros(len(wide))
    for rows, distances, band in squared_distances(wide, real):
        number[rows] = (distances < radii - band).sum(axis=1) / k
    return score_of_mean(number, alike(wide))


def coverage(features: NDArray[Any], reference: Reference, k: int = 5) -> Score:
    """Share of the real samples with a sample of (n, d) in their ball: |x - y| < radius_k(y). 0 to 1.

    It grows with n: compare equal n. Whether one more sample covers anything depends on the others, so the error is
    that of the delete-a-group jackknife.

    Raises as :func:`density`.
    """
    wide = checked(features)
    n = len(wide)
    require_dimension(wide.shape[1], reference)
    real, radii = checked(reference.known_features), reference_radii(reference, k)
    if n == 0:
        return score_without_error(None, n, too_few(n, 1))
    groups = groups_of(n)
    hits = np.zeros((len(real), GROUPS), np.int64)
    for rows, distances, band in squared_distances(wide, real):
        within = distances < radii - band
        for group in range(GROUPS):
            hits[:, group] += within[groups[rows] == group].sum(axis=0)
    total = hits.sum(axis=1)
    value = float((total > 0).mean())
    if (reason := alike(wide) or jackknifed(n)) is not None:
        return score_without_error(value, n, reason)
    return score_from_groups(value, (total[:, None] > hits).mean(axis=0), n, least=0.0, most=1.0)
