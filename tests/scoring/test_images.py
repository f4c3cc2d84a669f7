from __future__ import annotations

import numpy as np
import pytest
import torch

from diffbench.errors import ScoringError
from diffbench.scoring.images import quantise


def images(values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype).view(1, 1, 1, -1)


def test_ends_middle_and_clamping():
    got = quantise(images([-1.0, 0.0, 1.0, -7.0, 7.0, 0.2, -0.2]))
    # 127.5 * 0.2 + 127.5 = 153.0000004 in float32's 0.2; -0.2 gives 102
    assert got.dtype == torch.uint8 and got.flatten().tolist() == [0, 128, 255, 0, 255, 153, 102]


def test_every_level_survives_the_round_trip():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(quantise(levels.float() / 127.5 - 1), levels)
    assert torch.equal(quantise(levels.float() / 255, low=0.0, high=1.0), levels)


def test_ties_go_to_the_even_level():
    # x = (k + 1/2) / 127.5 - 1 in exact arithmetic; a range of [0, 255] makes the ties exact
    ties = images([0.5, 1.5, 2.5, 253.5, 254.5])
    assert quantise(ties, low=0, high=255).flatten().tolist() == [0, 2, 2, 254, 254]


def test_floor_truncates():
    values = images([0.0, 0.9, 1.0, 254.99, 255.0])
    assert quantise(values, low=0, high=255, mode="floor").flatten().tolist() == [0, 0, 1, 254, 255]
    assert quantise(images([0.0]), mode="floor").item() == 127
    assert quantise(images([0.0]), mode="round").item() == 128


def test_against_exact_arithmetic():
    x = torch.from_numpy(np.random.default_rng(0).uniform(-1.2, 1.2, (4, 1, 50, 50)).astype(np.float32))
    right = np.clip(np.rint(127.5 * np.clip(x.numpy().astype(np.longdouble), -1, 1) + 127.5), 0, 255)
    assert np.array_equal(quantise(x).numpy(), right.astype(np.uint8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats(dtype):
    assert quantise(images([-1.0, 0.5, 1.0], dtype)).flatten().tolist() == [0, 191, 255]


def test_a_batch_of_no_images_stays_empty():
    assert quantise(torch.zeros(0, 1, 2, 2)).shape == (0, 1, 2, 2)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_not_finite_names_the_first_such_sample(poison):
    x = torch.zeros(5, 1, 2, 2)
    x[3, 0, 1, 1] = poison
    x[4] = poison
    with pytest.raises(ScoringError, match="sample 3 "):
        quantise(x)
    with pytest.raises(ScoringError, match="sample 131 "):
        quantise(x, first_index=128)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), {}, "uint8"),
        (torch.zeros(1, 2, 2), {}, r"\(1, 2, 2\)"),
        (torch.zeros(1, 1, 2, 2), {"mode": "ceil"}, "ceil"),
        (torch.zeros(1, 1, 2, 2), {"low": 1.0, "high": 1.0}, "empty"),
        (torch.zeros(1, 1, 2, 2), {"low": float("nan")}, "empty"),
    ],
)
def test_refusals(x, options, message):
    with pytest.raises(ScoringError, match=message):
        quantise(x, **options)


def test_values_beyond_a_shifted_range_are_clamped():
    got = quantise(images([0.9, 1.0, 1.5, 2.0, 2.1, 9.0]), low=1.0, high=2.0)
    assert got.flatten().tolist() == [0, 0, 128, 255, 255, 255]


def test_near_ties_are_decided_exactly():
    # 127.5 x + 127.5 is 205.499995, 226.500003 and 251.499993; in float32 each sum lands on the tie, or beyond it
    x = images([float.fromhex("0x1.39393800p-1"), float.fromhex("0x1.8d8d9000p-1"), float.fromhex("0x1.f1f1f000p-1")])
    assert quantise(x).flatten().tolist() == [205, 227, 251]
