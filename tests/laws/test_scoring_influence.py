"""Influence values are derivatives: of each statistic, written anew for weighted samples, along e_i - w."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
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


RNG = np.random.default_rng


def derivatives(statistic, n, step=1e-4):
    """Fourth-order central differences of statistic(weights) at equal weights, towards each sample."""
    equal = np.full(n, 1 / n)
    got = []
    for i in range(n):
        towards = -equal.copy()
        towards[i] += 1
        at = [statistic(equal + k * step * towards) for k in (-2, -1, 1, 2)]
        got.append((at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step))
    return np.array(got)


def reference_of(features):
    return Reference.of("toy", features, np.zeros((len(features), 2)), "eyes", (1, 1, 1))


def weighted_fid(x, reference):
    def statistic(w):
        n, mean = len(x), w @ x
        cov = n / (n - 1) * ((x - mean).T * w) @ (x - mean)
        shift = mean - reference.mean
        cross = scipy.linalg.sqrtm(cov @ reference.cov).real
        return shift @ shift + np.trace(cov) + np.trace(reference.cov) - 2 * np.trace(cross)

    return statistic


@pytest.mark.parametrize(("n", "d"), [(40, 3), (30, 8), (13, 8)])
def test_fid(n, d):
    x, y = RNG(n).standard_normal((n, d)) * np.arange(1, d + 1), RNG(1).standard_normal((99, d)) * 2 + 0.7
    x[:, 0] = x[:, 0] ** 2 + x[:, 1]
    reference = reference_of(y)
    score = fid(x, reference)
    assert score.value == pytest.approx(weighted_fid(x, reference)(np.full(n, 1 / n)), rel=1e-10)
    right = derivatives(weighted_fid(x, reference), n)
    np.testing.assert_allclose(score.influence, right, atol=1e-7 * np.abs(right).max())


def test_fid_with_a_singular_covariance():
    # more samples than features, but two of the features are sums of others: the nuclear-norm form
    base, mix = RNG(0).standard_normal((30, 4)), RNG(1).standard_normal((4, 6))
    x, y = base @ mix, RNG(2).standard_normal((50, 6)) @ np.diag([1, 2, 1, 3, 1, 2]) + 0.3
    reference = reference_of(y)

    def statistic(w):
        mean = w @ x
        half = np.sqrt(w * len(x) / (len(x) - 1))[:, None] * (x - mean)
        shift = mean - reference.mean
        norm = np.linalg.svd(half @ scipy.linalg.sqrtm(reference.cov).real, compute_uv=False).sum()
        return shift @ shift + (half**2).sum() + np.trace(reference.cov) - 2 * norm

    score, right = fid(x, reference), derivatives(statistic, 30)
    assert score.reason is None
    np.testing.assert_allclose(score.influence, right, atol=1e-7 * np.abs(right).max())


def test_kid():
    x, y = RNG(0).standard_normal((25, 4)) * 1.5, RNG(1).standard_normal((40, 4)) + 0.5
    among, across = (x @ x.T / 4 + 1) ** 3, (x @ y.T / 4 + 1) ** 3
    np.fill_diagonal(among, 0)

    def statistic(w):  # the U-statistic of weighted samples: pairs of different samples only
        return w @ among @ w / (w.sum() ** 2 - w @ w) - 2 * w @ across.mean(axis=1)

    right = derivatives(statistic, 25)
    np.testing.assert_allclose(kid(x, reference_of(y)).influence, right, atol=1e-8 * np.abs(right).max())


def test_inception_score():
    logits = RNG(0).standard_normal((25, 4)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    def statistic(w):
        return np.exp(w @ (p * (np.log(p) - np.log(w @ p))).sum(axis=1))

    right = derivatives(statistic, 25)
    np.testing.assert_allclose(inception_score(logits).influence, right, atol=1e-8 * np.abs(right).max())


@pytest.mark.parametrize("splits", [2, 5])
def test_inception_score_with_splits(splits):
    # weight moves within a split, and the mean runs over equal splits: n / (splits n_s) = 1
    logits = RNG(0).standard_normal((20, 4)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    order = np.random.RandomState(2020).permutation(20)
    got = inception_score(logits, splits=splits).influence
    for part in np.split(order, splits):

        def statistic(w, part=part):
            return np.exp(w @ (p[part] * (np.log(p[part]) - np.log(w @ p[part]))).sum(axis=1))

        right = derivatives(statistic, len(part))
        np.testing.assert_allclose(got[part], right, atol=1e-8 * np.abs(right).max())


@pytest.mark.parametrize("shift", [0.0, 50.0])
def test_influence_sums_to_zero_and_gives_the_error(shift):
    x, y = RNG(0).standard_normal((60, 5)) + shift, RNG(1).standard_normal((80, 5)) * 1.2 + shift
    for score in (fid(x, reference_of(y)), kid(x, reference_of(y)), inception_score(x), inception_score(x, splits=7)):
        assert abs(score.influence.sum()) <= 1e-10 * np.abs(score.influence).sum()
        assert score.se == pytest.approx(score.influence.std(ddof=1) / 60**0.5, rel=1e-12)
        assert score.ci_high - score.value == pytest.approx(1.96 * score.se, rel=1e-9)
        assert score.value - score.ci_low == pytest.approx(1.96 * score.se, rel=1e-9)
