from __future__ import annotations

import math

import numpy as np
import pytest

from diffbench.errors import ScoringError
from diffbench.scoring.inception_score import inception_score

RNG = np.random.default_rng


def test_certain_and_evenly_spread_scores_the_number_of_classes():
    logits = np.eye(5).repeat(4, axis=0) * 1e4
    assert inception_score(logits).value == pytest.approx(5.0, rel=1e-14)


def test_by_hand():
    # p = (3/4, 1/4) and (1/4, 3/4), q = (1/2, 1/2): KL = 3/4 log 3/2 + 1/4 log 1/2 for both
    logits = np.log([[3.0, 1.0], [1.0, 3.0]]) + [[5.0], [-2.0]]
    right = math.exp(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert inception_score(logits).value == pytest.approx(right, rel=1e-14)


def test_adding_a_constant_to_a_sample_changes_nothing():
    logits = RNG(0).standard_normal((40, 6)) * 3
    moved = logits + RNG(1).standard_normal((40, 1)) * 100
    assert inception_score(moved).value == pytest.approx(inception_score(logits).value, rel=1e-12)


def test_probabilities_that_underflow_are_no_trouble():
    logits = np.zeros((6, 3))
    logits[:, 0] = 5000.0  # the other classes have probability 0 in float64, for every sample
    logits[3:, 1] = 5000.0
    # p = (1, 0, 0) three times and (1/2, 1/2, 0) three times, q = (3/4, 1/4, 0)
    kl = 0.5 * math.log(4 / 3) + 0.5 * (0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert inception_score(logits).value == pytest.approx(math.exp(kl), rel=1e-12)


def test_splits_are_parts_of_the_seeded_shuffle():
    logits = RNG(0).standard_normal((25, 4)) * 3
    order = np.random.RandomState(7).permutation(25)
    parts = [order[:8], order[8:16], order[16:]]
    scores = [inception_score(logits[part]).value for part in parts]
    score = inception_score(logits, splits=3, seed=7)
    assert score.value == pytest.approx(np.mean(scores), rel=1e-14)
    # the mean of three independent scores: their variances add, over 9
    variance = sum((inception_score(logits[p]).influence ** 2).sum() / len(p) ** 2 for p in parts) / 9
    assert (score.influence**2).sum() / 25**2 == pytest.approx(variance, rel=1e-12)
    assert inception_score(logits, splits=3, seed=8).value != score.value


def test_influence_is_in_the_samples_order():
    logits = RNG(0).standard_normal((30, 4))
    logits[11] *= 40  # one sample that is certain: the largest divergence
    for splits in (1, 3):
        assert np.argmax(inception_score(logits, splits=splits).influence) == 11


def test_constant_logits_score_one_without_an_error():
    for logits in (np.zeros((9, 4)), np.tile([1.0, 2.0, 3.0], (9, 1)), np.arange(9.0)[:, None] + np.zeros((9, 4))):
        score = inception_score(logits)
        assert score.value == pytest.approx(1.0, abs=1e-12)
        assert score.se is None and "same class probabilities" in score.reason


def test_too_few_samples():
    assert inception_score(np.zeros((1, 3))).reason == "too few samples: n = 1, at least 2 are needed"
    score = inception_score(RNG(0).standard_normal((19, 3)), splits=10)
    assert score.value is None and score.reason == "too few samples: n = 19, at least 20 are needed"


def test_refusals():
    logits = RNG(0).standard_normal((8, 3))
    with pytest.raises(ScoringError, match="splits"):
        inception_score(logits, splits=0)
    for seed in (-1, 2**32):
        with pytest.raises(ScoringError, match="seed"):
            inception_score(logits, seed=seed)
    logits[5, 0] = np.nan
    with pytest.raises(ScoringError, match="logits of sample 5 "):
        inception_score(logits)
