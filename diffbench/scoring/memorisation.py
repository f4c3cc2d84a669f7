"""Copies of real images among samples: the complement of the authenticity of Alaa et al. 2022, section 3.3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffbench.scoring.fid import require_dimension
from diffbench.scoring.interval import Score, score_of_share
from diffbench.scoring.moments import alike, checked
from diffbench.scoring.neighbours import reference_radii, squared_distances

if TYPE_CHECKING:
    from diffbench.scoring.reference import Reference


def memorisation(features: NDArray[Any], reference: Reference) -> Score:
    """Share of the samples (n, d) nearer to their nearest real sample than that one is to any other real one. 0 to 1.

    About 1/2 for fresh draws from the data's own distribution, 1 for copies; against the training set it tells copying,
    against held-out data it is the baseline. Far-off samples lower it: read it beside precision. A sample that equals
    a real one counts also where that one has a duplicate among the real ones, where the paper's inequality would let
    it pass. The reference is held fixed; the interval is Wilson's.

    Raises:
        ScoringError: features of the wrong shape, or not finite (the sample is named).
        ReferenceDataError: another dimension, moments alone, or fewer than two real samples.
    """
    wide = checked(features)
    require_dimension(wide.shape[1], reference)
    real, radii = checked(reference.known_features), reference_radii(reference, 1)
    copied = np.zeros(len(wide))
    for rows, distances, band in squared_distances(wide, real):
        nearest = distances.argmin(axis=1)
        own = np.arange(len(nearest))
        apart, slack = distances[own, nearest], band[own, nearest]
        copied[rows] = (apart < radii[nearest] - slack) | (apart <= slack)
    return score_of_share(copied, alike(wide))
