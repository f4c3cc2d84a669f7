"""Verdicts on denoising errors: words, bands, pairing, and what saved errors are compared with."""

import numpy as np
import pytest

from diffbench.comparison.check import Saved
from diffbench.comparison.denoising import BASELINES, Errors, apart, bands, judge
from diffbench.errors import StoreError, UsageError
from diffbench.store.sealed import write_sealed

SIGMAS = np.geomspace(0.01, 100, 9)


def made(factor, count=128, allowed=0.0, seed=0):
    """Errors that are ``factor`` times the linear estimate's, with spread; trivial ones are twice those."""
    generator = np.random.default_rng(seed)
    linear = np.geomspace(1e-4, 1, 9)[:, None] * (1 + 0.2 * generator.random((9, count)))
    network = linear * factor * (1 + 0.1 * generator.standard_normal((9, count)))
    base = dict(zip(BASELINES, (9 * linear, 5 * linear, 2 * linear, linear), strict=True))
    return Errors(SIGMAS, network, base, np.full(9, allowed), 1.0)


@pytest.mark.parametrize(
    "factor, word",
    [(0.2, "GOOD"), (1.0, "GOOD"), (1.1, "SUSPECT"), (1.9, "SUSPECT"), (2.05, "SUSPECT"), (2.2, "WRONG")],
)
def test_a_word_for_each_size_of_error(factor, word):
    found = judge(made(factor))
    assert {one.word for one in found} == {word}
    assert [one.band.name for one in found] == ["lowest", "low", "middle", "high", "highest"]
    assert all(one.of_linear == pytest.approx(factor, rel=0.02) for one in found)
    assert all(one.of_trivial == pytest.approx(factor / 2, rel=0.02) for one in found)


def test_one_band_is_told_apart_from_the_others():
    errors = made(0.5)
    errors.network[-2:] *= 10
    assert [one.word for one in judge(errors)] == ["GOOD", "GOOD", "GOOD", "GOOD", "WRONG"]


def test_what_a_network_resolves_is_allowed_for():
    assert {one.word for one in judge(made(1.5, allowed=10.0))} == {"GOOD"}
    assert {one.word for one in judge(made(1.5))} == {"SUSPECT"}


def test_few_images_or_wide_errors_are_told_as_such():
    assert {(one.word, one.reason) for one in judge(made(0.2, 49))} == {("SUSPECT", "49 images: a test needs 50")}
    generator = np.random.default_rng(1)
    errors = made(1.0)
    wide = Errors(SIGMAS, errors.network * generator.lognormal(0, 3, (9, 128)), errors.baselines, errors.allowed, 1.0)
    assert "SUSPECT" in {one.word for one in judge(wide)}


def test_bands_are_decades_of_sigma_over_the_data():
    assert [(b.name, b.levels) for b in bands(np.array([0.03, 0.032, 0.3, 0.32, 3.1, 3.2, 31, 32]), 1.0)] == [
        ("lowest", (0,)), ("low", (1, 2)), ("middle", (3, 4)), ("high", (5, 6)), ("highest", (7,))
    ]  # fmt: skip
    assert [b.name for b in bands(np.array([0.1, 1.0]), 10.0)] == ["lowest", "low"]


def test_two_networks_are_compared_sample_by_sample():
    base = made(0.5).network
    worse, better = apart(SIGMAS, 1.0, base, 1.03 * base), apart(SIGMAS, 1.0, base, 0.97 * base)
    assert {one.verdict.word for one in worse} == {"WORSE"} and {one.verdict.word for one in better} == {"BETTER"}
    assert all(one.difference.value == pytest.approx(0.03) for one in worse)
    assert {one.verdict.word for one in apart(SIGMAS, 1.0, base, 1.001 * base)} == {"SAME"}
    assert {one.verdict.word for one in apart(SIGMAS, 1.0, base, base)} == {"SAME"}
    assert {one.verdict.word for one in apart(SIGMAS, 1.0, base, 1.03 * base, margin=0.2)} == {"SAME"}
    other = made(0.5, seed=5).network  # of the same size, not paired
    assert {one.verdict.word for one in apart(SIGMAS, 1.0, base, other)} == {"INCONCLUSIVE"}


def test_a_file_that_is_no_check_or_of_other_data_is_refused(tmp_path):
    write_sealed(tmp_path / "other.json", {"format": 1})
    with pytest.raises(StoreError, match="no saved check"):
        Saved.read(tmp_path / "other.json")
    saved = Saved("a", {"seed": 0, "range": [0, 1]}, SIGMAS, made(1.0).network)
    saved.require({"seed": 0, "range": [0, 1]}, "b")
    with pytest.raises(UsageError, match="seed 0 and 1"):
        saved.require({"seed": 1, "range": [0, 1]}, "b")
