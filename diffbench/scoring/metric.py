"""One metric of the catalog, computed from features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from diffbench.catalog import MetricEntry, load
from diffbench.errors import ReferenceDataError
from diffbench.scoring.interval import Score, score_without_error
from diffbench.scoring.reference import Reference


def compute(
    entry: MetricEntry, options: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], reference: Reference | None
) -> Score:
    """The score of ``arrays`` (features (n, d) and logits (n, K)), against the reference where the metric uses one.

    None with the reason where the reference has moments alone and the metric needs its features.

    Raises:
        ScoringError: features of the wrong shape, or not finite; the sample is named.
        ReferenceDataError: the metric needs a reference and there is none, or one of another dimension.
    """
    function = load(entry.target)
    if entry.uses == "logits" and arrays["logits"].shape[-1] == 0:
        return score_without_error(None, len(arrays["logits"]), "the extractor tells no classes apart")
    if entry.uses == "logits":
        score: Score = function(arrays["logits"], **options)
        return score
    if reference is None:
        raise ReferenceDataError(f"{entry.title} compares with real data, and no reference is given")
    if reference.features is None and not entry.moments_suffice:
        n = len(arrays["features"])
        return score_without_error(None, n, f"reference {reference.name!r} holds moments alone, not features")
    score = function(arrays["features"], reference, **options)
    return score
