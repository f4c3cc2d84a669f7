"""Intervals cover the expectation of the statistic at its n about as often as they say.

DIFFBENCH_REPETITIONS=1000 repeats each simulation that often (default 200). tests/score_coverage.py prints a table, at
1,000 repetitions in tests/score_coverage.txt.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import score_coverage
from score_coverage import MANIFOLDS, clustered, gaussian, heavy_tailed
from threadpoolctl import threadpool_limits

from diffbench.scoring.fid import fid
from diffbench.scoring.fid_infinity import fid_infinity
from diffbench.scoring.inception_score import inception_score
from diffbench.scoring.kid import kid


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small only suffer from threads that wait for each other on a busy machine."""
    with threadpool_limits(1):
        yield


REPETITIONS = int(os.environ.get("DIFFBENCH_REPETITIONS", "200"))


def simulate(score, draw, n, d, **more):
    return score_coverage.simulate(score, draw, n, d, REPETITIONS, **more)


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
    check(*simulate(kid, draw, n=200, d=16, shift=0.5), ratios=(0.93, 1.1))


def test_kid_of_a_perfect_generator_errs_on_the_wide_side():
    check(*simulate(kid, gaussian, n=100, d=16, scale=1.0, shift=0.0), (0.95, 1.5), most=1.0)


@pytest.mark.parametrize("splits", [1, 4])
def test_inception_score(splits):
    check(*simulate(lambda x, _: inception_score(3 * x, splits=splits), clustered, n=400, d=10), ratios=(0.93, 1.07))


@pytest.mark.parametrize("name", ["precision", "density", "memorisation"])
def test_means_over_samples(name):
    check(*simulate(MANIFOLDS[name], gaussian, n=200, d=6, real=200), ratios=(0.93, 1.07))


@pytest.mark.parametrize("name", ["recall", "coverage"])
def test_jackknives_err_on_the_wide_side(name):
    check(*simulate(MANIFOLDS[name], gaussian, n=120, d=4, real=150), ratios=(0.9, 1.6), most=1.0)


def test_fid_infinity():
    check(*simulate(fid_infinity, gaussian, n=320, d=8), ratios=(0.9, 1.2), most=0.99)
