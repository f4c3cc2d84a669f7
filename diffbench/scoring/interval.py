"""Standard errors and intervals from per-sample influence values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ScoringError


@dataclass(frozen=True, eq=False)
class Score:
    """A metric's value with its sampling error.

    The error is that of drawing other samples from the same generator, with the reference held fixed; the interval is
    one about the expectation of the statistic at this n, bias included.

    Attributes:
        value: the statistic; None if it can't be computed.
        se: standard error; None if unknown.
        ci_low: lower end of the interval; None with ``se``.
        ci_high: upper end of the interval; None with ``se``.
        n: number of samples.
        influence: (n,) float64, the derivative of the value along a shift of weight to each sample; sums to zero.
            None if ``se`` is.
        reason: why something above is None, or what the value rests on; None otherwise.
    """

    value: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    influence: NDArray[np.float64] | None
    reason: str | None


def score_from_influence(value: float, influence: NDArray[np.float64], level: float = 0.95) -> Score:
    """Score with ``se = sd(influence) / sqrt(n)`` (sd with n - 1) and the interval value ± z se.

    z is the normal quantile rounded to two decimals, 1.96 at 95 %: an interval can be checked by hand.

    Raises:
        ScoringError: value or influence not finite, fewer than two influence values, level not in (0, 1).
    """
    n = len(influence)
    if n < 2 or influence.ndim != 1:
        raise ScoringError(f"an error estimate needs at least 2 influence values, got shape {influence.shape}")
    if not 0 < level < 1:
        raise ScoringError(f"the level of an interval lies between 0 and 1, got {level}")
    if not math.isfinite(value) or not np.isfinite(influence).all():
        raise ScoringError("a score or its influence values are not finite")
    se = float(np.std(influence, ddof=1)) / math.sqrt(n)
    margin = round(NormalDist().inv_cdf(0.5 + level / 2), 2) * se
    return Score(value, se, value - margin, value + margin, n, influence, None)


def score_without_error(value: float | None, n: int, reason: str) -> Score:
    """Score whose error (and value, if None) is unknown for a stated reason.

    Raises:
        ScoringError: the value is a number but not finite.
    """
    if value is not None and not math.isfinite(value):
        raise ScoringError("a score is not finite")
    return Score(value, None, None, None, n, None, reason)


def too_few(n: int, needed: int = 2) -> str:
    """The reason of a score that needs more samples."""
    return f"too few samples: n = {n}, at least {needed} are needed"
