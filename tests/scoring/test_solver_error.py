import numpy as np
import pytest

from diffbench.errors import ScoringError
from diffbench.scoring.solver_error import rmse_per_sample, solver_error


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
