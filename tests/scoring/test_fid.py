from __future__ import annotations

import numpy as np
import pytest

from diffbench.errors import ReferenceDataError, ScoringError
from diffbench.scoring.fid import fid, fid_value

RNG = np.random.default_rng


def test_one_dimension_by_hand(make_reference):
    # means 1 and 2, variances 2 and 8: 1 + (sqrt 8 - sqrt 2)^2 = 3
    score = fid(np.array([[0.0], [2.0], [1.0 - 2**0.5], [1.0 + 2**0.5], [1.0]]), make_reference([[0.0], [4.0]]))
    # variance of the five: (1 + 1 + 2 + 2 + 0) / 4 = 1.5
    assert score.value == pytest.approx(1 + (8**0.5 - 1.5**0.5) ** 2, rel=1e-14)
    assert fid_value(np.array([[0.0], [2.0]]), make_reference([[0.0], [4.0]])) == pytest.approx(3.0, rel=1e-14)


@pytest.mark.parametrize(("n", "d"), [(500, 64), (65, 64), (64, 64), (30, 64), (2, 64), (3, 200), (400, 200)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distance_to_itself_is_zero(make_reference, n, d, dtype):
    x = (RNG(n).standard_normal((n, d)) / np.arange(1, d + 1) + 3).astype(dtype)
    reference = make_reference(x)
    bound = 1e-9 * np.trace(reference.cov)
    assert abs(fid(x, reference).value) <= bound
    assert abs(fid_value(x, reference)) <= bound


@pytest.mark.parametrize("condition", [1e3, 1e7, 1e12, 1e300])
def test_distance_to_itself_with_a_hard_spectrum(make_reference, condition):
    x = RNG(1).standard_normal((300, 64)) * np.logspace(0, -np.log10(condition) / 2, 64)
    x = x @ np.linalg.qr(RNG(2).standard_normal((64, 64)))[0]
    assert abs(fid(x, make_reference(x)).value) <= 1e-9 * x.var(axis=0).sum()


@pytest.mark.parametrize(("n", "m"), [(300, 200), (20, 200), (20, 30), (200, 20), (33, 33)])
def test_symmetric(make_reference, n, m):
    x, y = RNG(0).standard_normal((n, 32)), RNG(1).standard_normal((m, 32)) * 1.3 + 0.2
    there, back = fid(x, make_reference(y)).value, fid(y, make_reference(x)).value
    assert there == pytest.approx(back, rel=1e-11)


def test_features_that_never_vary_cost_no_accuracy(make_reference):
    x, y = RNG(0).standard_normal((300, 10)), RNG(1).standard_normal((400, 10)) * 1.2
    pad = [(0, 0), (0, 5)]
    plain, padded = fid(x, make_reference(y)), fid(np.pad(x, pad), make_reference(np.pad(y, pad)))
    assert padded.value == pytest.approx(plain.value, rel=1e-11)
    assert padded.se == pytest.approx(plain.se, rel=1e-9)
    np.testing.assert_allclose(padded.influence, plain.influence, rtol=1e-7, atol=1e-9)


def test_a_singular_reference_against_regular_samples(make_reference):
    # the dimensions that the reference lacks add the samples' own variance and squared mean, nothing else
    x, y = RNG(0).standard_normal((300, 12)), RNG(1).standard_normal((400, 8)) * 1.2
    x[:, 8:] -= x[:, 8:].mean(axis=0)
    split = fid(x[:, :8], make_reference(y)).value + x[:, 8:].var(axis=0, ddof=1).sum()
    assert fid(x, make_reference(np.pad(y, [(0, 0), (0, 4)]))).value == pytest.approx(split, rel=1e-11)


def test_too_few_samples_have_no_value(make_reference):
    reference = make_reference(RNG(0).standard_normal((9, 3)))
    for n in (0, 1):
        score = fid(np.zeros((n, 3)), reference)
        assert score.value is score.se is score.ci_low is score.influence is None
        assert score.reason == f"too few samples: n = {n}, at least 2 are needed" and score.n == n
    with pytest.raises(ScoringError, match="n = 1"):
        fid_value(np.zeros((1, 3)), reference)


@pytest.mark.parametrize(("n", "known"), [(2, False), (8, False), (9, True), (30, True)])
def test_no_error_for_n_up_to_d(make_reference, n, known):
    score = fid(RNG(0).standard_normal((n, 8)), make_reference(RNG(1).standard_normal((50, 8))))
    assert score.value > 0
    assert (score.se is not None) == known == (score.influence is not None)
    assert score.reason == (None if known else "rank-deficient: n <= d")


def test_repeated_samples_are_no_further_samples(make_reference):
    x = RNG(0).standard_normal((6, 8))
    score = fid(np.repeat(x, 5, axis=0), make_reference(RNG(1).standard_normal((50, 8))))
    assert score.se is None and score.reason == "rank-deficient: 6 distinct samples <= d"


@pytest.mark.parametrize("n", [3, 40])
def test_identical_samples(make_reference, n):
    reference = make_reference(RNG(1).standard_normal((50, 8)))
    score = fid(np.full((n, 8), 0.3), reference)
    right = ((0.3 - reference.mean) ** 2).sum() + np.trace(reference.cov)
    assert score.value == pytest.approx(right, rel=1e-12)
    assert score.se is None and "same features" in score.reason


def test_bad_features(make_reference):
    reference = make_reference(RNG(1).standard_normal((50, 8)), name="digits")
    x = RNG(0).standard_normal((20, 8))
    x[13, 2] = np.nan
    with pytest.raises(ScoringError, match="sample 13 "):
        fid(x, reference)
    for function in (fid, fid_value):
        with pytest.raises(ReferenceDataError, match="features have 7 dimensions, those of reference 'digits' have 8"):
            function(x[:13, :7], reference)


def test_each_form_of_the_trace_has_its_place(make_reference, monkeypatch):
    reference = make_reference(RNG(1).standard_normal((50, 8)))
    _ = reference.sqrt_cov

    def refuse(*args, **options):
        raise AssertionError("not this form")

    with monkeypatch.context() as patch:
        patch.setattr(np.linalg, "svd", refuse)
        assert fid(RNG(0).standard_normal((40, 8)), reference).se > 0
    with monkeypatch.context() as patch:
        for name in ("eigh", "eigvalsh"):
            patch.setattr(np.linalg, name, refuse)
        assert fid(RNG(0).standard_normal((5, 8)), reference).value > 0
        assert fid_value(RNG(0).standard_normal((5, 8)), reference) > 0


def test_equal_samples_have_no_error_whatever_rounding_leaves_of_their_spread(make_reference):
    rng = np.random.default_rng(1)
    reference = make_reference(rng.normal(size=(50, 3)) + 1)
    for _ in range(100):
        found = fid(np.tile(rng.normal(size=(1, 3)) + 1, (60, 1)), reference)
        assert found.se is None and "same features" in found.reason
