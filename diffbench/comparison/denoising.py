"""Denoising errors of a network, held against estimates that need none, and against another network's.

Sigmas are grouped into bands by their ratio to the data's standard deviation. Within a band every sigma counts alike:
an excess is divided by what it is compared with before it is averaged. Samples are independent; sigmas are not, and
are averaged within each sample before anything is tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from diffbench.comparison.multiple import holm, upper_tail
from diffbench.comparison.paired import FEWEST, Difference
from diffbench.comparison.verdict import ALPHA, Verdict, verdicts
from diffbench.diffusion.schedule import FloatArray
from diffbench.suite.gates import Margin

Word = Literal["GOOD", "SUSPECT", "WRONG"]

BASELINES = ("identity", "mean", "shrinkage", "linear")
MARGIN = 0.05
"""What an error may exceed a baseline by: where no estimate beats the linear one, a network need not either."""
AGAINST = 0.01
"""What an error may exceed another network's by."""

# Sigma over the data's standard deviation. Within a decade of 1, data and noise both matter.
_EDGES = (0.0, 10**-1.5, 10**-0.5, 10**0.5, 10**1.5, np.inf)
_NAMES = ("lowest", "low", "middle", "high", "highest")


@dataclass(frozen=True, eq=False)
class Errors:
    """Squared errors a sample, mean over elements, in the data's unit squared: S noise levels, n samples.

    Attributes:
        sigmas: (S,), rising.
        network: (S,n).
        baselines: the same of each of ``BASELINES``, from the same x_hat.
        allowed: what a network's limited resolution may add, (S,).
        std: the data's standard deviation: root of the mean variance of an element.
    """

    sigmas: FloatArray
    network: FloatArray
    baselines: Mapping[str, FloatArray]
    allowed: FloatArray
    std: float

    @property
    def trivial(self) -> FloatArray:
        """The least of identity, mean and shrinkage at each sigma, (S,n)."""
        given = np.stack([self.baselines[name] for name in BASELINES[:3]])
        best = given.mean(2).argmin(0)
        chosen: FloatArray = given[best, np.arange(len(best))]
        return chosen


@dataclass(frozen=True)
class Band:
    """Noise levels that belong together: ``levels`` index the sigmas."""

    name: str
    levels: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True)
class Judged:
    """What a band's errors amount to.

    Attributes:
        band: its noise levels.
        error: root of the network's mean squared error, in the data's standard deviation.
        of_linear: the network's mean squared error as a share of the best linear estimate's, mean over sigmas.
        of_trivial: the same of the least of identity, mean and shrinkage.
        word: GOOD below the linear estimate, WRONG above the trivial ones, SUSPECT between, or not told.
        p_good: adjusted p-value against "not below the linear estimate"; None where there are too few samples.
        p_wrong: the same against "not above the trivial ones".
        reason: why it is suspect; None otherwise.
    """

    band: Band
    error: float
    of_linear: float
    of_trivial: float
    word: Word
    p_good: float | None
    p_wrong: float | None
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        own = {key: value for key, value in vars(self).items() if key not in ("band", "word")}
        band = {"band": self.band.name, "sigma_low": self.band.low, "sigma_high": self.band.high}
        return {**band, "sigmas": len(self.band.levels), "verdict": self.word, **own}


def bands(sigmas: FloatArray, std: float) -> list[Band]:
    """The bands that hold any of ``sigmas`` (S,): two decades and more, one decade about ``std``, and so on."""
    place = np.digitize(sigmas / std, _EDGES) - 1
    found = []
    for index, name in enumerate(_NAMES):
        levels = np.flatnonzero(place == index)
        if len(levels):
            low, high = float(sigmas[levels].min()), float(sigmas[levels].max())
            found.append(Band(name, tuple(levels.tolist()), low, high))
    return found


