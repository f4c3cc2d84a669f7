"""Standard errors and intervals from per-sample influence values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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
        replicates: (``GROUPS``,) the statistic without each group of samples, where that is what the error is from.
    """

    value: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    influence: NDArray[np.float64] | None
    reason: str | None
    replicates: NDArray[np.float64] | None = None


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


def score_of_mean(values: NDArray[np.float64], alike: str | None = None) -> Score:
    """Score of the mean of values (n,) >= 0, one a sample; ``alike``: why there is no spread to take an error from.

    Values that are all equal have none either: that unseen samples would be so, too, does not follow.
    """
    if alike is None and len(values) > 1 and (values == values[0]).all():
        alike = f"each sample counts {values[0]:g}: no spread to take an error from"
    plain = _score_of_mean(values, alike)
    return plain if plain.ci_low is None else replace(plain, ci_low=max(0.0, plain.ci_low))


def _score_of_mean(values: NDArray[np.float64], alike: str | None) -> Score:
    n = len(values)
    value = float(values.mean()) if n else None
    if value is None or n < 2 or alike is not None:
        return score_without_error(value, n, too_few(n) if n < 2 else str(alike))
    return score_from_influence(value, values - value)


def score_of_share(inside: NDArray[np.float64], alike: str | None = None) -> Score:
    """Score of the share of samples that are 1 of (n,) zeros and ones, with Wilson's interval (1927).

    value ± z se misses a share near 0 or 1 too often, and has no width at them: with z = 1.96 and p the share, the ends
    are (p + z^2/2n ± z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n).
    """
    plain = _score_of_mean(inside, alike)
    if plain.value is None or plain.se is None:
        return plain
    n, z = plain.n, 1.96
    middle = plain.value + z**2 / (2 * n)
    half = z * math.sqrt(plain.value * (1 - plain.value) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return replace(plain, ci_low=max(0.0, min(low, plain.value)), ci_high=min(1.0, max(high, plain.value)))


GROUPS = 20
_T19 = 2.09  # quantile 0.975 of Student's law with GROUPS - 1 degrees of freedom, to two decimals


def groups_of(n: int, groups: int = GROUPS, seed: int = 0) -> NDArray[np.int64]:
    """A group 0 to groups - 1 for each of n samples, sizes as equal as can be, by a seeded shuffle: (n,)."""
    assigned = np.empty(n, np.int64)
    assigned[np.random.RandomState(seed).permutation(n)] = np.arange(n) % groups
    return assigned


def score_from_groups(
    value: float, replicates: NDArray[np.float64], n: int, least: float = -math.inf, most: float = math.inf
) -> Score:
    """Score whose error is that of the delete-a-group jackknife: no sample has a value of its own.

    With ``replicates`` (G,), the statistic without each of G groups, se^2 = (G - 1)/G sum (r_g - mean r)^2, and the
    interval is value ± t se with Student's t of G - 1 degrees of freedom (Wolter 2007, section 4.2). For statistics
    that drawing with replacement would bias: duplicates shrink neighbours' distances. The interval ends at ``least``
    and ``most``, those of the statistic. Replicates that are all equal, as those of a share of 0 or 1 are, tell no
    error: it is null, with the reason.

    Raises:
        ScoringError: the value or a replicate is not finite, or there are not ``GROUPS`` of them.
    """
    if replicates.shape != (GROUPS,) or not math.isfinite(value) or not np.isfinite(replicates).all():
        raise ScoringError("a score or its jackknife replicates are not finite, or too few")
    if (replicates == replicates[0]).all():
        return score_without_error(value, n, "the same without any group: no spread to take an error from")
    se = jackknife_error(replicates)
    ends = max(least, value - _T19 * se), min(most, value + _T19 * se)
    return Score(value, se, *ends, n, None, None, replicates)


def jackknife_error(replicates: NDArray[np.float64]) -> float:
    """Standard error from G replicates (G,), each without one of G groups: see :func:`score_from_groups`."""
    groups = len(replicates)
    return float(np.sqrt((groups - 1) / groups * ((replicates - replicates.mean()) ** 2).sum()))


def jackknifed(n: int) -> str | None:
    """Why n samples have no jackknife error; None if they have one."""
    return None if n >= 2 * GROUPS else f"{too_few(n, 2 * GROUPS)} for an error by the jackknife"
