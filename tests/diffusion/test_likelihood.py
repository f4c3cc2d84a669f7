"""Bits/dim: units, dequantisation, refusals; tests/laws/test_likelihood.py has the laws."""

import math

import pytest
import torch

from diffbench.diffusion.analytic import GaussianDenoiser
from diffbench.diffusion.denoiser import Denoised
from diffbench.diffusion.likelihood import bits_per_dim, dequantise, log_density
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import VP
from diffbench.errors import ScoringError, UsageError
from diffbench.scoring.images import quantise

SHAPE = (1, 16, 16)
PIXELS = torch.arange(256, dtype=torch.uint8).view(1, *SHAPE)
GAUSSIAN = GaussianDenoiser(torch.zeros(1, 1, 2), 0.25)
X = torch.full((3, 1, 1, 2), 0.1)


@pytest.mark.parametrize(("low", "high", "offset"), [(-1.0, 1.0, 7.0), (0.0, 1.0, 8.0)])
def test_the_offset_is_that_of_score_sde(low, high, offset):
    assert bits_per_dim(torch.zeros(1, dtype=torch.float64), 784, low, high).item() == offset
    nats = torch.tensor([-784 * math.log(2)], dtype=torch.float64)
    assert bits_per_dim(nats, 784, low, high).item() == pytest.approx(offset + 1)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0), (-3.0, 5.0)])
def test_an_even_density_costs_eight_bits(low, high):
    nats = torch.tensor([-12 * math.log(high - low)], dtype=torch.float64)
    assert bits_per_dim(nats, 12, low, high).item() == pytest.approx(8)
    assert bits_per_dim(nats, 12, low, high, "rounding").item() == pytest.approx(math.log2(255))


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0)])
def test_a_dequantised_pixel_stays_within_its_own_bin(low, high):
    noise = NoiseSource(0, [7], SHAPE)
    u = noise.uniform("dequantize", 0)
    even = dequantise(PIXELS, noise, low, high)
    torch.testing.assert_close((even - low) / (high - low) * 256, PIXELS + u, rtol=0, atol=1e-10)
    assert torch.equal(((even - low) / (high - low) * 256).floor().to(torch.uint8), PIXELS)
    rounding = dequantise(PIXELS, noise, low, high, "rounding")
    assert torch.equal(quantise(rounding, low, high), PIXELS)
    assert not torch.equal(dequantise(PIXELS, noise, low, high, draw=1), even)


def test_uniform_noise_is_uniform_and_each_samples_own():
    noise = NoiseSource(0, range(200), SHAPE)
    u = noise.uniform("dequantize", 0)
    assert u.dtype == torch.float64 and 0 < float(u.min()) and float(u.max()) < 1
    for power in (1, 2, 3):
        assert float((u**power).mean()) == pytest.approx(1 / (power + 1), abs=0.005)
    assert torch.equal(NoiseSource(0, [5, 150], SHAPE).uniform("dequantize", 0), u[[5, 150]])
    assert not torch.equal(noise.uniform("trace", 0), u)
    with pytest.raises(UsageError, match="unknown purpose"):
        noise.uniform("dice", 0)


class Spoilt:
    def __init__(self, value):
        self.value = value

    def __call__(self, x_hat, sigma):
        x0 = GAUSSIAN(x_hat, sigma).x0
        spoil = torch.zeros(len(x_hat), 1, 1, 1, dtype=x0.dtype)
        spoil[1:] = self.value
        return Denoised(x0 + spoil)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("steps", [16, 512])
def test_what_is_not_finite_names_the_sample(value, steps):
    noise = NoiseSource(0, [4, 17, 18], (1, 1, 2))
    with pytest.raises(ScoringError, match="sample 17: its log-likelihood is not finite"):
        log_density(Spoilt(value), X, VP(), noise, 0.5, most_steps=steps)
    with pytest.raises(ScoringError, match="sample 1:"):
        log_density(Spoilt(value), X, VP(), None, 0.5, most_steps=steps)


def test_what_overflows_with_few_steps_is_solved_with_more():
    class Steep:
        """Pulls x_hat so hard to 0 that too large a step throws it beyond 1,000, where D is infinite."""

        def __call__(self, x_hat, sigma):
            x0 = 9 * x_hat / (1 + sigma.view(-1, 1, 1, 1) ** 2)
            return Denoised(torch.where(x_hat.abs() < 1e3, x0, torch.inf))

    x = torch.ones(1, 1, 1, 2)
    with pytest.raises(ScoringError):
        log_density(Steep(), x, VP(), None, 0.5, most_steps=16)
    assert bool(log_density(Steep(), x, VP(), None, 0.5).nats.isfinite().all())


def test_a_denoiser_without_gradients_is_refused():
    def frozen(x_hat, sigma):
        with torch.no_grad():
            return GAUSSIAN(x_hat, sigma)

    with pytest.raises(UsageError, match="can't be differentiated"):
        log_density(frozen, X, VP(), None, 0.5)


@pytest.mark.parametrize("wrong", [{"probes": 0}, {"tolerance": 0.0}, {"tolerance": float("nan")}])
def test_impossible_requests_are_refused(wrong):
    with pytest.raises(UsageError, match="at least 1 probe and a positive tolerance"):
        log_density(GAUSSIAN, X, VP(), None, **{"tolerance": 0.5, **wrong})
    with pytest.raises(UsageError, match="only 8-bit pixels"):
        dequantise(X, NoiseSource(0, range(3), (1, 1, 2)), -1, 1)


def test_it_works_where_gradients_are_off_and_takes_single_precision():
    expected = log_density(GAUSSIAN, X.double(), VP(), None, 0.5).nats
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            torch.testing.assert_close(
                log_density(GAUSSIAN, X.clone(), VP(), None, 0.5).nats, expected, atol=1e-6, rtol=0
            )
    assert log_density(GAUSSIAN, X[:0], VP(), None, 0.5).nats.shape == (0,)
