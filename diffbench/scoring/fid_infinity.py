"""FID without most of its bias from finite n, by the jackknife."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffbench.scoring.fid import fid_value, require_dimension
from diffbench.scoring.interval import GROUPS, Score, groups_of, jackknifed, score_from_groups, score_without_error
from diffbench.scoring.moments import alike, checked

if TYPE_CHECKING:
    from diffbench.scoring.reference import Reference


FEWEST = 10
"""Samples a dimension. Simulated at d = 64 for a value of 0.57: 0.05 at n = 2.5 d, 0.44 at 5 d, 0.55 at 10 d."""


def fid_infinity(features: NDArray[Any], reference: Reference) -> Score:
    """FID of features (n, d) with its bias of order 1/n taken off: G FID - (G - 1) mean of FID without each group.

    Quenouille's jackknife (1956) with G = 20 groups, and its error. FID_n is FID at infinite n plus about c/n (Chong &
    Forsyth 2020, who extrapolate a line in 1/n instead); where n is not many times d the next orders matter too: None
    below 10 d. It may be negative near a perfect generator. A figure beside FID, not in its place: published values
    have the bias.

    Raises:
        ScoringError: features of the wrong shape, or not finite (the sample is named).
        ReferenceDataError: the reference has another dimension.
    """
    wide = checked(features)
    n, d = wide.shape
    require_dimension(d, reference)
    if (reason := alike(wide) or jackknifed(n)) is not None:
        return score_without_error(None, n, reason)
    groups = groups_of(n)
    if n - int(np.bincount(groups).max()) <= d:
        return score_without_error(None, n, "rank-deficient: n without a group <= d; the bias is not of order 1/n")
    if n < FEWEST * d:
        return score_without_error(
            None, n, f"n = {n} < {FEWEST} d = {FEWEST * d}: the bias has more than its order 1/n"
        )
    replicates = np.array([fid_value(wide[groups != group], reference) for group in range(GROUPS)])
    value = GROUPS * fid_value(wide, reference) - (GROUPS - 1) * float(replicates.mean())
    return score_from_groups(value, replicates, n)
