"""What must and must not change the scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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


def reference_of(features):
    return Reference.of("toy", features, np.zeros((len(features), 2)), "eyes", (1, 1, 1))


def pair(seed, n, d):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) * rng.uniform(0.5, 2, d), rng.standard_normal((60, d)) + 0.3


cases = given(st.integers(0, 10**6), st.integers(3, 50), st.integers(1, 20))


@settings(max_examples=40, deadline=None)
@cases
def test_fid_moves_with_rigid_motions_and_squares_with_scale(seed, n, d):
    x, y = pair(seed, n, d)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
    score = fid(x, reference_of(y))
    moved = fid(3 * (x @ turn + 7), reference_of(3 * (y @ turn + 7)))
    assert moved.value == pytest.approx(9 * score.value, rel=1e-9)
    assert (moved.se is None) == (score.se is None) == (n <= d)
    if score.influence is not None:
        scale = np.abs(score.influence).max()
        np.testing.assert_allclose(moved.influence, 9 * score.influence, atol=1e-6 * 9 * scale)


@settings(max_examples=40, deadline=None)
@cases
def test_fid_of_a_pure_shift_is_its_squared_length(seed, n, d):
    x, _ = pair(seed, n, d)
    shift = np.random.default_rng(seed + 1).standard_normal(d)
    assert fid(x + shift, reference_of(x)).value == pytest.approx(shift @ shift, rel=1e-9, abs=1e-10)


@settings(max_examples=40, deadline=None)
@cases
def test_fid_of_a_pure_rescaling(seed, n, d):
    # covariances S and c^2 S commute: trace of (c - 1)^2 S
    x, _ = pair(seed, n, d)
    x -= x.mean(axis=0)
    right = 0.25 * x.var(axis=0, ddof=1).sum()
    assert fid(1.5 * x, reference_of(x)).value == pytest.approx(right, rel=1e-9)


@settings(max_examples=30, deadline=None)
@cases
def test_the_samples_order_permutes_influence_and_nothing_else(seed, n, d):
    x, y = pair(seed, n, d)
    order = np.random.default_rng(seed).permutation(n)
    for score in (fid, kid, lambda values, _: inception_score(np.pad(values, [(0, 0), (0, 1)]))):
        one, two = score(x, reference_of(y)), score(x[order], reference_of(y))
        assert two.value == pytest.approx(one.value, rel=1e-9, abs=1e-12)
        if one.influence is not None:
            np.testing.assert_allclose(two.influence, one.influence[order], atol=1e-7 * np.abs(one.influence).max())


@settings(max_examples=30, deadline=None)
@cases
def test_inception_score_lies_between_one_and_the_number_of_classes(seed, n, d):
    x, _ = pair(seed, n, d)
    assert 1 - 1e-12 <= inception_score(x * 10).value <= d * (1 + 1e-12)


def test_float32_and_float64_of_the_same_numbers_score_the_same():
    x, y = pair(0, 50, 8)
    x, y = x.astype(np.float32), y.astype(np.float32)
    for score in (fid, kid):
        narrow = score(x, reference_of(y))
        wide = score(x.astype(np.float64), reference_of(y.astype(np.float64)))
        assert narrow.value == wide.value and narrow.se == wide.se
