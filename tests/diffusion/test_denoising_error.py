"""Baselines of a denoising error: closed forms on Gaussian data, and what a network has to supply."""

import numpy as np
import pytest
import torch

from diffbench.diffusion.analytic import GaussianDenoiser
from diffbench.diffusion.denoising_error import LinearEstimates, squared_error, target_power
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.prediction import from_x0, preconditioning
from diffbench.diffusion.schedule import VE, VP
from diffbench.errors import ScoringError

SHAPE = (1, 3, 4)
SIZE = 12


def gaussian(count, seed=0):
    """Correlated data, their mean and covariance."""
    generator = torch.Generator().manual_seed(7)
    root = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64) / 3
    mean = torch.randn(SIZE, generator=generator, dtype=torch.float64)
    rows = torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) @ root.T + mean
    return rows.view(-1, *SHAPE), mean.view(SHAPE), root @ root.T


def noisy(x0, sigma):
    return x0 + sigma * NoiseSource(0, range(len(x0)), SHAPE, dtype=torch.float64).normal("denoise", 0)


def exact(mean, covariance):
    along, axes = torch.linalg.eigh(covariance)
    return LinearEstimates(mean, covariance.diagonal().view(SHAPE), axes, along, 0.0)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 3.0])
def test_errors_are_those_of_the_closed_forms(sigma):
    x0, mean, covariance = gaussian(20_000)
    x_hat, estimates = noisy(x0, sigma), exact(*gaussian(0)[1:])
    values, variances = torch.linalg.eigvalsh(covariance), covariance.diagonal()
    expected = {
        "identity": (x_hat, sigma**2),
        "mean": (mean.expand_as(x0), float(variances.mean())),
        "shrinkage": (estimates.shrunk(x_hat, sigma), float((variances * sigma**2 / (variances + sigma**2)).mean())),
        "linear": (estimates.linear(x_hat, sigma), float((values * sigma**2 / (values + sigma**2)).mean())),
    }
    for name, (estimate, closed) in expected.items():
        errors = squared_error(estimate, x0)
        assert float(errors.mean()) == pytest.approx(closed, abs=4 * float(errors.std()) / 20_000**0.5), name
    means = {name: float(squared_error(estimate, x0).mean()) for name, (estimate, _) in expected.items()}
    assert means["linear"] < means["shrinkage"] < min(means["identity"], means["mean"])
    apart = exact(mean, variances.diag())
    torch.testing.assert_close(estimates.shrunk(x_hat[:5], sigma), apart.linear(x_hat[:5], sigma))
    level = torch.full((5,), sigma, dtype=torch.float64)
    torch.testing.assert_close(
        estimates.linear(x_hat[:5], sigma), GaussianDenoiser(mean, covariance)(x_hat[:5], level).x0
    )


def test_moments_of_data_come_near_the_exact_ones_and_stay_honest_when_there_are_few():
    x0, mean, covariance = gaussian(20_000)
    for count, slack in ((20_000, 1.01), (400, 1.08), (16, 1.9)):  # 16: fewer in a half than elements
        estimates = LinearEstimates.of(gaussian(count, seed=1)[0])
        axes = estimates.axes
        torch.testing.assert_close(axes.T @ axes, torch.eye(axes.shape[1], dtype=torch.float64))
        x_hat = noisy(x0, 0.4)
        errors = [
            float(squared_error(one.linear(x_hat, 0.4), x0).mean()) for one in (estimates, exact(mean, covariance))
        ]
        assert 1 <= errors[0] / errors[1] < slack
    assert estimates.axes.shape == (12, 7) and estimates.rest > 0
    assert LinearEstimates.of(x0).std == pytest.approx(float(covariance.diagonal().mean()) ** 0.5, rel=0.01)
    with pytest.raises(ScoringError, match="moments of 7 images"):
        LinearEstimates.of(x0[:7])


def test_moments_move_with_the_data():
    x0 = gaussian(40)[0]
    moved, again = LinearEstimates.of(x0).moved(0.5, 3.0), LinearEstimates.of(0.5 * x0 + 3.0)
    x_hat = noisy(0.5 * x0 + 3.0, 0.2)
    torch.testing.assert_close(moved.linear(x_hat, 0.2), again.linear(x_hat, 0.2))
    torch.testing.assert_close(moved.shrunk(x_hat, 0.2), again.shrunk(x_hat, 0.2))
    assert moved.square == pytest.approx(again.square)


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction", "score", "edm"])
def test_a_share_missed_of_the_target_is_that_share_of_its_power_in_x0(kind):
    schedule = VE(0.01, 16.0) if kind == "edm" else VP(0.1, 20.0)
    sigma_data = 0.7 if kind == "edm" else None
    sigma = np.array([0.02, 0.5, 8.0])
    x0 = gaussian(20_000)[0]
    square = float(x0.square().mean())
    power = target_power(kind, schedule, sigma, square, sigma_data)
    c_out = preconditioning(kind, schedule, sigma, sigma_data).c_out
    for index, level in enumerate(sigma):
        scale = float(schedule.scale_of(level))
        target = from_x0(kind, x0, scale * noisy(x0, level), scale, scale * level, sigma_data=sigma_data)
        assert c_out[index] ** 2 * float(target.square().mean()) == pytest.approx(power[index], rel=0.02)
