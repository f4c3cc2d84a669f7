"""Verdicts of bands of noise levels: their false alarms, and what they find."""

import numpy as np
import pytest

from diffbench.comparison.denoising import BASELINES, Errors, apart, bands, judge

SIGMAS = np.geomspace(0.01, 100, 12)


def errors(rng, share, n=64, allowed=0.0, against="linear"):
    """Errors of a network that has ``share`` of a baseline's, sample by sample, with noise."""
    base = {name: np.full((len(SIGMAS), n), level) for name, level in zip(BASELINES, (3.0, 2.0, 1.5, 1.0), strict=True)}
    spread = rng.lognormal(-0.02, 0.2, size=(len(SIGMAS), n))
    network = share * base[against] * spread
    return Errors(SIGMAS, network, base, np.full(len(SIGMAS), allowed), 1.0)


def words(found):
    return {one.word for one in found}


@pytest.mark.parametrize(
    ("share", "word"), [(0.5, "GOOD"), (0.95, "GOOD"), (1.2, "SUSPECT"), (1.45, "SUSPECT"), (1.8, "WRONG")]
)
def test_words(share, word):
    """The linear estimate has 1, the best trivial one (shrinkage) 1.5; 5% above either are allowed."""
    assert words(judge(errors(np.random.default_rng(0), share))) == {word}


def test_what_resolution_explains_is_no_fault():
    assert words(judge(errors(np.random.default_rng(0), 1.8, allowed=1.0))) == {"GOOD"}


def test_few_images_decide_nothing():
    found = judge(errors(np.random.default_rng(0), 5.0, n=40))
    assert words(found) == {"SUSPECT"} and "a test needs 50" in found[0].reason and found[0].p_wrong is None


def test_false_alarms_are_rare_at_the_edge():
    """At exactly 5% above the trivial baselines, WRONG in any band is a false alarm: 1% of checks at most."""
    rng, count = np.random.default_rng(1), 400
    wrong = np.mean(["WRONG" in words(judge(errors(rng, 1.05, against="shrinkage"))) for _ in range(count)])
    assert wrong <= 0.01 + 2 * (0.01 * 0.99 / count) ** 0.5


def test_bands_are_decades_about_the_datas_deviation():
    found = bands(SIGMAS, 1.0)
    assert [one.name for one in found] == ["lowest", "low", "middle", "high", "highest"]
    assert sum((one.levels for one in found), ()) == tuple(range(12))
    assert [one.name for one in bands(np.array([0.5, 2.0]), 1.0)] == ["middle"]
    assert [one.name for one in bands(np.array([0.5, 2.0]), 10.0)] == ["low"]


def test_a_tenth_more_error_is_worse_by_a_tenth():
    rng = np.random.default_rng(2)
    base = rng.lognormal(size=(len(SIGMAS), 80))
    new = base * (1.1 + 0.01 * rng.normal(size=base.shape))
    found = apart(SIGMAS, 1.0, base, new)
    assert {one.verdict.word for one in found} == {"WORSE"}
    assert [one.difference.value for one in found] == pytest.approx([0.1] * 5, abs=0.005)
    assert {one.verdict.word for one in apart(SIGMAS, 1.0, new, base)} == {"BETTER"}
    assert {one.verdict.word for one in apart(SIGMAS, 1.0, base, base)} == {"SAME"}
