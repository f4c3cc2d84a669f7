"""Precision, recall, density, coverage and FID against the tools that people know them from, on the same features."""

import contextlib
import io
import warnings

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from diffbench.scoring.density_coverage import coverage, density
from diffbench.scoring.fid import fid
from diffbench.scoring.precision_recall import precision, recall
from diffbench.scoring.reference import Reference

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cleanfid.fid import frechet_distance
    from pytorch_fid.fid_score import calculate_frechet_distance


def pair(seed, n, m, d):
    rng = np.random.default_rng(seed)
    return 1.2 * rng.normal(size=(n, d)) + 0.2, rng.normal(size=(m, d))


def reference_of(values):
    return Reference.of("toy", values, np.zeros((len(values), 2)), "eyes", (1, 1, 1))


CASES = [(1, 300, 400, 8), (2, 500, 350, 3), (3, 90, 1500, 20)]


@pytest.mark.parametrize(("seed", "n", "m", "d"), CASES)
@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_count_what_torch_fidelity_counts(seed, n, m, d, k):
    x, y = pair(seed, n, m, d)
    theirs = prc_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), prc_neighborhood=k, prc_batch_size=10000, verbose=False
    )
    assert round(precision(x, reference_of(y), k).value * n) == round(theirs[KEY_METRIC_PRECISION] * n)
    assert round(recall(x, reference_of(y), k).value * m) == round(theirs[KEY_METRIC_RECALL] * m)


@pytest.mark.parametrize(("seed", "n", "m", "d"), CASES)
@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_count_what_prdc_counts(seed, n, m, d, k):
    x, y = pair(seed, n, m, d)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = compute_prdc(real_features=y, fake_features=x, nearest_k=k)
    assert density(x, reference_of(y), k).value == pytest.approx(theirs["density"], rel=1e-12)
    assert coverage(x, reference_of(y), k).value == pytest.approx(theirs["coverage"], rel=1e-12)


def test_the_two_are_not_swapped():
    """Samples all of one real cluster of two: each is realistic (precision), half of the data is missed (recall)."""
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 50
    real = reference_of(np.concatenate([near, far]))
    samples = rng.normal(size=(300, 2))
    assert precision(samples, real).value > 0.85 and recall(samples, real).value == pytest.approx(0.47, abs=0.05)
    assert density(samples, real).value > 0.8 and coverage(samples, real).value == pytest.approx(0.5, abs=0.02)


@pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated")
@pytest.mark.parametrize(("n", "d"), [(128, 64), (2000, 64), (400, 200), (8, 2)])
def test_fid_against_pytorch_fid_and_clean_fid(n, d):
    x, y = pair(4, n, 1000, d)
    one, two = ((z.mean(axis=0), np.cov(z, rowvar=False)) for z in (x, y))
    scale = np.trace(one[1]) + np.trace(two[1])
    ours = fid(x, reference_of(y)).value
    for theirs in (calculate_frechet_distance(*one, *two), frechet_distance(*one, *two)):
        assert abs(ours - theirs) <= 1e-8 * scale


@pytest.mark.parametrize(("n", "d"), [(300, 20), (30, 64), (64, 64), (2, 5)])
def test_fid_of_a_set_against_itself(n, d):
    x = pair(5, n, n, d)[0]
    assert abs(fid(x, reference_of(x)).value) <= 1e-9 * np.trace(np.cov(x, rowvar=False))
