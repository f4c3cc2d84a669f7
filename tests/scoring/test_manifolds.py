"""Precision, recall, density, coverage, memorisation: by hand, by brute force, ties, errors, bad features."""

import numpy as np
import pytest

from diffbench.catalog import METRICS, load
from diffbench.errors import ReferenceDataError, ScoringError
from diffbench.scoring import neighbours
from diffbench.scoring.density_coverage import coverage, density
from diffbench.scoring.interval import GROUPS, groups_of, score_from_groups, score_of_share
from diffbench.scoring.memorisation import memorisation
from diffbench.scoring.neighbours import squared_distances, squared_radii, squared_radii_without
from diffbench.scoring.precision_recall import precision, recall
from diffbench.scoring.reference import Reference

RNG = np.random.default_rng(0)


def distances(x, y):
    return np.sqrt(((x[:, None] - y[None]) ** 2).sum(axis=-1))


def radii(x, k):
    return np.sort(distances(x, x), axis=1)[:, k]


def test_distances_and_radii_by_brute_force(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", 7 * 45)
    x, y = RNG.normal(size=(30, 4)) + 1000, RNG.normal(size=(45, 4)) + 1000
    found = np.concatenate([part for _, part, _ in squared_distances(x, y)])
    np.testing.assert_allclose(found, distances(x, y) ** 2, rtol=1e-9)
    for k in (1, 3, 29):
        np.testing.assert_allclose(squared_radii(x, k), radii(x, k) ** 2, rtol=1e-9)


def test_everything_by_brute_force(make_reference):
    x, y = RNG.normal(size=(60, 3)), RNG.normal(size=(50, 3)) * 1.3
    real = make_reference(y)
    across = distances(x, y)
    assert precision(x, real, 2).value == (across <= radii(y, 2)).any(axis=1).mean()
    assert recall(x, real, 2).value == (across <= radii(x, 2)[:, None]).any(axis=0).mean()
    assert density(x, real, 2).value == pytest.approx((across < radii(y, 2)).sum(axis=1).mean() / 2)
    assert coverage(x, real, 2).value == (across < radii(y, 2)).any(axis=0).mean()
    nearest = across.argmin(axis=1)
    assert memorisation(x, real).value == (across.min(axis=1) < radii(y, 1)[nearest]).mean()


def test_on_a_line_by_hand(make_reference):
    """Real 0, 1, 3 with k = 1: radii 1, 1, 2. Samples 4, 5.5, -1, -3: 4 and -1 are inside, at their very edge."""
    real = make_reference([[0.0], [1.0], [3.0]])
    samples = np.array([[5.0], [5.5], [-1.0], [-3.0]])
    assert precision(samples, real, 1).value == 0.5, "<= on the edge"
    assert density(samples, real, 1).value == coverage(samples, real, 1).value == 0.0, "< on the edge"
    assert memorisation(np.array([[5.0], [-1.0]]), real).value == 0.0, "as near as the nearest real one is not nearer"
    assert recall(samples, real, 1).value == pytest.approx(2 / 3), "radii 0.5, 0.5, 2, 2: -1 reaches 0 and 1"


@pytest.mark.parametrize(("name", "k"), [("precision", 3), ("recall", 3), ("density", 5), ("coverage", 5)])
def test_published_numbers_of_neighbours_are_the_defaults(make_reference, name, k):
    rng, metric = np.random.default_rng(1), load(METRICS[name].target)
    x, real = rng.normal(size=(300, 3)) + 1.2, make_reference(rng.normal(size=(400, 3)))
    assert METRICS[name].options().k == k
    value, others = metric(x, real).value, [metric(x, real, other).value for other in (k - 1, k, k + 1)]
    assert value == others[1] and len(set(others)) == 3


@pytest.mark.parametrize("metric", [recall, coverage])
def test_two_samples_a_group_are_the_fewest_of_a_jackknife(make_reference, metric):
    rng = np.random.default_rng(3)
    x, real = rng.normal(size=(40, 3)) + 0.8, make_reference(rng.normal(size=(50, 3)))
    assert metric(x, real).se > 0 and metric(x, real).reason is None
    assert metric(x[:39], real).se is None and "at least 40" in metric(x[:39], real).reason


def test_memorisation_tells_copies_from_draws(make_reference):
    y = np.random.default_rng(6).normal(size=(500, 4))
    real = make_reference(y)
    assert memorisation(y[:100] + 1e-6, real).value == 1.0
    fresh = memorisation(np.random.default_rng(5).normal(size=(500, 4)), real)
    assert fresh.ci_low < 0.5 < fresh.ci_high
    assert memorisation(RNG.normal(size=(50, 4)) + 100, real).value == 0.0


def test_copies_of_what_is_twice_among_the_real_are_copies(make_reference):
    y = RNG.normal(size=(40, 4))
    real = make_reference(np.concatenate([y, y]))
    assert memorisation(y[:10], real).value == 1.0
    assert memorisation(y[:10] + 1e-3, real).value == 0.0, "as the paper's inequality has it"


def test_influence_values_are_those_of_means(make_reference):
    x, real = RNG.normal(size=(60, 3)), make_reference(RNG.normal(size=(50, 3)))
    for metric in (precision, density, memorisation):
        found = metric(x, real)
        assert found.influence.sum() == pytest.approx(0, abs=1e-9)
        without = np.array([metric(np.delete(x, i, axis=0), real).value for i in range(5)])
        np.testing.assert_allclose(found.value - without, found.influence[:5] / 59, atol=1e-12)


def test_wilsons_interval():
    """Brown, Cai & DasGupta 2001: at 0 of 10 the upper end is z^2 / (n + z^2)."""
    found = score_of_share(np.zeros(10))
    assert found.ci_low == 0 and found.ci_high == pytest.approx(1.96**2 / (10 + 1.96**2))
    half = score_of_share(np.array([0.0, 1.0] * 50))
    assert (half.ci_low, half.ci_high) == (pytest.approx(0.40383, abs=1e-4), pytest.approx(0.59617, abs=1e-4))


def test_groups_are_equal_and_always_the_same():
    groups = groups_of(103)
    assert set(np.bincount(groups)) == {5, 6} and len(np.bincount(groups)) == GROUPS
    np.testing.assert_array_equal(groups, groups_of(103))


def test_the_jackknife_of_a_mean_is_its_error():
    x = RNG.normal(size=2000)
    groups = groups_of(len(x))
    means = np.array([x[groups != g].mean() for g in range(GROUPS)])
    of_groups = np.array([x[groups == g].mean() for g in range(GROUPS)])
    found = score_from_groups(float(x.mean()), means, len(x))
    assert found.se == pytest.approx(of_groups.std(ddof=1) / GROUPS**0.5, rel=1e-9), "exact for equal groups"
    assert found.ci_high - found.value == pytest.approx(2.09 * found.se) and found.influence is None
    with pytest.raises(ScoringError):
        score_from_groups(0.0, np.full(GROUPS, np.nan), 100)


@pytest.mark.parametrize("spare", [0, 2, 16])
def test_jackknife_replicates_are_the_statistics_without_a_group(make_reference, monkeypatch, spare):
    monkeypatch.setattr(neighbours, "SPARE", spare)
    monkeypatch.setattr(neighbours, "BLOCK", 1000)
    rng = np.random.default_rng(2)
    x, real = rng.normal(size=(90, 3)) + 0.8, make_reference(rng.normal(size=(70, 3)))
    groups = groups_of(len(x))
    for metric in (recall, coverage):
        left = np.array([metric(x[groups != g], real).value for g in range(GROUPS)])
        found = metric(x, real)
        expected = score_from_groups(found.value, left, len(x))
        assert found.se == pytest.approx(expected.se, rel=1e-12), metric


@pytest.mark.parametrize("spare", [0, 3])
def test_radii_without_a_group(monkeypatch, spare):
    monkeypatch.setattr(neighbours, "SPARE", spare)
    x, groups = np.round(RNG.normal(size=(40, 2)), 1), np.sort(np.arange(40) % 4)
    found = squared_radii_without(x, 3, groups, 4)
    for group in range(4):
        left = groups != group
        np.testing.assert_allclose(found[group, left], radii(x[left], 3) ** 2, atol=1e-12)
        assert (found[group, ~left] == -np.inf).all()


def test_what_never_varies_has_no_interval_of_no_width(make_reference):
    real = make_reference(RNG.normal(size=(60, 2)))
    far, wide = RNG.normal(size=(50, 2)) + 1000, RNG.normal(size=(50, 2)) * 1e4
    for found in (density(far, real), coverage(far, real), recall(far, real), recall(wide, real)):
        assert found.value in (0.0, 1.0) and found.se is None and found.ci_low is None and found.influence is None
        assert "no spread" in found.reason
    assert precision(far, real).ci_high == pytest.approx(1.96**2 / (50 + 1.96**2))


def test_intervals_end_where_the_statistic_does(make_reference):
    rng = np.random.default_rng(0)
    real = make_reference(rng.normal(size=(60, 2)))
    one_near = np.concatenate([rng.normal(size=(79, 2)) + 1000, real.features[:1]])
    low = density(one_near, real)
    assert 0 == low.ci_low < low.value < low.value + 1.96 * low.se == low.ci_high
    assert coverage(one_near, real).ci_low == 0.0
    rng = np.random.default_rng(0)
    real = make_reference(rng.normal(size=(60, 2)))
    high = recall(rng.normal(size=(80, 2)) * 1.2, real)
    assert high.value < 1 < high.value + 2.09 * high.se and high.ci_high == 1.0


FEATURES = [name for name, entry in METRICS.items() if entry.uses == "features"]


@pytest.mark.parametrize("name", FEATURES)
def test_bad_features(make_reference, name):
    metric, real = load(METRICS[name].target), make_reference(RNG.normal(size=(50, 3)) + 1)
    good = RNG.normal(size=(60, 3)) + 1
    for value in (np.nan, np.inf):
        bad = good.copy()
        bad[41, 1] = value
        with pytest.raises(ScoringError, match="sample 41"):
            metric(bad, real)
    with pytest.raises(ReferenceDataError, match="2 dimensions"):
        metric(good[:, :2], real)
    with pytest.raises(ScoringError, match="shape"):
        metric(good[0], real)
    few = metric(good[:1], real)
    assert few.se is None and few.ci_low is None and "too few samples" in few.reason
    same = metric(np.tile(good[:1], (60, 1)), real)
    assert same.se is None and ("same features" in same.reason or "rank" in same.reason)
    doubled = metric(np.concatenate([good, good]), real)
    assert doubled.value is not None and np.isfinite(doubled.value)
    again = metric(good.astype(np.float32), real)
    assert again.n == 60 and (again.se is None or again.se >= 0)


@pytest.mark.parametrize("name", FEATURES)
def test_features_whose_powers_overflow_are_refused(make_reference, name):
    """Distances of infinity would be within radii of infinity: a precision of 1 for the worst of samples."""
    rng, metric = np.random.default_rng(3), load(METRICS[name].target)
    real, x = make_reference(rng.normal(size=(50, 3)) + 1), rng.normal(size=(60, 3)) + 1
    x[41, 1] = -1.1e24
    with pytest.raises(ScoringError, match="sample 41 are beyond 1e\\+24"):
        metric(x, real)
    x[41, 1] = -1e24
    found = metric(x, real)
    assert np.isfinite(found.value) and (found.se is None or np.isfinite(found.se))


@pytest.mark.parametrize("name", FEATURES)
def test_moments_alone_are_enough_only_where_the_catalog_says(name):
    metric = load(METRICS[name].target)
    moments = Reference.of_moments("m", np.zeros(3), np.eye(3), "toy", "", {})
    x = RNG.normal(size=(60, 3))
    if METRICS[name].moments_suffice:
        assert metric(x, moments).value is not None
    else:
        with pytest.raises(ReferenceDataError, match="moments alone"):
            metric(x, moments)


@pytest.mark.parametrize("metric", [precision, recall, density, coverage])
def test_more_neighbours_than_there_are(make_reference, metric):
    if metric is recall:
        assert "too few samples" in metric(RNG.normal(size=(3, 2)), make_reference(RNG.normal(size=(9, 2))), 3).reason
    else:
        with pytest.raises(ReferenceDataError, match="more than k = 5"):
            metric(RNG.normal(size=(20, 2)), make_reference(RNG.normal(size=(5, 2))), 5)
