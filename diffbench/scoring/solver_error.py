"""Solver error: how far each sample lies from the converged solution that starts from the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ScoringError
from diffbench.scoring.interval import Score, score_from_influence, score_without_error, too_few
from diffbench.scoring.moments import Array

RESOLVED = 5.0
"""How many times the solution's own error a value must be to count in a fit: it is then off by a fifth at most."""
FITTED = 3
"""How many points an order is fitted to."""


def rmse_per_sample(samples: NDArray[Any], solution: NDArray[Any]) -> Array:
    """r_i = sqrt(mean over the elements of sample i of (x_i - y_i)^2) for (n, ...) arrays; (n,) float64.

    Raises:
        ScoringError: the shapes differ, there is no sample, or a value is not finite.
    """
    if samples.shape != solution.shape or samples.ndim < 2 or not samples.size:
        raise ScoringError(f"solver error: samples are {samples.shape}, the solution's {solution.shape}")
    apart = (samples.astype(np.float64) - solution.astype(np.float64)).reshape(len(samples), -1)
    rmse: Array = np.sqrt(np.mean(apart**2, axis=1))
    if not np.isfinite(rmse).all():
        raise ScoringError(f"solver error: sample {int(np.argmin(np.isfinite(rmse)))} is not finite")
    return rmse


def solver_error(samples: NDArray[Any], solution: NDArray[Any]) -> Score:
    """Mean over samples of r_i (:func:`rmse_per_sample`), in the arrays' own unit; 0 or more, influence r_i - mean.

    Row i of both arrays (n, ...) comes from the same noise. With the same start and the same landing point it is the
    whole discretisation error of the sampler on its grid: the steps', and that of the last one, which lands on sigma 0
    by one denoised estimate from whatever noise level the grid stops at. The network's own error is in both arrays and
    is no part of it. Errors of images' features, unlike x0's, end at the rounding to 8 bits (:func:`rounded_apart`).
    """
    rmse = rmse_per_sample(samples, solution)
    value = float(rmse.mean())
    if len(rmse) < 2:
        return score_without_error(value, len(rmse), too_few(len(rmse)))
    return score_from_influence(value, rmse - value)


def own_error(solution: NDArray[Any], half: NDArray[Any]) -> float:
    """How far a solution is from the exact one, at most: mean r_i between it and that of half its steps.

    A method of order p that has begun to converge moves by 2^p - 1 times its remaining error when its steps are halved
    (Richardson 1911), so this is too large rather than too small, for any p >= 1. Rounding is in it as well.
    """
    return float(rmse_per_sample(half, solution).mean())


def rounded_apart(images: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """Images (k, C, H, W) as they might be had their floats been a little different: what rounding to 8 bits hides.

    The roundings of two floats are off independently and uniformly by at most half a level; the difference has
    variance 1/6, and so have the moves here: by one level up or down with probability 1/12 each, where 0 to 255 allow.
    """
    moves = np.random.RandomState(seed).choice([-1, 0, 1], size=images.shape, p=[1 / 12, 10 / 12, 1 / 12])
    apart: NDArray[np.uint8] = np.clip(images.astype(np.int16) + moves, 0, 255).astype(np.uint8)
    return apart


def resolved(score: Score, own: float, solution: str) -> Score:
    """The score as far as it can be told beside the ``own`` error of the ``solution``, which is named in the reason.

    A value below ``own`` is None; one below ``RESOLVED`` times it is marked by its reason.
    """
    value, said = score.value, f"the converged solution ({solution}) is exact to {own:.2g}"
    if value is None:
        return score
    if value < own:
        return score_without_error(None, score.n, f"not told apart from the solution: {value:.2g}, but {said}")
    near = "; too near to it to count in the fitted order" if value < RESOLVED * own else ""
    beside = "" if score.reason is None else f"{score.reason}; "
    return Score(value, score.se, score.ci_low, score.ci_high, score.n, score.influence, f"{beside}{said}{near}")


def fitted_order(evaluations: Sequence[float], scores: Sequence[Score], owns: Sequence[float]) -> Score:
    """The p of error = C NFE^-p, with an interval over the samples that all points share (influence values).

    Least squares of log error on log NFE at the ``FITTED`` points of most evaluations among those that are at least
    ``RESOLVED`` times their solution's ``owns`` error. With slopes c_j = (l_j - mean l) / sum (l - mean l)^2 over
    l_j = log NFE_j, p = -sum_j c_j log e_j, and sample i moves it by -sum_j c_j (r_ij - e_j) / e_j. None with a
    reason where fewer points are left.
    """
    told = [
        (nfe, score)
        for nfe, score, own in zip(evaluations, scores, owns, strict=True)
        if score.value is not None and score.value > 0 and score.value >= RESOLVED * own
    ]
    last = sorted(dict(told).items())[-FITTED:]
    n = scores[0].n if scores else 0
    if len(last) < FITTED:
        return score_without_error(None, n, f"{len(last)} points above the solution's own error; a fit needs {FITTED}")
    log_nfe = np.log([nfe for nfe, _ in last])
    centred = log_nfe - log_nfe.mean()
    weights = centred / (centred**2).sum()
    errors = np.array([float(score.value or 0.0) for _, score in last])
    order = -float(weights @ np.log(errors))
    moved = [score.influence for _, score in last if score.influence is not None]
    if len(moved) < FITTED:
        return score_without_error(order, n, too_few(n))
    return score_from_influence(order, -(weights / errors) @ np.stack(moved))
