"""What exactly a score is, as text: two scores compare only if the comparable parts are equal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from diffbench.errors import ScoringError


def signature(
    metric: str,
    n: int,
    extractor_name: str | None,
    extractor_sha256: str | None,
    reference_name: str | None,
    reference_sha256: str | None,
    quantiser: str | None,
    resize: str | None,
    options: Mapping[str, Any] | None = None,
    origin: Mapping[str, Any] | None = None,
) -> str:
    """Return canonical JSON (sorted keys, no spaces, ASCII) with the parts "comparable" and "other".

    Options named ``seed`` or ending in ``_seed`` go to "other": another seed is another draw of the same quantity. So
    does ``origin``: what tells the very arrays apart that a score was computed from.
    A metric that uses no reference passes None for it, one of the samples themselves also for all of the images.

    Raises:
        ScoringError: an option is called like one of the fixed keys, or is not plain JSON (NaN included).
    """
    comparable: dict[str, Any] = {
        "metric": metric,
        "n": n,
        "extractor": extractor_name,
        "extractor_sha256": extractor_sha256,
        "reference": reference_name,
        "reference_sha256": reference_sha256,
        "quantiser": quantiser,
        "resize": resize,
    }
    other: dict[str, Any] = dict(origin or {})
    for key, value in (options or {}).items():
        if key in comparable:
            raise ScoringError(f"metric {metric!r} has an option {key!r}, which is a fixed key of the signature")
        (other if key == "seed" or key.endswith("_seed") else comparable)[key] = value
    try:
        return json.dumps(
            {"comparable": comparable, "other": other}, sort_keys=True, separators=(",", ":"), allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise ScoringError(f"options of metric {metric!r} can't be written as JSON: {error}") from None
