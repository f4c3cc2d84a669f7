"""Solver error: how far each sample lies from the converged solution that starts from the same noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ScoringError
from diffbench.scoring.interval import Score, score_from_influence, score_without_error, too_few
from diffbench.scoring.moments import Array


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
    is no part of it. Errors of images or their features, unlike x0's, end at the rounding to 8 bits.
    """
    rmse = rmse_per_sample(samples, solution)
    value = float(rmse.mean())
    if len(rmse) < 2:
        return score_without_error(value, len(rmse), too_few(len(rmse)))
    return score_from_influence(value, rmse - value)
