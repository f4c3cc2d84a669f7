"""FID within each class, where samples and real images have labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ScoringError
from diffbench.scoring.fid import fid
from diffbench.scoring.interval import Score

if TYPE_CHECKING:
    from diffbench.scoring.reference import Reference


def fid_per_class(
    features: NDArray[Any], labels: NDArray[Any], reference: Reference, real_labels: NDArray[Any]
) -> dict[int, Score]:
    """FID of the samples (n, d) of every label against the real images of that label, by label.

    Labels (n,) and (N,) are integers. Each value has its own number of samples: compare it with values of the same.

    Raises:
        ScoringError: labels that are no integers, or not one a sample.
        ReferenceDataError: moments alone, another dimension, or a label of which there are fewer than two real images.
    """
    for what, given, count in (("samples", labels, len(features)), ("real images", real_labels, reference.n)):
        if given.shape != (count,) or given.dtype.kind not in "iu":
            raise ScoringError(f"{count} {what} need as many whole labels, got {given.dtype} of shape {given.shape}")
    return {
        int(label): fid(features[labels == label], reference.part(np.flatnonzero(real_labels == label)))
        for label in np.unique(labels)
    }
