"""Trajectories equal diffusers' with the same network, noise and grid, wherever its schedulers are right."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler

from diffbench.diffusion.denoiser import NetworkDenoiser
from diffbench.diffusion.discrete import DiscreteDDPM
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.ddpm import DDPM, LearnedDDPM
from diffbench.samplers.exponential import DPMPP_2M
from diffbench.samplers.heun import Heun
from diffbench.samplers.integrate import integrate

# diffusers converts tensors to numpy in a way that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHAPE = (1, 6, 6)
BETAS = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}


def network(x, t):
    """A smooth stand-in for an epsilon network, of order one at every noise level."""
    phase = t.to(x.dtype).view(-1, 1, 1, 1) / 300
    return 0.8 * torch.tanh(x + 0.3 * torch.sin(3 * x + phase)) + 0.1 * torch.cos(phase)


def with_diffusers_own_alphas(scheduler):
    """A schedule of the scheduler's own float32 product, which is 8e-5 off in sigma at t = 0."""
    abar = scheduler.alphas_cumprod.double().numpy()
    schedule = DiscreteDDPM.from_betas("linear", 1e-4, 0.02, 1000)
    schedule.__dict__["betas"] = 1 - abar / np.concatenate([[1.0], abar[:-1]])
    return schedule


def ours(sampler, schedule, steps, noise):
    denoiser = NetworkDenoiser(network, schedule, "epsilon")
    return integrate(sampler, denoiser, time_grid(schedule, steps, "trailing"), schedule, noise)


def assert_close(mine, theirs, tolerance=1e-5):
    assert float((mine - theirs).abs().max() / theirs.abs().max()) <= tolerance


@pytest.fixture
def noise():
    return NoiseSource(3, range(5), SHAPE)


@pytest.mark.parametrize("steps", [5, 20, 50])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim(steps, eta, noise):
    scheduler = DDIMScheduler(**BETAS, timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(steps)
    x = noise.normal("start", 0)
    for i, t in enumerate(scheduler.timesteps):
        drawn = noise.normal("step", i) if eta else None
        x = scheduler.step(network(x, t.expand(5)), t, x, eta=eta, variance_noise=drawn).prev_sample
    assert_close(ours(DDIM(eta), with_diffusers_own_alphas(scheduler), steps, noise), x)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_ddpm(variance, noise, monkeypatch):
    """Diffusers leaves out the last noise only at t = 0, which a respaced grid never visits; DDPM has none there."""
    scheduler = DDPMScheduler(**BETAS, timestep_spacing="trailing", clip_sample=False, variance_type=variance)
    scheduler.set_timesteps(20)
    draws = iter([*(noise.normal("step", i) for i in range(19)), torch.zeros(5, *SHAPE)])
    module = "diffusers.schedulers.scheduling_ddpm.randn_tensor"
    monkeypatch.setattr(module, lambda *args, **kwargs: next(draws))
    x = noise.normal("start", 0)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t.expand(5)), t, x).prev_sample
    assert_close(ours(DDPM(variance), with_diffusers_own_alphas(scheduler), 20, noise), x)


@pytest.mark.parametrize("steps", [7, 50])
def test_ddpm_with_learned_variance(steps, noise, monkeypatch):
    """Diffusers calls it learned_range. Its timesteps are set: what is ``previous`` there does not know the spacing."""
    scheduler = DDPMScheduler(**BETAS, timestep_spacing="trailing", clip_sample=False, variance_type="learned_range")
    schedule = with_diffusers_own_alphas(scheduler)
    grid = time_grid(schedule, steps, "trailing")
    scheduler.set_timesteps(timesteps=[int(t) for t in grid.t[:-1]])
    draws = iter([*(noise.normal("step", i) for i in range(steps - 1)), torch.zeros(5, *SHAPE)])
    module = "diffusers.schedulers.scheduling_ddpm.randn_tensor"
    monkeypatch.setattr(module, lambda *args, **kwargs: next(draws))

    def doubled(x, t):
        return torch.cat([network(x, t), 1.3 * torch.sin(2 * x + t.to(x.dtype).view(-1, 1, 1, 1))], 1)

    x = noise.normal("start", 0)
    for t in scheduler.timesteps:
        x = scheduler.step(doubled(x, t.expand(5)), t, x).prev_sample
    denoiser = NetworkDenoiser(doubled, schedule, "epsilon", learned_variance=True)
    assert_close(integrate(LearnedDDPM(), denoiser, grid, schedule, noise), x)


@pytest.mark.parametrize("steps", [5, 20, 50])
def test_dpmpp_2m(steps, noise):
    """Diffusers falls back to first order only for the last step; so do we, since it lands on sigma = 0."""
    scheduler = DPMSolverMultistepScheduler(**BETAS, timestep_spacing="trailing", final_sigmas_type="zero")
    scheduler.set_timesteps(steps)
    x = noise.normal("start", 0)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t.expand(5)), t, x).prev_sample
    assert_close(ours(DPMPP_2M(), with_diffusers_own_alphas(scheduler), steps, noise), x)


@pytest.mark.parametrize("steps", [5, 20])
def test_heun(steps, noise):
    scheduler = HeunDiscreteScheduler(**BETAS, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    schedule = with_diffusers_own_alphas(scheduler)
    grid = time_grid(schedule, steps, "trailing")
    x = noise.normal("start", 0) / float(grid.scale[0])
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        x = scheduler.step(network(scaled, t.expand(5)), t, x).prev_sample
    assert_close(ours(Heun(), schedule, steps, noise), x, tolerance=2e-5)
