"""Intervals cover the expectation of the statistic at its n about as often as they say.

DIFFBENCH_REPETITIONS=1000 repeats each simulation that often (default 200).
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from diffbench.scoring.fid import fid
from diffbench.scoring.inception_score import inception_score
from diffbench.scoring.kid import kid
from diffbench.scoring.reference import Reference


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small only suffer from threads that wait for each other on a busy machine."""
    with threadpool_limits(1):
        yield


REPETITIONS = int(os.environ.get("DIFFBENCH_REPETITIONS", "200"))


def gaussian(rng, n, d):
    return rng.standard_normal((n, d))


def heavy_tailed(rng, n, d):
    """Student's t with 8 degrees of freedom, common to all features of a sample."""
    return rng.standard_normal((n, d)) / np.sqrt(rng.chisquare(8, (n, 1)) / 8)


def clustered(rng, n, d):
    """Ten classes, as digits have."""
    centres = np.random.default_rng(99).standard_normal((10, d)) * 1.5
    return rng.standard_normal((n, d)) + centres[rng.integers(10, size=n)]


def simulate(score, draw, n, d, generator_scale=1.1, generator_shift=0.1):
    """Return coverage of the mean value and the ratio of mean standard error to the values' spread."""
    rng = np.random.default_rng(n + d)
    spectrum = np.sqrt(1 / np.arange(1, d + 1))
    real = draw(rng, 1500, d) * spectrum
    reference = Reference.of("toy", real, np.zeros((1500, 2)), "eyes", (1, 1, 1))
    scores = [
        score((draw(rng, n, d) * generator_scale + generator_shift) * spectrum, reference) for _ in range(REPETITIONS)
    ]
    values = np.array([s.value for s in scores])
    inside = [s.ci_low <= values.mean() <= s.ci_high for s in scores]
    return np.mean(inside), np.mean([s.se for s in scores]) / values.std(ddof=1)


def check(coverage, ratio, ratios, least=0.93, most=0.97):
    """Coverage within four binomial standard errors of [least, most]; the spread itself is known to 4 / sqrt(2 R)."""
    tolerance = 4 * np.sqrt(0.05 * 0.95 / REPETITIONS)
    assert least - tolerance <= coverage <= most + tolerance
    slack = 3 / np.sqrt(2 * REPETITIONS)
    assert ratios[0] * (1 - slack) <= ratio <= ratios[1] * (1 + slack)


@pytest.mark.parametrize("draw", [gaussian, heavy_tailed, clustered])
def test_fid_with_ample_samples(draw):
    check(*simulate(fid, draw, n=640, d=16), ratios=(0.93, 1.1))


@pytest.mark.parametrize("draw", [gaussian, heavy_tailed, clustered])
def test_fid_at_the_quickstart_size(draw):
    # n / d = 2.5: the error is on the wide side (by up to 40 % with tails this heavy), never far too narrow
    check(*simulate(fid, draw, n=160, d=64), ratios=(0.93, 1.42), least=0.92, most=0.99)


@pytest.mark.parametrize("draw", [gaussian, heavy_tailed])
def test_kid(draw):
    check(*simulate(kid, draw, n=200, d=16, generator_shift=0.5), ratios=(0.93, 1.1))


def test_kid_of_a_perfect_generator_errs_on_the_wide_side():
    check(*simulate(kid, gaussian, n=100, d=16, generator_scale=1.0, generator_shift=0.0), (0.95, 1.5), most=1.0)


@pytest.mark.parametrize("splits", [1, 4])
def test_inception_score(splits):
    check(*simulate(lambda x, _: inception_score(3 * x, splits=splits), clustered, n=400, d=10), ratios=(0.93, 1.07))
