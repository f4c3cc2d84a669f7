"""The difference of two scores whose samples start from the same noise, sample by sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ScoringError
from diffbench.scoring.interval import Score, jackknife_error

Values = NDArray[np.float64]

FEWEST = 50
"""Samples below which a mean of influence values, which may be skewed, is not held to follow Student's law."""


UNPAIRED = "not paired: no values per sample"


@dataclass(frozen=True)
class Difference:
    """``value`` = new - base, in the metric's unit.

    Attributes:
        base: the one score's value; None if it is missing.
        new: the other's.
        value: their difference; None if one of them is missing.
        se: its standard error; 0 where all influence values are equal; None if unknown, for the stated ``reason``.
        correlation: of the two scores' influence values, -1 to 1; None where one of them does not vary.
        gain: how many times more samples an unpaired comparison would need for the same error; None where se is 0.
        n: samples on each side.
        reason: why something above is None.
        groups: of the jackknife that the error is from; None for values per sample.
        equal: all features are the same on both sides, bit for bit; then se is 0.
    """

    base: float | None
    new: float | None
    value: float | None
    se: float | None
    correlation: float | None
    gain: float | None
    n: int
    reason: str | None
    equal: bool = False
    groups: int | None = None

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the error: n - 1, or one less than the groups of the jackknife."""
        return (self.groups or self.n) - 1

    def interval(self, z: float = 1.96) -> tuple[float, float] | None:
        """Value ± z se; None without an error."""
        if self.value is None or self.se is None:
            return None
        return self.value - z * self.se, self.value + z * self.se


def paired(base: Score, new: Score) -> Difference:
    """The paired difference: SE = sd(influence_new - influence_base) / sqrt(n), sd with n - 1.

    Sample i of both sides starts from the same noise, so that what is common to both cancels; nothing is resampled
    (the delta method for a difference of functionals: van der Vaart 1998, chapter 20). The reference is held fixed.
    Scores without values per sample (``recall``, ``coverage``, FID infinity) are paired group by group, by the
    delete-a-group jackknife of the difference: a group is the same sample indices on both sides. Scores with errors
    alone are compared as independent ones, SE = sqrt(SE_base^2 + SE_new^2): too wide where the pairs are alike.

    Raises:
        ScoringError: the scores are of different numbers of samples.
    """
    if base.n != new.n:
        raise ScoringError(f"scores of {base.n} and {new.n} samples can't be paired")
    if base.value is None or new.value is None:
        side, score = ("base", base) if base.value is None else ("new", new)
        return _without_error(base, new, None, f"{side} has no value: {score.reason}")
    value = new.value - base.value
    if base.replicates is not None and new.replicates is not None:
        return _paired_groups(base, new, value, base.replicates, new.replicates)
    if base.influence is None or new.influence is None:
        if base.se is not None and new.se is not None:
            se = math.hypot(base.se, new.se)
            return Difference(base.value, new.value, value, se, None, None, base.n, UNPAIRED)
        side, score = ("base", base) if base.influence is None else ("new", new)
        return _without_error(base, new, value, f"{side} has no error: {score.reason}")
    se = float(np.std(new.influence - base.influence, ddof=1)) / math.sqrt(base.n)
    spread = [float(np.var(influence, ddof=1)) for influence in (base.influence, new.influence)]
    gain = sum(spread) / base.n / se**2 if se > 0 else None
    return Difference(base.value, new.value, value, se, _correlation(base.influence, new.influence), gain, base.n, None)


def _paired_groups(base: Score, new: Score, value: float, one: Values, other: Values) -> Difference:
    se = jackknife_error(other - one)
    gain = (jackknife_error(one) ** 2 + jackknife_error(other) ** 2) / se**2 if se > 0 else None
    rho = _correlation(one, other)
    return Difference(base.value, new.value, value, se, rho, gain, base.n, None, groups=len(one))


def _correlation(one: Values, other: Values) -> float | None:
    """Pearson's; None where one of them does not vary."""
    spread = float(np.var(one, ddof=1)), float(np.var(other, ddof=1))
    if min(spread) == 0:
        return None
    covariance = float(np.cov(one, other, ddof=1)[0, 1])
    return max(-1.0, min(1.0, covariance / math.sqrt(spread[0] * spread[1])))


def _without_error(base: Score, new: Score, value: float | None, reason: str) -> Difference:
    return Difference(base.value, new.value, value, None, None, None, base.n, reason)
