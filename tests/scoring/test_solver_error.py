import re

import numpy as np
import pytest

from diffbench.errors import ScoringError
from diffbench.scoring.solver_error import (
    RESOLVED,
    fitted_order,
    own_error,
    resolved,
    rmse_per_sample,
    rounded_apart,
    solver_error,
)


def test_identical_arrays_have_no_error():
    x = np.random.default_rng(0).normal(size=(5, 1, 4, 4)).astype(np.float32)
    score = solver_error(x, x.copy())
    assert (score.value, score.se, score.ci_low, score.ci_high) == (0.0, 0.0, 0.0, 0.0)


def test_known_values():
    x, y = np.zeros((2, 1, 1, 2)), np.array([[[[3.0, 4.0]]], [[[1.0, 1.0]]]])
    np.testing.assert_allclose(rmse_per_sample(x, y), [np.sqrt(12.5), 1.0], rtol=1e-15)
    score = solver_error(x, y)
    assert score.value == pytest.approx((np.sqrt(12.5) + 1) / 2)
    assert score.se == pytest.approx((np.sqrt(12.5) - 1) / 2), "sd with n - 1 over sqrt 2"


def test_the_interval_covers_the_expectation():
    rng = np.random.default_rng(3)
    width, n, trials = 8, 100, 1000
    known = np.sqrt(rng.chisquare(width, 400_000) / width).mean()
    scores = [solver_error(rng.normal(size=(n, width)), np.zeros((n, width))) for _ in range(trials)]
    covered = np.mean([s.ci_low <= known <= s.ci_high for s in scores])
    assert 0.925 < covered < 0.97


def test_one_sample_has_a_value_without_an_interval():
    score = solver_error(np.ones((1, 3)), np.zeros((1, 3)))
    assert score.value == 1 and score.se is None and "too few" in score.reason


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.zeros((2, 3)), np.zeros((3, 3)), "solution's"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "solution's"),
        (np.array([[0.0], [np.nan]]), np.zeros((2, 1)), "sample 1"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(x, y, said):
    with pytest.raises(ScoringError, match=said):
        solver_error(x, y)


def scores(evaluations, order, spread=0.1, n=200, seed=0):
    """Scores whose samples all follow C NFE^-order, with C spread over samples and a little noise of each point."""
    rng = np.random.default_rng(seed)
    constant = np.exp(spread * rng.normal(size=n))
    rows = [constant * nfe**-order * np.exp(0.02 * rng.normal(size=n)) for nfe in evaluations]
    return [solver_error(r[:, None], np.zeros((n, 1))) for r in rows]


@pytest.mark.parametrize("order", [1, 2.5, 4])
def test_a_power_law_gives_its_order(order):
    fit = fitted_order([8, 16, 32, 64], scores([8, 16, 32, 64], order), [0.0] * 4)
    assert fit.value == pytest.approx(order, abs=0.01)
    assert fit.ci_low < order < fit.ci_high and fit.se < 0.003, "the samples' common spread cancels"


def test_only_the_finest_points_above_the_solutions_own_error_count():
    evaluations = [4, 8, 16, 32, 64]
    own = 2e-4
    values = [1.0, 8**-1, 16**-1, 32**-1, own * RESOLVED * 0.99]  # the last one is within reach of the solution's error
    rows = [solver_error(np.full((3, 1), value), np.zeros((3, 1))) for value in values]
    assert fitted_order(evaluations, rows, [own] * 5).value == pytest.approx(1.0), "the first would give another slope"
    assert fitted_order(evaluations[::-1], rows[::-1], [own] * 5).value == pytest.approx(1.0), "in any order"
    none = fitted_order(evaluations, rows, [1.0] * 5)
    assert none.value is None and "0 points above" in none.reason
    assert "0 points" in fitted_order([], [], []).reason


def test_the_interval_of_an_order_is_the_jackknife_s():
    evaluations, n = [8, 16, 32], 60
    rng = np.random.default_rng(1)
    errors = [nfe**-2.0 * np.exp(0.3 * rng.normal(size=n)) for nfe in evaluations]
    whole = fitted_order(evaluations, [solver_error(e[:, None], np.zeros((n, 1))) for e in errors], [0.0] * 3)
    left_out = [
        -np.polyfit(np.log(evaluations), [np.log(np.delete(e, i).mean()) for e in errors], 1)[0] for i in range(n)
    ]
    jackknife = np.sqrt((n - 1) * np.var(left_out))
    assert whole.se == pytest.approx(jackknife, rel=0.02)
    assert whole.value == pytest.approx(-np.polyfit(np.log(evaluations), [np.log(e.mean()) for e in errors], 1)[0])


def test_a_solutions_own_error_is_how_far_half_its_steps_lie_off():
    full, half = np.zeros((2, 1, 1, 2)), np.array([[[[3.0, 4.0]]], [[[1.0, 1.0]]]])
    assert own_error(full, half) == pytest.approx((np.sqrt(12.5) + 1) / 2)


@pytest.mark.parametrize(
    ("own", "value", "said"),
    [
        (0.1, 1.0, "exact to 0.1$"),
        (0.5, 1.0, "too near to it to count"),
        (2.0, None, "not told apart from the solution"),
    ],
)
def test_a_value_is_told_as_far_as_the_solution_is_known(own, value, said):
    score = resolved(solver_error(np.full((4, 1), 1.0), np.zeros((4, 1))), own, "deis, 64 steps")
    assert score.value == value and re.search(said, score.reason)
    assert (score.se is None) == (value is None)


def test_rounding_moves_levels_as_the_difference_of_two_roundings_does():
    """Against rounding itself: one scene of floats, rounded at two places a little apart."""
    rng = np.random.default_rng(1)
    levels = rng.uniform(20, 230, size=(4, 1, 200, 200))
    twice = [np.round(levels + shift) - (levels + shift) for shift in (0.0, rng.uniform(size=levels.shape))]
    images = np.round(levels).astype(np.uint8)
    moved = rounded_apart(images).astype(float) - images
    assert np.var(moved) == pytest.approx(1 / 6, rel=0.02)
    assert np.var(twice[0] - twice[1]) == pytest.approx(1 / 6, rel=0.02)
    ends = np.array([0, 255], np.uint8).reshape(1, 1, 1, 2).repeat(500, axis=0)
    assert {*np.unique(rounded_apart(ends))} == {0, 1, 254, 255}
