from __future__ import annotations

import math

import numpy as np
import pytest

from diffbench.errors import ScoringError
from diffbench.scoring.interval import score_from_influence, score_without_error, too_few


def test_by_hand():
    # sd of (-3, 0, 0, 3) with n - 1 is sqrt(18 / 3); over sqrt(4) samples: sqrt(1.5)
    score = score_from_influence(10.0, np.array([-3.0, 0.0, 0.0, 3.0]))
    assert score.se == pytest.approx(math.sqrt(1.5), rel=1e-15)
    assert score.ci_low == pytest.approx(10 - 1.96 * math.sqrt(1.5), rel=1e-15)
    assert score.ci_high == pytest.approx(10 + 1.96 * math.sqrt(1.5), rel=1e-15)
    assert (score.value, score.n, score.reason) == (10.0, 4, None)


@pytest.mark.parametrize(("level", "z"), [(0.68, 0.99), (0.9, 1.64), (0.99, 2.58)])
def test_other_levels(level, z):
    score = score_from_influence(-1.0, np.array([1.0, -1.0]), level)
    assert score.ci_high - score.value == pytest.approx(z, rel=1e-12)
    assert score.value - score.ci_low == pytest.approx(z, rel=1e-12)


def test_the_mean_of_numbers_has_the_textbook_error():
    x = np.random.default_rng(0).exponential(size=50)
    score = score_from_influence(x.mean(), x - x.mean())
    assert score.se == pytest.approx(x.std(ddof=1) / math.sqrt(50), rel=1e-14)


@pytest.mark.parametrize(
    ("value", "influence", "level"),
    [
        (1.0, np.zeros(1), 0.95),
        (1.0, np.zeros((2, 2)), 0.95),
        (math.nan, np.zeros(2), 0.95),
        (1.0, np.array([0.0, math.inf]), 0.95),
        (1.0, np.zeros(2), 1.0),
        (1.0, np.zeros(2), 0.0),
    ],
)
def test_refusals(value, influence, level):
    with pytest.raises(ScoringError):
        score_from_influence(value, influence, level)


def test_without_error():
    score = score_without_error(2.0, 7, "because")
    assert (score.value, score.n, score.reason) == (2.0, 7, "because")
    assert score.se is score.ci_low is score.ci_high is score.influence is None
    with pytest.raises(ScoringError):
        score_without_error(math.nan, 7, "because")
    assert too_few(1) == "too few samples: n = 1, at least 2 are needed"
