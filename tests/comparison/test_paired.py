from dataclasses import replace

import numpy as np
import pytest

from diffbench.comparison.paired import UNPAIRED, paired
from diffbench.errors import ScoringError
from diffbench.scoring.fid import fid
from diffbench.scoring.interval import GROUPS, groups_of, score_from_groups, score_from_influence, score_without_error
from diffbench.scoring.reference import Reference


def mean_score(values):
    return score_from_influence(float(np.mean(values)), values - np.mean(values))


def test_a_mean_has_the_textbooks_paired_error():
    rng = np.random.default_rng(0)
    a = rng.normal(size=200)
    b = 0.9 * a + rng.normal(0.3, 0.2, size=200)
    found = paired(mean_score(a), mean_score(b))
    assert found.value == pytest.approx(np.mean(b - a))
    assert found.se == pytest.approx(np.std(b - a, ddof=1) / np.sqrt(200), rel=1e-12)
    assert found.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert found.gain == pytest.approx((np.var(a, ddof=1) + np.var(b, ddof=1)) / np.var(b - a, ddof=1))
    low, high = found.interval()
    assert (low + high) / 2 == pytest.approx(found.value) and high - low == pytest.approx(2 * 1.96 * found.se)


def test_the_other_way_round_is_the_negative():
    a, b = (mean_score(np.random.default_rng(seed).normal(size=60)) for seed in (1, 2))
    one, other = paired(a, b), paired(b, a)
    assert one.value == -other.value and one.se == other.se and one.correlation == pytest.approx(other.correlation)


def test_identical_scores_differ_by_nothing():
    a = mean_score(np.random.default_rng(3).normal(size=60))
    found = paired(a, a)
    assert (found.value, found.se, found.gain) == (0.0, 0.0, None) and found.correlation == pytest.approx(1)


def test_what_is_missing_is_told():
    a = mean_score(np.arange(5.0))
    no_value, no_error = score_without_error(None, 5, "too few samples"), score_without_error(1.0, 5, "rank-deficient")
    assert paired(no_value, a).reason == "base has no value: too few samples" and paired(no_value, a).value is None
    found = paired(a, no_error)
    assert found.value == -1.0 and found.se is None and found.reason == "new has no error: rank-deficient"
    with pytest.raises(ScoringError, match="5 and 6 samples"):
        paired(a, mean_score(np.arange(6.0)))


def test_the_paired_error_of_fid_is_that_of_repetitions():
    """Two close generators on the same latents; 200 draws. The error is on the wide side, by a third at most."""
    rng = np.random.default_rng(4)
    d, n = 8, 400
    real = rng.normal(size=(4000, d))
    reference = Reference.of("r", real, np.zeros((4000, 2)), "e", (1, 1, 1))
    found = []
    for _ in range(200):
        latents = rng.normal(size=(n, d))
        found.append(paired(fid(1.1 * latents + 0.1, reference), fid(1.11 * latents + 0.1, reference)))
    spread = np.std([one.value for one in found], ddof=1)
    assert 0.9 < np.mean([one.se for one in found]) / spread < 1.33
    assert np.mean([one.gain for one in found]) > 10


def test_errors_without_values_per_sample_add_up():
    one, other = (replace(mean_score(np.arange(60.0) * k), influence=None) for k in (1, 2))
    found = paired(one, other)
    assert found.se == pytest.approx((one.se**2 + other.se**2) ** 0.5) and found.reason.startswith("not paired")
    assert found.correlation is None and found.gain is None and found.value == other.value - one.value


def test_groups_of_the_jackknife_are_paired():
    """What both sides' replicates have in common cancels; a mean's jackknife is its standard error."""
    rng = np.random.default_rng(5)
    n = 400
    groups = groups_of(n)
    shared = rng.normal(size=n)
    sides = [shared + 0.1 * rng.normal(size=n) for _ in range(2)]

    def score(values):
        without = np.array([values[groups != group].mean() for group in range(GROUPS)])
        return score_from_groups(float(values.mean()), without, n)

    found = paired(*map(score, sides))
    assert found.value == pytest.approx(float(np.mean(sides[1] - sides[0])))
    apart = sides[1] - sides[0]
    blocks = np.array([apart[groups == group].mean() for group in range(GROUPS)])
    assert found.se == pytest.approx(float(np.std(blocks, ddof=1)) / GROUPS**0.5), "a mean over equal groups"
    assert found.freedom == GROUPS - 1 and found.correlation > 0.95 and found.gain > 20 and found.reason is None
    independent = paired(*(replace(score(one), replicates=None) for one in sides))
    assert independent.se > 4 * found.se and independent.reason == UNPAIRED
