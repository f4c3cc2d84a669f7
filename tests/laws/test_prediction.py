"""Laws of predictions: all kinds mean the same x0, back and forth, by formula and by preconditioning."""

from typing import get_args

import numpy as np
import pytest
import torch

from diffbench.diffusion.analytic import GaussianDenoiser
from diffbench.diffusion.denoiser import NetworkDenoiser
from diffbench.diffusion.prediction import Prediction, from_x0, preconditioning, to_x0
from diffbench.diffusion.schedule import VE, VP, DiscreteDDPM, LinearFlow, SubVP

KINDS = get_args(Prediction)
SCHEDULES = [VP(), SubVP(), VE(), LinearFlow(), DiscreteDDPM.from_betas("linear", 1e-4, 0.02)]
SIGMA = np.array([0.011, 0.5, 2.0, 45.0])
DATA = 0.4


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 1, 3, 3, generator=generator, dtype=torch.float64)


def column(values):
    return torch.from_numpy(np.asarray(values)).view(-1, 1, 1, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rates", [(-1.0, 1.0), (-0.3, 2.5), (0.0, 7.0)])
def test_every_kind_means_the_x0_and_the_noise_it_was_made_of(kind, rates):
    x0, noise = batch()
    alpha, std = column([0.999, 0.8, 0.3, 0.02]), column([0.04, 0.5, 2.0, 1.0])
    x_t = alpha * x0 + std * noise
    expected = {
        "epsilon": noise,
        "sample": x0,
        "v_prediction": alpha * noise - std * x0,
        "score": -noise / std,
        "flow": rates[0] * x0 + rates[1] * noise,
        "edm": (std / alpha / DATA * x0 - DATA * noise) / ((std / alpha) ** 2 + DATA**2).sqrt(),
    }[kind]
    torch.testing.assert_close(from_x0(kind, x0, x_t, alpha, std, *rates, DATA), expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(to_x0(kind, expected, x_t, alpha, std, *rates, DATA), x0, rtol=1e-11, atol=1e-11)


def test_edms_target_has_the_variance_of_its_input_at_every_level():
    # Karras et al. 2022, appendix B.6: for data of variance sigma_data^2, input and target have variance one.
    generator = torch.Generator().manual_seed(3)
    x0, noise = torch.randn(2, 4, 1, 200, 200, generator=generator, dtype=torch.float64)
    x_hat, sigma = DATA * x0 + column(SIGMA) * noise, column(SIGMA)
    target = from_x0("edm", DATA * x0, x_hat, 1.0, sigma, sigma_data=DATA)
    seen = column(preconditioning("edm", VE(), SIGMA, DATA).c_in) * x_hat
    for values in (target, seen):
        torch.testing.assert_close(values.var(dim=(1, 2, 3)), torch.ones(4).double(), rtol=0.03, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_conversions_round_trip_from_any_output(kind):
    output, x_t = batch()
    x0 = to_x0(kind, output, x_t, 0.6, 1.7, sigma_data=DATA)
    torch.testing.assert_close(from_x0(kind, x0, x_t, 0.6, 1.7, sigma_data=DATA), output, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_preconditioning_is_the_conversion(kind, schedule):
    if kind == "flow":
        schedule = LinearFlow()
    output, x_hat = batch()
    c = preconditioning(kind, schedule, SIGMA, DATA)
    t = schedule.t_of(SIGMA)
    alpha, std = column(schedule.scale(t)), column(schedule.scale(t) * schedule.sigma(t))
    direct = to_x0(kind, output, alpha * x_hat, alpha, std, sigma_data=DATA)
    if kind != "edm":  # all others are called at x_t
        torch.testing.assert_close(column(c.c_in) * x_hat, alpha * x_hat, rtol=1e-10, atol=1e-12)
    by_coefficients = column(c.c_skip) * x_hat + column(c.c_out) * output
    torch.testing.assert_close(by_coefficients, direct, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_a_network_of_any_kind_is_the_same_denoiser(kind, schedule):
    """A network that predicts ``kind`` of Gaussian data exactly, called as the kind is, gives E[x0 | x]."""
    if kind == "flow":
        schedule = LinearFlow()
    gaussian = GaussianDenoiser(torch.full((1, 3, 3), 0.2, dtype=torch.float64), 0.5)
    sigma = np.array([0.02, 0.5, 2.0, 20.0, schedule.sigma_max])
    seen = preconditioning(kind, schedule, sigma, DATA).c_in

    def network(x, t):
        x_hat, level = x / column(seen), torch.from_numpy(schedule.sigma(t.numpy()))
        alpha, std = column(schedule.scale(t.numpy())), column(schedule.scale(t.numpy())) * level.view(-1, 1, 1, 1)
        return from_x0(kind, gaussian(x_hat, level).x0, alpha * x_hat, alpha, std, sigma_data=DATA)

    denoiser = NetworkDenoiser(network, schedule, kind, dtype=torch.float64, sigma_data=DATA)
    x_hat = torch.cat([*batch()])[:5] * (1 + column(sigma))
    expected = gaussian(x_hat, torch.from_numpy(sigma)).x0
    torch.testing.assert_close(denoiser(x_hat, torch.from_numpy(sigma)).x0, expected, rtol=1e-7, atol=1e-7)


def test_the_flow_s_rates_are_those_of_its_schedule():
    schedule, t, h = LinearFlow(), np.linspace(0.05, 0.95, 19), 1e-6
    scale = (schedule.scale(t + h) - schedule.scale(t - h)) / (2 * h)
    std = [schedule.scale(at) * schedule.sigma(at) for at in (t + h, t - h)]
    np.testing.assert_allclose(scale, -1.0, rtol=1e-9)
    np.testing.assert_allclose((std[0] - std[1]) / (2 * h), 1.0, rtol=1e-9)
