"""CLIP score: how well images fit their prompts; Hessel et al. 2021, Eq. 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ScoringError
from diffbench.scoring.cmmd import unit
from diffbench.scoring.interval import Score, score_of_mean

WEIGHT = 2.5


def clip_score(images: NDArray[Any], prompts: NDArray[Any], weight: float = WEIGHT) -> Score:
    """Mean of ``weight`` max(cos(image, prompt), 0) over the pairs of embeddings (n, d).

    With influence_i = own value - mean. 2.5 is the paper's weight (0 to 2.5); other tools have 100. Higher is better.

    Raises:
        ScoringError: shapes that differ, values that are not finite, or an embedding of length 0 (named by index).
    """
    x, y = unit(images), unit(prompts)
    if x.shape != y.shape:
        raise ScoringError(f"{len(x)} images of dimension {x.shape[1]}, but {len(y)} prompts of {y.shape[1]}")
    return score_of_mean(weight * np.maximum(np.einsum("nd,nd->n", x, y), 0.0))
