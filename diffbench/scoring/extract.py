"""Features of a stream of images that depend on each image and its index alone, not on how the stream is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffbench.errors import ScoringError
from diffbench.scoring.extractor import Extractor, Features

BATCH = 64
"""Images that a network sees at once, always: another number may choose other kernels, which round otherwise."""


def extract(extractor: Extractor, blocks: Iterable[Tensor], first_index: int = 0) -> Iterator[Features]:
    """Features of uint8 images that come in ``blocks`` (B,C,H,W) of any size; yields up to ``BATCH`` rows at a time.

    Image i stands in row i modulo ``BATCH`` of its batch, with black images where nothing else is: the features of a
    run's shards, of parts of it, and of its images read back from files are the same to the last bit. Memory does not
    grow with the number of images. ``first_index`` is the first image's i.

    Raises:
        ScoringError: as the extractor does; or what it gives is no row of floats for each image, or not finite (the
            first such image is named by its index).
    """
    pending: list[Tensor] = []
    index = first_index
    for images in blocks:
        rest = images
        while len(rest):
            room = BATCH - index % BATCH
            pending.append(rest[:room])
            index += len(rest[:room])
            rest = rest[room:]
            if index % BATCH == 0:
                yield _batch(extractor, torch.cat(pending), index)
                pending = []
    if pending:
        yield _batch(extractor, torch.cat(pending), index)


def extract_all(extractor: Extractor, blocks: Iterable[Tensor], first_index: int = 0) -> dict[str, NDArray[Any]]:
    """All of :func:`extract` in memory: ``features`` (n, d) and ``logits`` (n, K), for one image at least."""
    found = list(extract(extractor, blocks, first_index))
    features, logits = [one.features.numpy() for one in found], [one.logits.numpy() for one in found]
    return {"features": np.concatenate(features), "logits": np.concatenate(logits)}


def _batch(extractor: Extractor, images: Tensor, end: int) -> Features:
    """Features of the images whose indices end before ``end``, each in its own row."""
    row = (end - len(images)) % BATCH
    padded = images.new_zeros((BATCH, *images.shape[1:]))
    padded[row : row + len(images)] = images
    found = extractor(padded)
    rows, start = slice(row, row + len(images)), end - len(images)
    features = _rows(extractor, found.features, "features", rows, start)
    return Features(features, _rows(extractor, found.logits, "logits", rows, start))


def _rows(extractor: Extractor, values: Tensor, what: str, rows: slice, start: int) -> Tensor:
    """The rows of the images themselves, the first of which has index ``start``; black ones are nobody's."""
    if values.ndim != 2 or len(values) != BATCH or not values.is_floating_point():
        raise ScoringError(
            f"extractor {extractor.name}: {what} of {BATCH} images must be floats of shape ({BATCH}, d), got "
            f"{values.dtype} {tuple(values.shape)}"
        )
    own = values[rows].clone()
    finite = torch.isfinite(own).all(dim=1)
    if not bool(finite.all()):
        bad = start + int((~finite).nonzero()[0, 0])
        raise ScoringError(f"extractor {extractor.name}: {what} of sample {bad} are not finite (NaN or infinity)")
    return own
