"""Brownian noise: exact marginals, independence, one path for all grids, and samples that follow it."""

import math

import numpy as np
import pytest
import torch

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.analytic import GaussianDenoiser, GaussianMixtureDenoiser
from diffbench.diffusion.brownian import BrownianNoise
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import VE
from diffbench.samplers.integrate import integrate

SCHEDULE = VE(0.05, 20.0)


def source(count=1, elements=1, seed=4):
    return NoiseSource(seed, range(count), (elements, 1, 1), dtype=torch.float64)


def grid_of(steps):
    return time_grid(SCHEDULE, steps, "log-snr", "sigma_min")


def increments(grid, noise):
    """W(u_{i+1}) - W(u_i) of every step, (N, B, C)."""
    u = 1 / grid.sigma**2
    return torch.stack([noise.normal("step", i) * math.sqrt(u[i + 1] - u[i]) for i in range(grid.steps)]).flatten(2)


def test_steps_are_independent_standard_normals():
    noise = BrownianNoise(source(4, 5000), grid_of(5))
    drawn = torch.stack([noise.normal("step", i) for i in range(5)]).flatten(1)
    covariance = drawn @ drawn.T / drawn.shape[1]
    assert float((covariance - torch.eye(5, dtype=torch.float64)).abs().max()) < 4 * math.sqrt(2 / drawn.shape[1])


def test_finer_grids_follow_the_same_path():
    coarse, fine = grid_of(6), grid_of(24)
    rough = increments(coarse, BrownianNoise(source(3, 4), coarse))
    split = increments(fine, BrownianNoise(source(3, 4), fine)).view(6, 4, 3, 4).sum(1)
    # Points are taken for the nearest of the path, a relative 1e-5 away.
    assert float((rough - split).abs().max() / rough.abs().max()) < 0.02


def test_it_depends_on_the_sample_and_seed_alone():
    grid = grid_of(7)
    whole = [BrownianNoise(source(4, 6), grid).normal("step", i) for i in range(7)]
    later = BrownianNoise(NoiseSource(4, [3, 1], (6, 1, 1), dtype=torch.float64), grid)
    for i in range(7):
        assert torch.equal(later.normal("step", i), whole[i][[3, 1]])
    other = BrownianNoise(source(4, 6, seed=5), grid)
    assert not torch.equal(other.normal("step", 0), whole[0])


def test_other_purposes_and_steps_too_short_for_the_path_have_noise_of_their_own():
    grid = time_grid(SCHEDULE, 3, "explicit", "sigma_min", sigmas=(5.0, 4.0, 4.0 * (1 - 1e-7), 1.0))
    noise = BrownianNoise(source(), grid)
    assert torch.equal(noise.normal("start", 0), source().normal("start", 0))
    assert torch.equal(noise.normal("step", 1), source().normal("step", 1))


@pytest.mark.parametrize("name", ["euler-ancestral", "sde-dpmpp-1", "sde-dpmpp-2m", "sde-dpmpp-3m", "sa-solver"])
def test_for_one_data_point_all_step_counts_end_at_the_same_samples(name):
    """Their noise is exactly the path's, and there is no other error."""
    point = GaussianDenoiser(torch.full((2, 1, 1), 0.7, dtype=torch.float64), 0.0)
    ends = [
        integrate(load(SAMPLERS[name].target)(brownian=True), point, grid_of(steps), SCHEDULE, source(5, 2))
        for steps in (4, 8, 64)
    ]
    spread = float((ends[0] - 0.7).abs().max())
    for other in ends[1:]:
        assert float((other - ends[0]).abs().max()) < 1e-3 * spread


@pytest.mark.parametrize("name", ["euler-ancestral", "dpm2-ancestral", "dpmpp-2s-ancestral", "reverse-diffusion"])
def test_samples_converge_along_the_path(name):
    mixture = GaussianMixtureDenoiser(
        torch.tensor([0.6, 0.4], dtype=torch.float64),
        torch.tensor([[1.0, 0.5], [-0.8, 0.9]], dtype=torch.float64).view(2, 2, 1, 1),
        torch.tensor([0.3, 0.4], dtype=torch.float64),
    )
    sampler = load(SAMPLERS[name].target)(brownian=True)
    ends = [integrate(sampler, mixture, grid_of(steps), SCHEDULE, source(6, 2)) for steps in (16, 64, 256)]
    gaps = [float((a - b).square().mean().sqrt()) for a, b in zip(ends, ends[1:], strict=False)]
    assert gaps[1] < 0.7 * gaps[0] and gaps[1] < 0.1, gaps


def test_the_path_costs_few_draws_a_step():
    drawn = []

    class Listening(NoiseSource):
        def normal(self, purpose, step, *interval):
            drawn.append(step)
            return super().normal(purpose, step, *interval)

    grid = grid_of(32)
    noise = BrownianNoise(Listening(4, [0], (1, 1, 1)), grid)
    for i in range(32):
        noise.normal("step", i)
        assert len(noise._known) <= 2 * 21 + 1
    assert len(drawn) == len(set(drawn)) <= 21 * 33
    assert np.all(np.array(drawn) <= 2**20)
