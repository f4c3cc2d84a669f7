"""Inception score: IS of Salimans et al. 2016, section 4; with the digit classifier, its counterpart for digits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ScoringError
from diffbench.scoring.interval import Score, score_from_influence, score_without_error, too_few
from diffbench.scoring.moments import Array, checked


def inception_score(logits: NDArray[Any], splits: int = 1, seed: int = 2020) -> Score:
    """IS of logits (n, K): exp of the mean KL(p(y|x) || p(y)), the mean over ``splits`` parts of a seeded shuffle.

    Between 1 and K. Depends strongly on n and on ``splits``; the literature has 10 splits of 50,000 samples. With n_s
    samples in a sample's split,

        influence_i = n / (splits n_s) IS_s (KL_i - mean KL of the split),

    the exact derivative: the marginal's own contribution vanishes at first order. It does not at second order, which
    shows near the upper bound K with few samples: there the error is on the wide side (digits, n = 160: by 40 %).

    Raises:
        ScoringError: logits of the wrong shape, or not finite (the sample is named); splits < 1; seed outside
            [0, 2^32).
    """
    wide = checked(logits, "logits")
    n = len(wide)
    if splits < 1:
        raise ScoringError(f"splits must be at least 1, got {splits}")
    if not 0 <= seed < 2**32:
        raise ScoringError(f"seed must lie in [0, 2^32), got {seed}")
    if n < 2 * splits:
        return score_without_error(None, n, too_few(n, 2 * splits))
    # The legacy generator: its stream is frozen, and it is the one behind published scores.
    order = np.random.RandomState(seed).permutation(n)
    scores = np.empty(splits)
    influence = np.empty(n)
    largest = 0.0
    for split in range(splits):
        chosen = order[split * n // splits : (split + 1) * n // splits]
        divergence = _divergences(wide[chosen])
        scores[split] = np.exp(divergence.mean())
        weight = n / (splits * len(chosen))
        influence[chosen] = weight * scores[split] * (divergence - divergence.mean())
        largest = max(largest, float(np.abs(divergence).max()))
    value = float(scores.mean())
    if largest < 1e-12:
        return score_without_error(value, n, "all samples have the same class probabilities: no error to estimate")
    return score_from_influence(value, influence)


def _divergences(logits: Array) -> Array:
    """KL(p(y|x_i) || mean of p) for each row, (n,); in logarithms, so that no probability underflows."""
    log_p = logits - _log_sum_exp(logits, axis=1)
    log_q = _log_sum_exp(log_p, axis=0) - np.log(len(logits))
    divergence: Array = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    return divergence


def _log_sum_exp(values: Array, axis: int) -> Array:
    top = values.max(axis=axis, keepdims=True)
    total: Array = top + np.log(np.exp(values - top).sum(axis=axis, keepdims=True))
    return total