def judge(errors: Errors, alpha: float = ALPHA) -> list[Judged]:
    """A verdict a band.

    Sample i's excess in a band is the mean over its sigmas of (error_i - (1 + margin) baseline_i - allowed) / (b +
    allowed), b being the baseline's mean over samples. GOOD where the mean excess over the linear estimate is below 0,
    WRONG where that over the least of the trivial ones is above 0: one-sided t-tests, adjusted over the bands (Holm),
    at ``alpha`` each way.
    """
    found = bands(errors.sigmas, errors.std)
    linear, trivial = errors.baselines["linear"], errors.trivial
    good = [-_excess(errors, linear, band) for band in found]
    wrong = [_excess(errors, trivial, band) for band in found]
    p_good, p_wrong = (holm([_tail(values) for values in side]) for side in (good, wrong))
    few = errors.network.shape[1] < FEWEST
    return [_judged(errors, *one, few, alpha) for one in zip(found, p_good, p_wrong, strict=True)]


def _judged(errors: Errors, band: Band, p_good: float, p_wrong: float, few: bool, alpha: float) -> Judged:
    levels = list(band.levels)
    network = errors.network[levels].mean(1)
    of_linear, of_trivial = (
        float((network / base[levels].mean(1)).mean()) for base in (errors.baselines["linear"], errors.trivial)
    )
    word: Word = "SUSPECT"
    reason = None
    if few:
        reason = f"{errors.network.shape[1]} images: a test needs {FEWEST}"
    elif p_wrong < alpha:
        word = "WRONG"
    elif p_good < alpha:
        word = "GOOD"
    else:
        reason = "not better than a linear estimate, as far as can be told; not worse than a trivial one either"
    error = float(network.mean()) ** 0.5 / errors.std
    if few:
        return Judged(band, error, of_linear, of_trivial, word, None, None, reason)
    return Judged(band, error, of_linear, of_trivial, word, p_good, p_wrong, reason)


def _excess(errors: Errors, baseline: FloatArray, band: Band) -> FloatArray:
    """(n,): see ``judge``."""
    levels = list(band.levels)
    base, allowed = baseline[levels], errors.allowed[levels, None]
    over = errors.network[levels] - (1 + MARGIN) * base - allowed
    excess: FloatArray = (over / (base.mean(1, keepdims=True) + allowed)).mean(0)
    return excess


def _tail(values: FloatArray) -> float:
    """The p-value of "the mean is not above 0"."""
    count = len(values)
    mean = float(values.mean())
    spread = float(values.std(ddof=1)) if count > 1 else 0.0
    if spread == 0:
        return float(mean <= 0)
    return upper_tail(mean / (spread / count**0.5), count - 1)


@dataclass(frozen=True)
class Apart:
    """A band's relative difference to another network's errors: ``difference.value`` -0.1 is a tenth less."""

    band: Band
    difference: Difference
    verdict: Verdict


def apart(
    sigmas: FloatArray, std: float, base: FloatArray, new: FloatArray, margin: float = AGAINST, alpha: float = ALPHA
) -> list[Apart]:
    """Compare errors (S,n) of the same samples with the same noise at the same sigmas, a verdict a band.

    Sample i's value is the mean over the band's sigmas of (new_i - base_i) / mean(base), with the means held fixed.
    """
    found = bands(sigmas, std)
    differences = [_difference(base[list(band.levels)], new[list(band.levels)]) for band in found]
    margins = [Margin(margin, relative=False)] * len(found)
    told = verdicts(differences, [True] * len(found), margins, alpha)
    return [Apart(*one) for one in zip(found, differences, told, strict=True)]


def _difference(base: FloatArray, new: FloatArray) -> Difference:
    values = ((new - base) / base.mean(1, keepdims=True)).mean(0)
    count, value = len(values), float(values.mean())
    se = float(values.std(ddof=1)) / count**0.5 if count > 1 else None
    reason = None if count > 1 else "one sample has no spread"
    return Difference(1.0, 1.0 + value, value, se, None, None, count, reason, bool(np.array_equal(base, new)))
