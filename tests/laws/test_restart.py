"""Restart sampling: where the stretch lies, and that it keeps the marginals."""

import numpy as np
import pytest
import torch

from diffbench.diffusion.denoiser import Denoised
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.schedule import schedule_from
from diffbench.samplers.integrate import integrate
from diffbench.samplers.restart import Restart

VE = schedule_from({"kind": "ve", "sigma_min": 0.01, "sigma_max": 20.0})


def test_the_stretch_begins_at_the_nearest_grid_point_and_spans_the_ratio_asked_for():
    grid = time_grid(VE, 12, "karras")
    plan = Restart(s_min=0.1, s_max=0.5, restart_steps=4).plan(grid, VE)
    low = grid.sigma[plan.after + 1]
    others = grid.sigma[1:-1]
    assert abs(np.log(low / 0.1)) == np.abs(np.log(others / 0.1)).min()
    assert (plan.stretch[0], plan.stretch[-1]) == (pytest.approx(5 * low), low)
    roots = plan.stretch ** (1 / 7)
    np.testing.assert_allclose(np.diff(roots), np.diff(roots)[0], rtol=1e-10)
    top = Restart(s_min=0.1, s_max=1e4).plan(grid, VE).stretch
    assert top[0] == 20.0


def heuns_step(x, sigma, target, variance):
    """On Gaussian data, where dx/dsigma = sigma x / (sigma^2 + variance)."""
    slope = sigma * x / (sigma**2 + variance)
    ahead = x + (target - sigma) * slope
    return x + (target - sigma) * (slope + target * ahead / (target**2 + variance)) / 2


def test_a_run_is_the_papers_algorithm():
    """Xu et al. 2023, Algorithm 2, written out for one stretch and numbers in place of images."""
    grid = time_grid(VE, 8, "karras", "sigma_min")
    where, low, variance = 5, grid.sigma[5], 0.5
    high = 4 * low
    noises = {("start", 0): 1.2, ("churn", 0): -0.7, ("churn", 1): 1.9}

    class Prepared:
        def normal(self, purpose, step, *interval):
            return torch.full((1, 1, 1, 1), noises[purpose, step], dtype=torch.float64)

    def denoiser(x, sigma):
        return Denoised(variance / (variance + float(sigma[0]) ** 2) * x)

    x = grid.sigma[0] * 1.2
    for i in range(8):
        x = heuns_step(x, grid.sigma[i], grid.sigma[i + 1], variance)
        if i + 1 == where:
            share = np.linspace(0, 1, 4)
            stretch = (high ** (1 / 7) + share * (low ** (1 / 7) - high ** (1 / 7))) ** 7
            for k in (0, 1):
                x += np.sqrt(high**2 - low**2) * noises["churn", k]
                for sigma, target in zip(stretch[:-1], stretch[1:], strict=True):
                    x = heuns_step(x, sigma, target, variance)
    sampler = Restart(s_min=1.01 * low, s_max=4.04 * low, restart_steps=3, iterations=2)
    landed = integrate(sampler, denoiser, grid, VE, Prepared())
    assert float(landed) == pytest.approx(x, rel=1e-12)


def test_a_single_step_onto_the_data_has_no_restart():
    plan = Restart().plan(time_grid(VE, 1, "karras"), VE)
    assert plan.after is None and len(plan.stretch) == 0


@pytest.mark.parametrize("iterations", [1, 3])
def test_restarts_keep_the_variance_of_gaussian_data(iterations):
    """Every noise is a unit vector of its own, so the squared length is the variance: exact but for Heun's error."""

    class Coefficients:
        def normal(self, purpose, step, *interval):
            vector = torch.zeros(1, 5, 1, 1, dtype=torch.float64)
            vector[0, 0 if purpose == "start" else 1 + step] = 1.0
            return vector

    def denoiser(x, sigma):
        return Denoised(0.5 / (0.5 + float(sigma[0]) ** 2) * x)

    grid = time_grid(VE, 200, "karras", "sigma_min")
    sampler = Restart(s_min=0.5, s_max=5.0, restart_steps=100, iterations=iterations)
    x = integrate(sampler, denoiser, grid, VE, Coefficients())
    start = 0.5 + grid.sigma[-1] ** 2
    missing = 0.5 / (grid.sigma[0] ** 2 + 0.5)  # the start lacks the variance of the data
    assert float((x**2).sum()) == pytest.approx(start, rel=missing + 1e-3)
    assert int((x != 0).sum()) == 1 + iterations
