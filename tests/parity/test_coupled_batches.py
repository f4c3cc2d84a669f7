"""Batches coupled as the authors' code couples them: one error for all samples in RK45 and adaptive DPM-Solver.

Langevin's batch means: test_first_order_against_diffusers.py (ScoreSdeVe) and tests/laws/test_score_sde_samplers.py.
"""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from diffbench.diffusion.analytic import GaussianMixtureDenoiser
from diffbench.diffusion.denoiser import Counted
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import VE, VP, SubVP
from diffbench.samplers.dpm_adaptive import DPMAdaptive
from diffbench.samplers.integrate import integrate
from diffbench.samplers.runge_kutta import ProbabilityFlowRK45

SHAPE, COUNT = (2, 1, 1), 6
WEIGHTS, SCALES = np.array([0.5, 0.3, 0.2]), np.array([0.3, 0.4, 0.25])
MEANS = np.array([[1.0, 0.5], [-0.8, 0.9], [0.2, -1.1]])
MIXTURE = GaussianMixtureDenoiser(*(torch.from_numpy(a) for a in (WEIGHTS, MEANS.reshape(3, 2, 1, 1), SCALES)))


def noise():
    return NoiseSource(5, range(COUNT), SHAPE, dtype=torch.float64)


def score(x, alpha, std):
    """Gradient of the log density of x_t = alpha x0 + std n, for x (B, 2)."""
    total = (alpha * SCALES) ** 2 + std**2
    gaps = alpha * MEANS - x[:, None]
    logs = np.log(WEIGHTS / total) - 0.5 * (gaps**2).sum(-1) / total
    share = np.exp(logs - logs.max(1, keepdims=True))
    return ((share / share.sum(1, keepdims=True) / total)[..., None] * gaps).sum(1)


def vp(t, x):
    """dx/dt of the probability flow: Song et al. 2021 (Score-SDE), Eq. 13 of Eq. 11, with the marginals of Eq. 29."""
    beta, integral = 0.1 + 19.9 * t, 0.1 * t + 9.95 * t**2
    return -beta / 2 * x - beta / 2 * score(x, np.exp(-integral / 2), np.sqrt(1 - np.exp(-integral)))


def sub_vp(t, x):
    """The same of Eq. 12, whose deviation is 1 - exp(-integral)."""
    beta, integral = 0.1 + 19.9 * t, 0.1 * t + 9.95 * t**2
    diffusion = beta * (1 - np.exp(-2 * integral))
    return -beta / 2 * x - diffusion / 2 * score(x, np.exp(-integral / 2), 1 - np.exp(-integral))


def ve(t, x):
    """The same of Eq. 9."""
    sigma = 0.02 * 1000.0**t
    return -(sigma**2) * np.log(1000.0) * score(x, 1.0, sigma)


CASES = {"vp": (VP(0.1, 20.0), vp), "sub-vp": (SubVP(0.1, 20.0), sub_vp), "ve": (VE(0.02, 20.0), ve)}


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("name", CASES)
def test_coupled_rk45_is_scipys_solution_of_the_whole_batch(name, tolerance):
    """As score_sde_pytorch's get_ode_sampler calls it: one vector of all samples, hence one error and one step."""
    schedule, drift = CASES[name]
    grid = time_grid(schedule, 1, "linspace", "sigma_min")
    counted = Counted(MIXTURE)
    mine = integrate(ProbabilityFlowRK45(tolerance, tolerance, coupled=True), counted, grid, schedule, noise())
    start = noise().normal("start", 0).numpy().ravel() * (20.0 if name == "ve" else 1.0)
    theirs = solve_ivp(
        lambda t, x: drift(t, x.reshape(-1, 2)).ravel(), grid.t, start, "RK45", rtol=tolerance, atol=tolerance
    )
    assert counted.calls == theirs.nfev
    assert counted.samples_evaluated == COUNT * theirs.nfev
    expected = theirs.y[:, -1] / float(grid.scale[-1])
    np.testing.assert_allclose(mine.numpy().ravel(), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("name", ["vp", "ve"])
def test_coupled_dpm_adaptive_takes_the_largest_error_of_the_batch(name, order):
    """Dpm-solver's dpm_solver_adaptive, with its constants, in x_t."""
    schedule = CASES[name][0]
    grid = time_grid(schedule, 1, "linspace", "sigma_min")
    solver, counted = DPMAdaptive(order, coupled=True), Counted(MIXTURE)
    mine = integrate(solver, counted, grid, schedule, noise())

    def denoise(x, sigma):
        return MIXTURE(x, sigma).x0

    lam, end, h, tried = -np.log(grid.sigma[0]), -np.log(grid.sigma[1]), 0.05, 0
    x = noise().normal("start", 0) * (20.0 if name == "ve" else 1 / float(grid.scale[0]))
    x_before = x * float(grid.scale[0])
    while end - lam > 1e-12:
        h, tried = min(h, end - lam), tried + 1
        low, high = solver.pair(x, np.full(COUNT, lam), np.full(COUNT, h), denoise)
        scale = float(schedule.scale_of(np.exp(-lam - h)))
        size = torch.maximum((scale * low).abs(), x_before.abs()) * 0.05
        gap = (scale * (high - low) / size.clamp(min=0.0078)).flatten(1)
        error = float(gap.square().mean(1).sqrt().max())
        if error <= 1:
            lam, x, x_before = lam + h, high, scale * low
        h *= 0.9 * error ** (-1 / order)
    assert counted.samples_evaluated == order * COUNT * tried
    torch.testing.assert_close(mine, x, rtol=1e-9, atol=1e-10)
