"""Improved precision and recall: Kynkäänniemi et al. 2019, Eq. 1 to 3.

The manifold of a set is the union of balls around its samples that reach to their k-th nearest other sample.
"""

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
    score_of_share,
    score_without_error,
    too_few,
)
from diffbench.scoring.moments import Array, alike, checked
from diffbench.scoring.neighbours import reference_radii, squared_distances, squared_radii, squared_radii_without

if TYPE_CHECKING:
    from diffbench.scoring.reference import Reference


def precision(features: NDArray[Any], reference: Reference, k: int = 3) -> Score:
    """Share of the samples (n, d) inside the real manifold: some real y with |x - y| <= radius_k(y). 0 to 1.

    With the reference held fixed, influence_i = inside_i - mean; the interval is Wilson's.

    Raises:
        ScoringError: features of the wrong shape, or not finite (the sample is named).
        ReferenceDataError: another dimension, moments alone, or not more than k real samples.
    """
    wide = checked(features)
    require_dimension(wide.shape[1], reference)
    real, radii = checked(reference.known_features), reference_radii(reference, k)
    inside = np.zeros(len(wide))
    for rows, distances, band in squared_distances(wide, real):
        inside[rows] = (distances <= radii + band).any(axis=1)
    return score_of_share(inside, alike(wide))


def recall(features: NDArray[Any], reference: Reference, k: int = 3) -> Score:
    """Share of the real samples inside the manifold of the samples (n, d): some x with |x - y| <= radius_k(x). 0 to 1.

    It depends on n, by which balls shrink and grow in number: compare equal n. A sample moves its neighbours' radii, so
    the error is that of the delete-a-group jackknife, radii worked out again without each group.

    Raises as :func:`precision`.
    """
    wide = checked(features)
    n = len(wide)
    require_dimension(wide.shape[1], reference)
    real = checked(reference.known_features)
    if n <= k:
        return score_without_error(None, n, too_few(n, k + 1))
    reason = alike(wide) or jackknifed(n)
    radii = squared_radii(wide, k)[None]
    if reason is None:
        radii = np.concatenate([radii, squared_radii_without(wide, k, groups_of(n), GROUPS)])
    found = _inside(real, wide, radii)
    if reason is not None:
        return score_without_error(float(found[0]), n, reason)
    return score_from_groups(float(found[0]), found[1:], n, least=0.0, most=1.0)


def _inside(real: Array, x: Array, radii: Array) -> Array:
    """Share of real samples inside the balls of x, for each set of squared radii (sets, n); -inf is no ball."""
    counts, widest = np.zeros(len(radii)), radii.max(axis=0)
    for _, distances, band in squared_distances(real, x):
        inside, ball = np.nonzero(distances <= widest + band)
        apart, slack = distances[inside, ball], band[inside, ball]
        for index, own in enumerate(radii[:, ball]):
            found = np.zeros(len(distances), bool)
            found[inside[apart <= own + slack]] = True
            counts[index] += found.sum()
    return counts / len(real)
