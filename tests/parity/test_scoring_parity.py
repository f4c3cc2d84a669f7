"""Scores against torch-fidelity's metric functions, scipy's sqrtm, and 50-digit arithmetic, on the same features."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.linalg
import torch
from threadpoolctl import threadpool_limits
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from diffbench.scoring.fid import fid, fid_value
from diffbench.scoring.inception_score import inception_score
from diffbench.scoring.kid import kid
from diffbench.scoring.reference import Reference


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small only suffer from threads that wait for each other on a busy machine."""
    with threadpool_limits(1):
        yield


def features(seed, n, d, decay=1.0, scale=1.0, shift=0.0):
    """Correlated, skewed features with a power-law spectrum, float64."""
    rng = np.random.default_rng(seed)
    raw = rng.standard_normal((n, d)) + 0.3 * rng.exponential(size=(n, d))
    turn = np.linalg.qr(np.random.default_rng(d).standard_normal((d, d)))[0]
    return (raw * np.arange(1, d + 1) ** (-decay / 2)) @ turn * scale + shift


def reference_of(values):
    return Reference.of("toy", values, np.zeros((len(values), 2)), "eyes", (1, 1, 1))


def torch_fidelity_fid(x, y):
    one, two = (fid_features_to_statistics(torch.from_numpy(v)) for v in (x, y))
    return fid_statistics_to_metric(one, two, verbose=False)[KEY_METRIC_FID]


@pytest.mark.parametrize(("n", "d"), [(160, 64), (2000, 64), (512, 256), (40, 2)])
def test_fid_against_torch_fidelity(n, d):
    x, y = features(1, n, d, scale=1.1, shift=0.05), features(2, 1000, d)
    ours = fid(x, reference_of(y)).value
    assert ours == pytest.approx(torch_fidelity_fid(x, y), rel=1e-8)
    assert fid_value(x, reference_of(y)) == pytest.approx(ours, rel=1e-11)


def test_fid_against_torch_fidelity_with_float32_features():
    x, y = (features(s, 500, 64, scale=s).astype(np.float32) for s in (1, 2))
    assert fid(x, reference_of(y)).value == pytest.approx(torch_fidelity_fid(x, y), abs=1e-4)


@pytest.mark.parametrize("n", [30, 64])
def test_fid_against_torch_fidelity_with_few_samples(n):
    # eigenvalues that should be zero are not quite, there: theirs is off by about 1e-7
    x, y = features(1, n, 64, scale=1.1), features(2, 1000, 64)
    assert fid(x, reference_of(y)).value == pytest.approx(torch_fidelity_fid(x, y), rel=1e-5)


@pytest.mark.parametrize(("n", "d"), [(160, 64), (600, 200)])
def test_fid_against_sqrtm(n, d):
    x, y = features(3, n, d, scale=0.8), features(4, 2 * n, d)
    one, two = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(axis=0) - y.mean(axis=0)
    root = scipy.linalg.sqrtm(one @ two).real
    right = shift @ shift + np.trace(one + two - 2 * root)
    assert fid(x, reference_of(y)).value == pytest.approx(right, rel=1e-10)


def exact_fid(x, y):
    """FID in 50-digit arithmetic, from the exact values of the features."""
    with mpmath.workdps(50):

        def moments(values):
            rows, n = mpmath.matrix(values.tolist()), len(values)
            mean = mpmath.matrix([mpmath.fsum(rows[:, k]) / n for k in range(values.shape[1])])
            centred = rows - mpmath.ones(n, 1) * mean.T
            return mean, centred.T * centred / (n - 1)

        (m1, c1), (m2, c2) = moments(x), moments(y)
        eigenvalues, vectors = mpmath.eigsy(c2)
        root = vectors * mpmath.diag([mpmath.sqrt(max(e, 0)) for e in eigenvalues]) * vectors.T
        inner = mpmath.eigsy(root * c1 * root, eigvals_only=True)
        cross = mpmath.fsum(mpmath.sqrt(max(e, 0)) for e in inner)
        shift, d = m1 - m2, x.shape[1]
        return float((shift.T * shift)[0] + mpmath.fsum(c1[k, k] + c2[k, k] for k in range(d)) - 2 * cross)


@pytest.mark.parametrize(
    ("n", "m", "d", "decay"),
    [
        (40, 60, 10, 1.0),
        (40, 60, 10, 12.0),
        (6, 60, 10, 1.0),
        (6, 7, 10, 1.0),
        (60, 6, 10, 1.0),
        (60, 70, 24, 2.0),
        (140, 70, 64, 1.0),
    ],
)
def test_fid_against_fifty_digits(n, m, d, decay):
    x, y = features(5, n, d, decay, scale=1.2, shift=0.1), features(6, m, d, decay)
    assert fid(x, reference_of(y)).value == pytest.approx(exact_fid(x, y), rel=1e-12)


@pytest.mark.parametrize(("n", "splits", "seed"), [(1000, 1, 2020), (1000, 10, 2020), (997, 10, 2020), (250, 7, 5)])
def test_inception_score_against_torch_fidelity(n, splits, seed):
    logits = np.random.default_rng(0).standard_normal((n, 10)) * 4
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits=splits, shuffle=True, rng_seed=seed)
    ours = inception_score(logits, splits=splits, seed=seed).value
    assert ours == pytest.approx(theirs[KEY_METRIC_ISC_MEAN], rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(300, 64), (1300, 16)])
def test_kid_against_torch_fidelity_on_the_full_sample(n, d):
    # one subset that is the whole: then its estimate is the full U-statistic
    x, y = features(7, n, d, scale=1.3, shift=0.2), features(8, n, d)
    theirs = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=n, rng_seed=2020, verbose=False
    )
    assert kid(x, reference_of(y)).value == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-10)


def test_kid_against_torch_fidelity_replaying_its_subsets():
    x, y = features(9, 200, 16, scale=1.3), features(10, 300, 16)
    theirs = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=5, kid_subset_size=50, rng_seed=2020, verbose=False
    )
    rng, values = np.random.RandomState(2020), []
    for _ in range(5):
        one, two = rng.choice(200, 50, replace=False), rng.choice(300, 50, replace=False)
        values.append(kid(x[one], reference_of(y[two])).value)
    assert np.mean(values) == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-10)
