"""Runs of our samplers and of diffusers' schedulers with the same network, noise and noise levels.

Every one of our samplers in tests/parity passes through ``adjust``: tests/parity/nudge_coefficients.py changes
coefficients there and looks whether a test notices.
"""

import numpy as np
import torch

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.denoiser import NetworkDenoiser
from diffbench.diffusion.discrete import DiscreteDDPM
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import VE
from diffbench.samplers.integrate import integrate

SHAPE = (1, 6, 6)
BETAS = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
TRAILING = {**BETAS, "timestep_spacing": "trailing"}


def adjust(sampler):
    """What is compared: the sampler as it is."""
    return sampler


def source():
    return NoiseSource(3, range(5), SHAPE)


def bounded(x, t):
    """A smooth network, of order one at every noise level."""
    phase = t.to(x.dtype).view(-1, 1, 1, 1) / 300
    return 0.8 * torch.tanh(x + 0.3 * torch.sin(3 * x + phase)) + 0.1 * torch.cos(phase)


def network(x, t):
    """An epsilon network that leads to data of order one: that of N(0, 1) for ``BETAS``, and a third of a sine more."""
    share = (t.to(x.dtype).view(-1, 1, 1, 1) + 1) / 1000
    own = (-torch.expm1(-(0.1 + 9.95 * share) * share)).sqrt()
    return own * x + 0.3 * torch.sin(2 * x + 3 * share)


def timeless(x, t):
    """For schedulers that round the times of their noise levels."""
    return network(x, torch.full_like(t, 400.0))


def schedule_of(scheduler):
    """A schedule of the scheduler's own float32 product, which is 8e-5 off in sigma at t = 0."""
    abar = scheduler.alphas_cumprod.double().numpy()
    schedule = DiscreteDDPM.from_betas("linear", 1e-4, 0.02, 1000)
    schedule.__dict__["betas"] = 1 - abar / np.concatenate([[1.0], abar[:-1]])
    return schedule


def grid_of(schedule, steps, final="denoise", kind="trailing"):
    """For ``sigma_min`` with the sigma of t = 0 as one more point."""
    grid = time_grid(schedule, steps, kind)
    if final == "denoise":
        return grid
    sigmas = (*grid.sigma[:-1].tolist(), schedule.sigma_min)
    return time_grid(schedule, steps, "explicit", "sigma_min", sigmas=sigmas)


def run(name, options, denoiser, grid, schedule):
    """Our sampler's x_hat at the end."""
    sampler = load(SAMPLERS[name].target)(**options) if isinstance(name, str) else name
    return integrate(adjust(sampler), denoiser, grid, schedule, source())


def ours(name, options, schedule, grid, net=network):
    return run(name, options, NetworkDenoiser(net, schedule, "epsilon"), grid, schedule)


def theirs(scheduler, steps, scaled=False, noise=False, net=network, calls=None, precise=False, **step):
    """The scheduler's sample in its own variable; ``scaled``: that is x_hat, otherwise x_t.

    ``precise``: it works its coefficients out in float64, from its float32 sigmas.
    """
    scheduler.set_timesteps(steps)
    if precise:
        scheduler.sigmas = scheduler.sigmas.double()
    first = float(schedule_of(scheduler).scale(float(scheduler.timesteps[0])))
    x = source().normal("start", 0) / (first if scaled else 1.0)
    for i, t in enumerate(scheduler.timesteps[:calls]):
        entering = scheduler.scale_model_input(x, t) if scaled else x
        extra = {"variance_noise": source().normal("step", i)} if noise else {}
        x = scheduler.step(net(entering, t.expand(5)), t, x, **extra, **step).prev_sample
    return x


def distance(mine, theirs):
    """max|dx| / max|x|."""
    return float((mine - theirs).abs().max() / theirs.abs().max())


def assert_close(mine, theirs, tolerance=1e-5):
    found = distance(mine, theirs)
    assert found <= tolerance, found


def in_x_t(x_hat, grid):
    return x_hat * float(grid.scale[-1])


def feed(monkeypatch, module, draws):
    """Let a scheduler draw these instead of its own noise."""
    draws = iter(draws)
    monkeypatch.setattr(f"diffusers.schedulers.{module}.randn_tensor", lambda *args, **kwargs: next(draws))


def steps_of_noise(count):
    return [source().normal("step", i) for i in range(count)]


# EDM's schedulers: x_hat itself, a network with EDM's preconditioning, sigmas of their own.

EDM_RANGE = VE(0.001, 100.0)


def edm_ours(name, options, scheduler):
    """On the scheduler's own sigmas."""
    sigmas = tuple(scheduler.sigmas[:-1].double().tolist())
    grid = time_grid(EDM_RANGE, len(sigmas), "explicit", sigmas=sigmas)
    denoiser = NetworkDenoiser(
        bounded, EDM_RANGE, "edm", time_scale=0.25, conditioning="log-sigma", sigma_data=scheduler.config.sigma_data
    )
    return run(name, options, denoiser, grid, EDM_RANGE)


def edm_theirs(scheduler, steps):
    """From sigma_max n, without the scheduler's own sqrt(sigma_max^2 + 1)."""
    scheduler.set_timesteps(steps)
    x = source().normal("start", 0) * float(scheduler.sigmas[0])
    for t in scheduler.timesteps:
        x = scheduler.step(bounded(scheduler.scale_model_input(x, t), t.expand(5)), t, x).prev_sample
    return x
