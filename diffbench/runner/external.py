"""Images that something else made, scored as a run's samples are: same extraction, same metrics, same table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from diffbench import results
from diffbench.catalog import METRICS
from diffbench.errors import ImagesError
from diffbench.results import Row
from diffbench.scoring.extract import extract
from diffbench.scoring.extractor import Extractor, takes
from diffbench.scoring.interval import Score
from diffbench.scoring.metric import compute
from diffbench.scoring.pictures import Pictures
from diffbench.scoring.reference import Reference
from diffbench.scoring.signature import signature
from diffbench.status.code import scoring_code
from diffbench.status.score_cache import ScoreCache
from diffbench.store.shards import Arrays, Store

SUITE, SAMPLER, FAMILY = "score", "external", "external"
GIVEN = "given"
"""The quantiser of images that were 8-bit when they came."""


@dataclass(frozen=True)
class Extracted:
    """Features (n, d), logits (n, K), and the sha256 of all images' bytes."""

    arrays: Arrays
    sha256: str


def extracted(pictures: Pictures, extractor: Extractor) -> Extracted:
    """Features of all images, in one pass. Raises ImagesError, ScoringError."""
    _check_shape(pictures, extractor)
    digest = hashlib.sha256()

    def hashed() -> Any:
        for block in pictures.blocks():
            digest.update(block.numpy().tobytes())
            yield block

    found = list(extract(extractor, hashed()))
    features, logits = [one.features.numpy() for one in found], [one.logits.numpy() for one in found]
    return Extracted({"features": np.concatenate(features), "logits": np.concatenate(logits)}, digest.hexdigest())


def _check_shape(pictures: Pictures, extractor: Extractor) -> None:
    if not takes(extractor, pictures.shape):
        told, taken = (" x ".join(map(str, shape or ())) for shape in (pictures.shape, extractor.image_shape))
        raise ImagesError(f"images are {told} (channels x height x width); extractor {extractor.name} takes {taken}")


def reference_of(
    pictures: Pictures, extractor: Extractor, name: str, info: Mapping[str, Any] | None = None
) -> Reference:
    """A reference of real images, made in memory; its sha256 is that of the images. Raises as :func:`extracted`."""
    found = extracted(pictures, extractor)
    more = {"extractor_sha256": extractor.sha256, "images_sha256": found.sha256, **(info or {})}
    shape = pictures.shape
    made = Reference.of(name, found.arrays["features"], found.arrays["logits"], extractor.name, shape, more)
    return replace(made, sha256=found.sha256)


@dataclass(frozen=True)
class Scored:
    """The rows of one image set, and the scores with their values per sample."""

    rows: list[Row]
    scores: Mapping[str, Score]
    cell: str
    digest: str


def score_images(
    pictures: Pictures,
    extractor: Extractor,
    reference: Reference | None,
    metrics: Sequence[tuple[str, Mapping[str, Any]]],
    name: str,
    quantiser: str = GIVEN,
) -> Scored:
    """Score an image set.

    Args:
        pictures: the images.
        extractor: in whose eyes.
        reference: the real data; None where no metric needs it.
        metrics: names of the catalog with their options, complete.
        name: what the images are called in the column ``model``.
        quantiser: how floats became 8-bit; ``given`` where they came so.

    Raises:
        ImagesError, ScoringError: images that can't be read or have no features.
        ReferenceDataError: the reference is of another extractor, or missing.
    """
    if reference is not None:
        reference.check_extractor(extractor)
    found = extracted(pictures, extractor)
    rows, scores = [], {}
    cell = hashlib.sha256(f"{found.sha256} {extractor.sha256}".encode()).hexdigest()[:16]
    for metric, options in metrics:
        said = _signature(metric, options, pictures.count, extractor, reference, quantiser)
        score = compute(METRICS[metric], options, found.arrays, reference)
        scores[said] = score
        entry = METRICS[metric]
        rows.append(
            Row(
                suite=SUITE, cell=cell, model=name, family=FAMILY, sampler=SAMPLER, n=pictures.count, metric=metric,
                value=score.value, se=score.se, ci_low=score.ci_low, ci_high=score.ci_high, unit=entry.unit,
                better=entry.better, status="ok", reason=score.reason, device=str(extractor.device),
                reference=reference.name if reference is not None and entry.uses == "features" else None,
                extractor=extractor.name, signature=said,
            )
        )  # fmt: skip
    return Scored(rows, scores, cell, found.sha256)


def _signature(
    metric: str, options: Mapping[str, Any], n: int, extractor: Extractor, reference: Reference | None, quantiser: str
) -> str:
    own = reference if METRICS[metric].uses == "features" else None
    return signature(
        metric=metric,
        n=n,
        extractor_name=extractor.name,
        extractor_sha256=extractor.sha256,
        reference_name=own.name if own else None,
        reference_sha256=own.sha256 if own else None,
        quantiser=quantiser,
        resize=extractor.resize,
        options=options,
    )


def write_scored(scored: Scored, folder: Path) -> None:
    """A folder that reports and comparisons read: the table, and the values per sample. Raises StoreError."""
    folder.mkdir(parents=True, exist_ok=True)
    cache = ScoreCache(Store(folder).folder(scored.cell), scored.digest, scoring_code())
    for said, score in scored.scores.items():
        cache.add(said, score)
    cache.write()
    results.write(results.frame(scored.rows), folder)
