"""Noise: known answers, independence of how samples are batched, and its distribution."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from diffbench.diffusion.noise import PURPOSES, NoiseSource, philox4x32
from diffbench.errors import UsageError

ONES = 0xFFFFFFFF
KEPT = [0.991137683391571, -0.9246625900268555, -0.6176089644432068]
KEPT += [0.8026365041732788, -0.43747586011886597, -0.8326144814491272]


def words(*values):
    return [torch.tensor([value]) for value in values]


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_random123(counter, key, answer):
    assert tuple(int(word) for word in philox4x32(words(*counter), words(*key))) == answer


def test_philox_agrees_with_plain_integers():
    def reference(c, k):
        for _ in range(10):
            p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = ((p1 >> 32) ^ c[1] ^ k[0], p1 & ONES, (p0 >> 32) ^ c[3] ^ k[1], p0 & ONES)
            k = ((k[0] + 0x9E3779B9) & ONES, (k[1] + 0xBB67AE85) & ONES)
        return c

    drawn = np.random.default_rng(0).integers(0, 2**32, size=(200, 6))
    columns = [torch.from_numpy(drawn[:, j].copy()) for j in range(6)]
    ours = torch.stack(philox4x32(columns[:4], columns[4:]), 1)
    assert ours.tolist() == [list(reference(tuple(map(int, row[:4])), tuple(map(int, row[4:])))) for row in drawn]


def test_a_sample_is_this_formula_of_its_coordinates():
    seed, index, step = 7, 123456, 9
    noise = NoiseSource(seed, [index], (1, 2, 5)).normal("churn", step)
    expected = []
    for block in range(3):
        w = [int(word) for word in philox4x32(words(block, step, PURPOSES["churn"], 0), words(seed, index))]
        u = [(word + 0.5) / 2**32 for word in w]
        for radius, angle in ((u[0], u[1]), (u[2], u[3])):
            r = math.sqrt(-2 * math.log(radius))
            expected += [r * math.cos(2 * math.pi * angle), r * math.sin(2 * math.pi * angle)]
    assert noise.shape == (1, 1, 2, 5)
    np.testing.assert_array_equal(noise.flatten().numpy(), np.array(expected[:10], dtype=np.float32))


def test_the_smallest_word_gives_the_largest_magnitude(monkeypatch):
    zero = torch.zeros(1, 1, dtype=torch.int64)
    monkeypatch.setattr("diffbench.diffusion.noise.philox4x32", lambda counter, key: (zero,) * 4)
    drawn = NoiseSource(0, [0], (1, 1, 4), dtype=torch.float64).normal("start", 0).flatten().tolist()
    radius = math.sqrt(66 * math.log(2))
    small = radius * math.sin(math.pi * 2**-32)
    assert drawn == pytest.approx([radius, small, radius, small], rel=1e-7)


def test_these_numbers_never_change():
    first = {"start": 0, "step": 1, "churn": 2, "corrector": 3, "posterior": 4, "dequantize": 5, "probe": 6, "path": 7}
    assert {**first, "trace": 8, "denoise": 9} == PURPOSES
    noise = NoiseSource(0, [0, 4294967295], (1, 1, 3)).normal("start", 0)
    np.testing.assert_array_equal(noise.flatten().numpy(), np.array(KEPT, dtype=np.float32))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 7), (1, 1, 1), (4, 8, 8)])
def test_samples_do_not_depend_on_batch_order_or_split(shape):
    indices = list(range(1000, 1037))
    whole = NoiseSource(3, indices, shape).normal("step", 5)
    for size in (1, 2, 5, 16, 37):
        parts = [NoiseSource(3, indices[i : i + size], shape).normal("step", 5) for i in range(0, 37, size)]
        assert torch.equal(torch.cat(parts), whole)
    order = torch.randperm(37, generator=torch.Generator().manual_seed(0))
    assert torch.equal(NoiseSource(3, torch.tensor(indices)[order], shape).normal("step", 5), whole[order])


def test_before_rounding_samples_do_not_depend_on_the_batch_either(monkeypatch):
    # Rounding to float32 would hide most differences of the vectorised log, sin and cos.
    monkeypatch.setattr(torch, "float32", torch.float64)
    whole = NoiseSource(3, range(129), (1, 28, 28), dtype=torch.float64).normal("step", 5)
    assert not np.array_equal(whole.numpy(), whole.numpy().astype(np.float32))
    for start, stop in ((0, 1), (1, 4), (4, 68), (68, 129)):
        part = NoiseSource(3, range(start, stop), (1, 28, 28), dtype=torch.float64).normal("step", 5)
        assert torch.equal(part, whole[start:stop])


def test_samples_do_not_depend_on_the_number_of_threads():
    source = NoiseSource(3, range(256), (1, 28, 28))
    alone = source.normal("step", 5)
    torch.set_num_threads(2)
    assert torch.equal(source.normal("step", 5), alone)


def test_draws_repeat_and_the_interval_does_not_matter():
    source = NoiseSource(0, range(4), (1, 3, 3))
    first = source.normal("step", 1)
    source.normal("step", 2)
    assert torch.equal(source.normal("step", 1, sigma_from=3.0, sigma_to=1.0), first)


def test_all_dtypes_see_the_same_numbers():
    single = NoiseSource(0, range(4), (1, 3, 3)).normal("start", 0)
    double = NoiseSource(0, range(4), (1, 3, 3), dtype=torch.float64).normal("start", 0)
    half = NoiseSource(0, range(4), (1, 3, 3), dtype=torch.bfloat16).normal("start", 0)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    assert torch.equal(single.double(), double)
    assert torch.equal(single.bfloat16(), half)


def test_it_is_standard_normal():
    drawn = NoiseSource(11, range(256), (1, 32, 32)).normal("start", 0).double().flatten().numpy()
    n = len(drawn)
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((drawn**power).mean() - moment) < 4 * math.sqrt(spread / n)
    assert stats.kstest(drawn, "norm").pvalue > 1e-3
    # Both members of a Box-Muller pair, and both pairs of a block, on their own.
    for lane in range(4):
        assert stats.kstest(drawn[lane::4], "norm").pvalue > 1e-3
    assert np.abs(drawn).max() < math.sqrt(66 * math.log(2)) + 1e-6


def test_everything_that_names_a_draw_makes_it_independent():
    shape, indices = (1, 64, 64), range(8)

    def draw(seed=0, purpose="step", step=0, first=0):
        rows = NoiseSource(seed, range(first, first + 8), shape).normal(purpose, step)
        return rows.double().flatten().numpy()

    draws = [draw(), draw(seed=1), draw(step=1), draw(step=2**32 - 1), draw(first=8), draw(first=2**32 - 8)]
    draws += [draw(purpose=purpose) for purpose in PURPOSES if purpose != "step"]
    correlations = np.corrcoef(np.stack(draws))[np.triu_indices(len(draws), 1)]
    assert np.abs(correlations).max() < 5 / math.sqrt(len(indices) * 64 * 64)
    squares = np.corrcoef(np.stack(draws) ** 2)[np.triu_indices(len(draws), 1)]
    assert np.abs(squares).max() < 5 / math.sqrt(len(indices) * 64 * 64)


def test_samples_and_elements_of_a_draw_are_independent():
    rows = NoiseSource(0, range(32), (1, 64, 64)).normal("start", 0).double().flatten(1).numpy()
    between = np.corrcoef(rows)[np.triu_indices(32, 1)]
    assert np.abs(between).max() < 5 / math.sqrt(64 * 64)
    flat = rows.flatten()
    for lag in (1, 2, 3, 4, 8, 64):
        assert abs(np.corrcoef(flat[:-lag], flat[lag:])[0, 1]) < 5 / math.sqrt(len(flat))


def test_an_empty_batch_is_fine():
    assert NoiseSource(0, [], (1, 3, 3)).normal("start", 0).shape == (0, 1, 3, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseSource(-1, [0], (1,)), "seed must lie in [0, 2^32), got -1"),
        (lambda: NoiseSource(2**32, [0], (1,)), "seed must lie in [0, 2^32), got 4294967296"),
        (lambda: NoiseSource(0, [0, -1], (1,)), "sample index must lie in [0, 2^32), got -1"),
        (lambda: NoiseSource(0, [2**32, 0], (1,)), "sample index must lie in [0, 2^32), got 4294967296"),
        (lambda: NoiseSource(0, torch.zeros(2, 2), (1,)), "sample indices must form a list, got shape (2, 2)"),
        (lambda: NoiseSource(0, [0], ()), "the shape of a sample must have positive sizes, got ()"),
        (lambda: NoiseSource(0, [0], (1, 0)), "the shape of a sample must have positive sizes, got (1, 0)"),
        (lambda: NoiseSource(0, [0], (1,)).normal("starts", 0), "unknown purpose of noise 'starts': use one of start"),
        (lambda: NoiseSource(0, [0], (1,)).normal("start", -1), "step must lie in [0, 2^32), got -1"),
        (lambda: NoiseSource(0, [0], (1,)).normal("start", 2**32), "step must lie in [0, 2^32), got 4294967296"),
    ],
)
def test_what_is_not_a_word_is_refused(make, message):
    with pytest.raises(UsageError) as caught:
        make()
    assert message in str(caught.value)
