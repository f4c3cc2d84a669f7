"""Estimates that need no network, against closed forms."""

import numpy as np
import pytest
import torch

from diffbench.diffusion.denoising_error import LinearEstimates, squared_error, target_power
from diffbench.diffusion.prediction import preconditioning
from diffbench.diffusion.schedule import schedule_from
from diffbench.errors import ScoringError

SHAPE = (1, 2, 3)
VARIANCES = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.2, 0.05], dtype=torch.float64)


@pytest.fixture(scope="module")
def data():
    """Gaussian data of known covariance R diag(VARIANCES) R', and its estimates."""
    generator = torch.Generator().manual_seed(0)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))
    drawn = torch.randn(60_000, 6, generator=generator, dtype=torch.float64) * VARIANCES.sqrt()
    rows = drawn @ rotation.T + 0.7
    return rows.view(-1, *SHAPE), rotation


@pytest.mark.parametrize("sigma", [0.1, 1.0, 8.0])
def test_errors_are_those_of_the_closed_forms(data, sigma):
    """Wiener's error is the mean of v s^2 / (v + s^2) over principal variances, shrinkage's that over the pixels'."""
    images, rotation = data
    train, test = images[:30_000], images[30_000:]
    estimates = LinearEstimates.of(train)
    noise = torch.randn(test.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x_hat = test + sigma * noise

    def closed(variances):
        return float((variances * sigma**2 / (variances + sigma**2)).mean())

    pixels = (rotation**2 * VARIANCES).sum(1)
    assert float(squared_error(estimates.linear(x_hat, sigma), test).mean()) == pytest.approx(
        closed(VARIANCES), rel=0.02
    )
    assert float(squared_error(estimates.shrunk(x_hat, sigma), test).mean()) == pytest.approx(closed(pixels), rel=0.02)
    assert float(squared_error(x_hat, test).mean()) == pytest.approx(sigma**2, rel=0.02)
    assert estimates.std == pytest.approx(float(VARIANCES.mean()) ** 0.5, rel=0.02)
    assert estimates.square == pytest.approx(float(VARIANCES.mean()) + 0.49, rel=0.02)


def test_the_linear_estimate_is_that_of_the_sample_covariance_where_data_are_many(data):
    images, _ = data
    estimates = LinearEstimates.of(images)
    rows = images.flatten(1)
    covariance = torch.cov(rows.T)
    x_hat, sigma = images[:50] + 0.3, 0.9
    gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(6, dtype=torch.float64))
    expected = rows.mean(0) + (x_hat.flatten(1) - rows.mean(0)) @ gain.T
    assert torch.allclose(estimates.linear(x_hat, sigma).flatten(1), expected, atol=0.02)


def test_few_data_do_not_make_the_estimate_worse_than_shrinking_by_one_variance():
    """With fewer data than elements the variance that no axis has is shared, so that nothing is taken for certain."""
    generator = torch.Generator().manual_seed(2)
    white = torch.randn(40, 1, 8, 8, generator=generator, dtype=torch.float64)
    estimates = LinearEstimates.of(white)
    assert 0.7 < estimates.rest < 1.3 and estimates.axes.shape == (64, 19)
    assert torch.allclose(estimates.axes.T @ estimates.axes, torch.eye(19, dtype=torch.float64), atol=1e-9)
    test = torch.randn(2000, 1, 8, 8, generator=generator, dtype=torch.float64)
    x_hat = test + torch.randn(test.shape, generator=generator, dtype=torch.float64)
    assert float(squared_error(estimates.linear(x_hat, 1.0), test).mean()) == pytest.approx(0.5, rel=0.15)


def test_moved_data_have_moved_estimates(data):
    images, _ = data
    direct, moved = LinearEstimates.of(2 * images[:500] - 1), LinearEstimates.of(images[:500]).moved(2.0, -1.0)
    x_hat = 2 * images[:20] - 1 + 0.5
    for one in ("linear", "shrunk"):
        assert torch.allclose(getattr(direct, one)(x_hat, 0.8), getattr(moved, one)(x_hat, 0.8), atol=1e-9)


def test_too_few_data_are_refused():
    with pytest.raises(ScoringError, match="moments of 7 images: at least 8"):
        LinearEstimates.of(torch.zeros(7, 1, 2, 2))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_target_missed_by_a_share_misses_the_data_by_that_share_of_the_targets_power(kind):
    schedule = schedule_from({"kind": "ddpm", "betas": "linear", "steps": 1000, "beta_start": 1e-4, "beta_end": 0.02})
    sigma, square, share = np.array([0.05, 1.0, 20.0]), 0.8, 0.1
    rng = np.random.default_rng(0)
    x0, noise = rng.normal(size=(200_000, 1)) * np.sqrt(square), rng.normal(size=(200_000, 3))
    skip = preconditioning(kind, schedule, sigma, None).c_skip
    target = x0 - skip * (x0 + sigma * noise)  # what the network's output has to become
    missed = share**2 * (target**2).mean(0)
    assert share**2 * target_power(kind, schedule, sigma, square) == pytest.approx(missed, rel=0.03)
