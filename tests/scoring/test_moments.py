from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbench.errors import ScoringError
from diffbench.scoring.moments import Moments, checked, merged


def draw(n, d, seed=0, offset=0.0):
    return np.random.default_rng(seed).standard_normal((n, d)) * np.arange(1, d + 1) + offset


def test_small_example_by_hand():
    moments = Moments.of(np.array([[0.0, 1.0], [2.0, 5.0], [4.0, 0.0]]))
    assert moments.n == 3
    assert moments.mean.tolist() == [2.0, 2.0]
    assert moments.scatter.tolist() == [[8.0, -2.0], [-2.0, 14.0]]
    assert moments.cov.tolist() == [[4.0, -1.0], [-1.0, 7.0]]


def test_against_exact_rational_arithmetic():
    x = draw(7, 2, offset=1000.0).astype(np.float32)
    exact = [[Fraction(float(v)) for v in row] for row in x]
    mean = [sum(column, Fraction(0)) / 7 for column in zip(*exact, strict=True)]
    scatter = [[sum((r[a] - mean[a]) * (r[b] - mean[b]) for r in exact) for b in (0, 1)] for a in (0, 1)]
    moments = Moments.of(x)
    np.testing.assert_allclose(moments.mean, [float(m) for m in mean], rtol=1e-14)
    np.testing.assert_allclose(moments.scatter, np.array(scatter, float), rtol=1e-11)


def test_float32_features_are_accumulated_in_float64():
    x = draw(20000, 3, offset=100.0).astype(np.float32)
    np.testing.assert_allclose(Moments.of(x).cov, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_merging_shards_equals_the_whole_in_any_order(sizes, random):
    x = draw(sum(sizes), 3, seed=len(sizes), offset=5.0)
    parts = [Moments.of(part) for part in np.split(x, np.cumsum(sizes)[:-1])]
    whole = Moments.of(x)
    random.shuffle(parts)
    got = merged(parts)
    assert got.n == whole.n
    np.testing.assert_allclose(got.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(got.scatter, whole.scatter, rtol=1e-12, atol=1e-12 * np.abs(whole.scatter).max())


def test_merging_is_bitwise_commutative_and_repeatable():
    a, b, c = (Moments.of(draw(n, 4, seed=n)) for n in (3, 5, 8))
    one, two = a.merge(b), b.merge(a)
    assert np.array_equal(one.mean, two.mean) and np.array_equal(one.scatter, two.scatter)
    again, first = merged([a, b, c]), merged([a, b, c])
    assert np.array_equal(again.scatter, first.scatter)


def test_refusals():
    with pytest.raises(ScoringError, match="at least 2 samples, got 1"):
        _ = Moments.of(np.ones((1, 2))).cov
    with pytest.raises(ScoringError, match="no samples"):
        Moments.of(np.ones((0, 2)))
    with pytest.raises(ScoringError, match="no samples"):
        merged([])
    with pytest.raises(ScoringError, match="2 and of 3 dimensions"):
        Moments.of(np.ones((2, 2))).merge(Moments.of(np.ones((2, 3))))


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_not_finite_names_the_first_such_sample(poison):
    x = draw(9, 2)
    x[[4, 7], 1] = poison
    with pytest.raises(ScoringError, match="features of sample 4 "):
        checked(x)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(3), r"got \(3,\)"),
        (np.ones((3, 0)), r"got \(3, 0\)"),
        (np.ones((2, 2), complex), "complex"),
        (np.array([["a"]]), "real numbers"),
    ],
)
def test_wrong_shapes_and_types(values, message):
    with pytest.raises(ScoringError, match=message):
        checked(values)
