"""The one way from a sampler's floats to the 8-bit images that everything else is computed from."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from diffbench.errors import ScoringError

Quantiser = Literal["round", "floor"]


def quantise(
    x: Tensor, low: float = -1.0, high: float = 1.0, mode: Quantiser = "round", first_index: int = 0
) -> Tensor:
    """Return float images as uint8 of the same shape, on the same device.

    ``round(255 (x - low) / (high - low))``, which is ``round(127.5 x + 127.5)`` for the usual range, half to even,
    and values outside [low, high] clamped to its ends; ``floor`` truncates instead. The arithmetic is float64, exact
    for float32 input in the usual range, so that no device rounds a tie its own way.

    Args:
        x: images (B, C, H, W), floating point.
        low: the value that becomes 0.
        high: the value that becomes 255.
        mode: "round", or "floor" for pipelines that truncate.
        first_index: index of the first sample of the batch; only names the culprit in errors.

    Raises:
        ScoringError: not floating point, not four-dimensional, an empty range, an unknown mode, or a NaN or
            infinity: the first such sample is named.
    """
    if not x.is_floating_point() or x.ndim != 4:
        raise ScoringError(f"images to quantise must be floats of shape (B, C, H, W), got {x.dtype} {tuple(x.shape)}")
    if not low < high:
        raise ScoringError(f"the range of the images is empty: [{low}, {high}]")
    if mode not in ("round", "floor"):
        raise ScoringError(f"unknown quantiser {mode!r}: known are round, floor")
    finite = torch.isfinite(x).flatten(1).all(dim=1)
    if not bool(finite.all()):
        bad = int((~finite).nonzero()[0, 0])
        raise ScoringError(f"image of sample {first_index + bad} has values that are not finite (NaN or infinity)")
    slope = 255.0 / (high - low)
    levels = x.double() * slope - low * slope
    levels = torch.round(levels) if mode == "round" else torch.floor(levels)
    return levels.clamp(0, 255).to(torch.uint8)
