"""Images that something else made, scored as a run's samples are: same extraction, same metrics, same table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from diffbench import results
from diffbench.catalog import METRICS
from diffbench.errors import ImagesError, ReferenceDataError, UsageError
from diffbench.results import Row
from diffbench.scoring.clip_score import WEIGHT, clip_score
from diffbench.scoring.extract import extract_all
from diffbench.scoring.extractor import Extractor, takes
from diffbench.scoring.fid_per_class import fid_per_class
from diffbench.scoring.interval import Score
from diffbench.scoring.metric import compute
from diffbench.scoring.pictures import Pictures
from diffbench.scoring.reference import Reference
from diffbench.scoring.signature import signature
from diffbench.scoring.transformers_extractor import embed_prompts
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

    arrays = extract_all(extractor, hashed())  # the digest is whole only then
    return Extracted(arrays, digest.hexdigest())


def _check_shape(pictures: Pictures, extractor: Extractor) -> None:
    if not takes(extractor, pictures.shape):
        told, taken = (" x ".join(map(str, shape or ())) for shape in (pictures.shape, extractor.image_shape))
        raise ImagesError(f"images are {told} (channels x height x width); extractor {extractor.name} takes {taken}")


def reference_of(
    pictures: Pictures, extractor: Extractor, name: str, info: Mapping[str, Any] | None = None
) -> Reference:
    """A reference of real images, made in memory; its sha256 is that of the images. Raises as :func:`extracted`."""
    found = extracted(pictures, extractor)
    own = {"extractor_sha256": extractor.sha256, "images_sha256": found.sha256, "resize": extractor.resize}
    more = {**(info or {}), **own}
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


@dataclass(frozen=True, eq=False)
class Conditions:
    """What images were asked to be: ``labels`` (n,), with those of the real images (N,), and ``prompts`` (n,)."""

    labels: NDArray[Any] | None = None
    real_labels: NDArray[Any] | None = None
    prompts: Sequence[str] | None = None


def score_images(
    pictures: Pictures,
    extractor: Extractor,
    reference: Reference | None,
    metrics: Sequence[tuple[str, Mapping[str, Any]]],
    name: str,
    quantiser: str = GIVEN,
    conditions: Conditions = Conditions(),
) -> Scored:
    """Score an image set.

    Args:
        pictures: the images.
        extractor: in whose eyes.
        reference: the real data; None where no metric needs it.
        metrics: names of the catalog with their options, complete.
        name: what the images are called in the column ``model``.
        quantiser: how floats became 8-bit; ``given`` where they came so.
        conditions: labels add a FID for each class, prompts a CLIP score.

    Raises:
        ImagesError, ScoringError: images that can't be read or have no features, or labels or prompts that don't fit.
        ReferenceDataError: the reference is of another extractor, or missing.
        UsageError: prompts for an extractor that reads none.
    """
    if reference is not None:
        reference.check_extractor(extractor)
    found = extracted(pictures, extractor)
    cell = hashlib.sha256(f"{found.sha256} {extractor.sha256}".encode()).hexdigest()[:16]
    made: list[tuple[str, Mapping[str, Any], Score]] = []
    for metric, options in metrics:
        made.append((metric, options, compute(METRICS[metric], options, found.arrays, reference)))
    made += _conditioned(found.arrays, extractor, reference, conditions)
    rows, scores = [], {}
    for metric, options, score in made:
        own = reference if metric in METRICS and METRICS[metric].uses == "features" else None
        said = signature(
            metric=metric,
            n=score.n,
            extractor_name=extractor.name,
            extractor_sha256=extractor.sha256,
            reference_name=own.name if own else None,
            reference_sha256=own.sha256 if own else None,
            quantiser=quantiser,
            resize=extractor.resize,
            options=options,
        )
        scores[said] = score
        rows.append(
            Row(
                suite=SUITE, cell=cell, model=name, family=FAMILY, sampler=SAMPLER, n=score.n, metric=metric,
                options={"label": options["label"]} if "label" in options else {}, value=score.value, se=score.se,
                ci_low=score.ci_low, ci_high=score.ci_high, status="ok", reason=score.reason,
                unit=METRICS[metric].unit if metric in METRICS else None,
                better=METRICS[metric].better if metric in METRICS else "higher", device=str(extractor.device),
                reference=own.name if own else None, extractor=extractor.name, signature=said,
            )
        )  # fmt: skip
    return Scored(rows, scores, cell, found.sha256)


def _conditioned(
    arrays: Arrays, extractor: Extractor, reference: Reference | None, given: Conditions
) -> list[tuple[str, Mapping[str, Any], Score]]:
    """FID of each class, and the CLIP score, as far as labels and prompts are given."""
    found: list[tuple[str, Mapping[str, Any], Score]] = []
    if given.labels is not None:
        if reference is None or given.real_labels is None:
            raise ReferenceDataError("FID per class needs a reference and the labels of its images")
        classes = fid_per_class(arrays["features"], given.labels, reference, given.real_labels)
        found += [("fid", {"label": label}, score) for label, score in classes.items()]
    if given.prompts is not None:
        prompts = [str(prompt) for prompt in given.prompts]
        text = embed_prompts(extractor.name, extractor.sha256, prompts, extractor.device)
        digest = hashlib.sha256("\n".join(prompts).encode()).hexdigest()
        options = {"weight": WEIGHT, "prompts_sha256": digest}
        found.append(("clip_score", options, clip_score(arrays["features"], text)))
    return found


def require_own_folder(folder: Path) -> None:
    """Raise UsageError where the table of something else would be overwritten: a run's, or a file."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: exists and is not a folder")
    if (folder / "suite.yaml").exists():
        raise UsageError(f"{folder}: is the folder of a run, whose table would be lost; give another")


def write_scored(scored: Scored, folder: Path) -> None:
    """A folder that reports and comparisons read: the table, and the values per sample. Raises StoreError."""
    folder.mkdir(parents=True, exist_ok=True)
    cache = ScoreCache(Store(folder).folder(scored.cell), scored.digest, scoring_code())
    for said, score in scored.scores.items():
        cache.add(said, score)
    cache.write()
    results.write(results.frame(scored.rows), folder)
