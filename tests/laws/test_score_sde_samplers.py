"""Reverse diffusion, Langevin and predictor-corrector steps as the Score-SDE paper and its code write them, in x_t."""

import numpy as np
import pytest
import torch

from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.schedule import schedule_from
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.ddpm import DDPM
from diffbench.samplers.integrate import State
from diffbench.samplers.predictor_corrector import LANGEVIN, PredictorCorrector
from diffbench.samplers.reverse_diffusion import ReverseDiffusion

CHAIN = schedule_from({"kind": "ddpm", "betas": "linear", "beta_start": 1e-4, "beta_end": 0.02, "steps": 1000})
VP = schedule_from({"kind": "vp", "beta_min": 0.1, "beta_max": 20.0})
VE = schedule_from({"kind": "ve", "sigma_min": 0.01, "sigma_max": 50.0})


def moved(plan, grid, i, x, x0, z):
    """x_t after the i-th step from x_t = x."""
    x_hat = plan.x_weight[i] * x / grid.scale[i] + plan.denoised_weight[i] * x0 + plan.noise_std[i] * z
    return x_hat * grid.scale[i + 1]


@pytest.mark.parametrize("flow", [False, True])
def test_reverse_diffusion_of_vp(flow):
    grid = time_grid(CHAIN, 1000, "trailing")
    plan = ReverseDiffusion(flow).plan(grid, CHAIN)
    x, x0, z = 0.7, -0.4, 1.3
    for i in (0, 400, 998, 999):
        beta, s, sigma = CHAIN.betas[999 - i], grid.scale[i], grid.sigma[i]
        score = (s * x0 - x) / (s * sigma) ** 2
        mean = (2 - np.sqrt(1 - beta)) * x + (0.5 if flow else 1.0) * beta * score
        noise = 0.0 if flow or i == 999 else np.sqrt(beta) * z
        assert moved(plan, grid, i, x, x0, z) == pytest.approx(mean + noise, rel=1e-9)


@pytest.mark.parametrize("flow", [False, True])
def test_reverse_diffusion_of_ve(flow):
    grid = time_grid(VE, 9, "karras")
    plan = ReverseDiffusion(flow).plan(grid, VE)
    x, x0, z = 0.7, -0.4, 1.3
    for i in range(grid.steps):
        gap = grid.sigma[i] ** 2 - grid.sigma[i + 1] ** 2
        mean = x + (0.5 if flow else 1.0) * gap * (x0 - x) / grid.sigma[i] ** 2
        noise = 0.0 if flow or i == grid.steps - 1 else np.sqrt(gap) * z
        assert moved(plan, grid, i, x, x0, z) == pytest.approx(mean + noise, rel=1e-9)


def test_ancestral_sampling_of_score_sde_is_ddim_on_ve_and_ddpm_with_large_variance_on_vp():
    """Song et al. 2021, Eq. 47 and Eq. 4."""
    x, x0, z = 0.7, -0.4, 1.3
    grid = time_grid(VE, 9, "karras")
    plan = DDIM(eta=1.0).plan(grid, VE)
    for i in range(grid.steps - 1):
        high, low = grid.sigma[i] ** 2, grid.sigma[i + 1] ** 2
        expected = x + (high - low) * (x0 - x) / high + np.sqrt(low * (high - low) / high) * z
        assert moved(plan, grid, i, x, x0, z) == pytest.approx(expected, rel=1e-9)
    grid = time_grid(CHAIN, 1000, "trailing")
    plan = DDPM("fixed_large").plan(grid, CHAIN)
    for i in (0, 400, 998):
        beta, s = CHAIN.betas[999 - i], grid.scale[i]
        score = (s * x0 - x) / (s * grid.sigma[i]) ** 2
        expected = (x + beta * score) / np.sqrt(1 - beta) + np.sqrt(beta) * z
        assert moved(plan, grid, i, x, x0, z) == pytest.approx(expected, rel=1e-9)


class Draws:
    """Fixed noise, different for every purpose and step, and a record of what was asked for."""

    def __init__(self, shape):
        self.shape, self.asked = shape, []

    def normal(self, purpose, step, *interval):
        self.asked.append((purpose, step))
        generator = torch.Generator().manual_seed(1000 * len(purpose) + step)
        return torch.randn(self.shape, generator=generator, dtype=torch.float64)


X0 = 0.3


def denoise(x, sigma):
    return 0.25 / (0.25 + sigma**2) * (x - X0) + X0


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("schedule", [CHAIN, VP, VE], ids=["ddpm", "vp", "ve"])
def test_langevin_steps_are_those_of_the_papers_algorithms(schedule, coupled):
    """Algorithms 4 and 5, in x_t: e = 2 alpha (r |z| / |score|)^2 and x + e score + sqrt(2 e) z."""
    grid = time_grid(schedule, 7, "karras")
    draws = Draws((4, 3, 2, 2))
    x_hat = draws.normal("start", 0) * 3
    sampler = PredictorCorrector("ancestral", corrector_steps=2, snr=0.17, coupled=coupled)
    plan = sampler.plan(grid, schedule)
    ours = sampler.step(State(x_hat), 2, plan, denoise, draws).x
    s, sigma, target = grid.scale[2], grid.sigma[2], grid.sigma[3]
    x = s * x_hat
    alpha = 1.0 if schedule is VE else (s / grid.scale[3]) ** 2
    for k in (0, 1):
        score = (s * denoise(x / s, sigma) - x) / (s * sigma) ** 2
        z = draws.normal("corrector", 4 + k)
        lengths = [v.flatten(1).norm(dim=1) for v in (z, score)]
        size = 2 * alpha * (0.17 * lengths[0] / lengths[1]) ** 2
        if coupled:
            size = 2 * alpha * (0.17 * lengths[0].mean() / lengths[1].mean()) ** 2 * torch.ones(4, dtype=torch.float64)
        size = size.view(4, 1, 1, 1)
        x = x + size * score + (2 * size).sqrt() * z
    mean = x / s + (1 - target**2 / sigma**2) * (denoise(x / s, sigma) - x / s)
    expected = mean + target * np.sqrt(1 - target**2 / sigma**2) * draws.normal("step", 2)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("predictor", ["reverse-diffusion", "probability-flow"])
def test_the_predictor_is_the_sampler_of_that_name(predictor):
    grid = time_grid(VP, 7, "karras")
    sampler = PredictorCorrector(predictor, corrector_steps=0)
    alone = ReverseDiffusion(predictor == "probability-flow")
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    assert any(0 < std < 1 for std in alone.plan(grid, VP).noise_std) or predictor == "probability-flow"
    for i in range(7):
        one = sampler.step(State(x), i, sampler.plan(grid, VP), denoise, Draws(x.shape)).x
        other = alone.step(State(x), i, alone.plan(grid, VP), denoise, Draws(x.shape)).x
        assert torch.equal(one, other)


def test_langevin_alone_leaves_x_between_levels_and_lands_on_the_denoised():
    grid = time_grid(VP, 4, "karras")
    sampler = LANGEVIN(corrector_steps=1, snr=1e-9)
    plan = sampler.plan(grid, VP)
    x = torch.full((1, 1, 1, 1), 2.0, dtype=torch.float64)
    for i in range(3):
        after = sampler.step(State(x), i, plan, denoise, Draws(x.shape)).x
        torch.testing.assert_close(after * grid.scale[i + 1], x * grid.scale[i], rtol=1e-6, atol=0)
    landed = sampler.step(State(x), 3, plan, denoise, Draws(x.shape)).x
    assert torch.equal(landed, denoise(x, float(grid.sigma[3])))
