"""CMMD, CLIP score, FID without its bias, FID per class: independent values and laws."""

import numpy as np
import pytest

from diffbench.errors import ReferenceDataError, ScoringError
from diffbench.scoring.clip_score import clip_score
from diffbench.scoring.cmmd import SIGMA, cmmd, cmmd_compat, unit
from diffbench.scoring.fid import fid
from diffbench.scoring.fid_infinity import fid_infinity
from diffbench.scoring.fid_per_class import fid_per_class
from diffbench.scoring.interval import GROUPS, groups_of

RNG = np.random.default_rng(0)


def gram(x, y):
    return np.exp(-((x[:, None] - y[None]) ** 2).sum(axis=-1) / (2 * 10.0**2))


def test_cmmd_by_the_definition(make_reference):
    x, y = RNG.normal(size=(30, 5)), RNG.normal(size=(40, 5)) + 0.5
    a, b = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
    biased = 1000 * (gram(a, a).mean() + gram(b, b).mean() - 2 * gram(a, b).mean())
    assert cmmd_compat(x, make_reference(y)).value == pytest.approx(biased, rel=1e-9)
    off = [(gram(z, z).sum() - len(z)) / (len(z) * (len(z) - 1)) for z in (a, b)]
    unbiased = 1000 * (off[0] + off[1] - 2 * gram(a, b).mean())
    assert cmmd(x, make_reference(y)).value == pytest.approx(unbiased, rel=1e-9)
    assert SIGMA == 10 and cmmd(3 * x, make_reference(y)).value == pytest.approx(unbiased, rel=1e-9), "length 1"


def test_cmmd_is_unbiased_and_its_error_is_that_of_repetitions(make_reference):
    rng = np.random.default_rng(1)
    real = make_reference(rng.normal(size=(400, 4)) + 1)
    same = [cmmd(rng.normal(size=(60, 4)) + 1, make_reference(rng.normal(size=(60, 4)) + 1)).value for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 200**0.5
    apart = [cmmd(rng.normal(size=(100, 4)), real) for _ in range(200)]
    assert np.mean([one.se for one in apart]) == pytest.approx(np.std([one.value for one in apart]), rel=0.15)


def test_an_embedding_of_no_direction_is_named():
    x = RNG.normal(size=(5, 3))
    x[3] = 0
    with pytest.raises(ScoringError, match="sample 3 has length 0"):
        unit(x)


def test_clip_score():
    images, prompts = np.eye(4)[:3], np.array([[2.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, 3, 3.0]])
    found = clip_score(images, prompts)
    assert found.value == pytest.approx(2.5 * (1 + 0 + 0.5**0.5) / 3)
    assert clip_score(images, prompts, weight=100).value == pytest.approx(40 * found.value)
    assert found.se == pytest.approx(np.std(found.influence, ddof=1) / 3**0.5)
    with pytest.raises(ScoringError, match="3 images of dimension 4, but 2 prompts"):
        clip_score(images, prompts[:2])


def test_fid_infinity_takes_the_bias_off(make_reference):
    """Shift 0.5 in 8 dimensions: 2 exactly at infinite n; FID_n is above by about the trace's bias."""
    rng = np.random.default_rng(2)
    reference = make_reference(rng.normal(size=(200_000, 8)))
    draws = [rng.normal(size=(100, 8)) + 0.5 for _ in range(150)]
    plain = np.array([fid(x, reference).value for x in draws])
    found = [fid_infinity(x, reference) for x in draws]
    values = np.array([one.value for one in found])
    assert plain.mean() - 2 > 0.1
    assert abs(values.mean() - 2) < 0.15 * (plain.mean() - 2) + 3 * values.std() / len(draws) ** 0.5
    assert np.mean([one.se for one in found]) == pytest.approx(values.std(), rel=0.25)


def test_fid_infinity_is_the_jackknife(make_reference):
    x, reference = RNG.normal(size=(100, 3)), make_reference(RNG.normal(size=(200, 3)))
    groups = groups_of(100)
    left = np.mean([fid(x[groups != g], reference).value for g in range(GROUPS)])
    assert fid_infinity(x, reference).value == pytest.approx(20 * fid(x, reference).value - 19 * left, rel=1e-9)
    assert "rank-deficient" in fid_infinity(x[:42, :].repeat(20, axis=1)[:, :45], make_reference(
        RNG.normal(size=(200, 45)))).reason  # fmt: skip


def test_fid_infinity_needs_many_samples_a_dimension(make_reference):
    reference = make_reference(RNG.normal(size=(200, 8)))
    assert fid_infinity(RNG.normal(size=(80, 8)), reference).value is not None
    few = fid_infinity(RNG.normal(size=(79, 8)), reference)
    assert few.value is None and "n = 79 < 10 d = 80" in few.reason


def test_fid_per_class(make_reference):
    x, y = RNG.normal(size=(90, 2)), RNG.normal(size=(120, 2))
    labels, real_labels = np.arange(90) % 3, np.arange(120) % 3
    found = fid_per_class(x, labels, make_reference(y), real_labels)
    assert list(found) == [0, 1, 2] and found[1].n == 30
    assert found[2].value == fid(x[labels == 2], make_reference(y[real_labels == 2])).value
    with pytest.raises(ScoringError, match="90 samples need as many whole labels"):
        fid_per_class(x, labels[:-1], make_reference(y), real_labels)
    with pytest.raises((ReferenceDataError, ScoringError)):
        fid_per_class(x, labels + 5, make_reference(y), real_labels)
