"""Exact mean and covariance of what samplers make of correlated Gaussian data, against the papers' own steps.

On Gaussian data D is affine, so x is an affine function of the normals drawn. Row 0 of a batch is run without any
noise, which gives the mean; in each other row one normal is 1, which gives what x depends on it by. The reference is
the published step in x_t, or in sigma where the paper has it so, on the same rows: nothing is sampled.
"""

import numpy as np
import pytest
import torch

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.analytic import GaussianDenoiser
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.schedule import schedule_from
from diffbench.samplers.integrate import integrate

CHAIN = schedule_from({"kind": "ddpm", "betas": "linear", "beta_start": 1e-4, "beta_end": 0.02, "steps": 1000})
VP = schedule_from({"kind": "vp", "beta_min": 0.1, "beta_max": 20.0})
SUBVP = schedule_from({"kind": "subvp", "beta_min": 0.1, "beta_max": 20.0})
VE = schedule_from({"kind": "ve", "sigma_min": 0.05, "sigma_max": 20.0})
MEAN, COVARIANCE = np.array([0.4, -0.7]), np.array([[0.5, 0.2], [0.2, 0.3]])
GAUSSIAN = GaussianDenoiser(torch.from_numpy(MEAN).view(2, 1, 1), torch.from_numpy(COVARIANCE))
STEPS = 7
ROWS = 1 + 2 * (STEPS + 1)


def drawn(index):
    """Rows (ROWS, 2) of the ``index``-th pair of normals; the start is the 0-th, step i the (i + 1)-th."""
    rows = np.zeros((ROWS, 2))
    rows[[1 + 2 * index, 2 + 2 * index], [0, 1]] = 1.0
    return rows


class Units:
    def normal(self, purpose, step, *interval):
        assert purpose in ("start", "step", "churn")
        return torch.from_numpy(drawn(0 if purpose == "start" else step + 1)).view(ROWS, 2, 1, 1)


def denoised(x, sigma):
    """E[x0 | x_hat = x], row by row."""
    gain = COVARIANCE @ np.linalg.inv(COVARIANCE + sigma**2 * np.eye(2))
    return MEAN + (x - MEAN) @ gain.T


def moments(x):
    """Mean (2,) and covariance (2, 2) of the rows (ROWS, 2)."""
    parts = x[1:] - x[0]
    return x[0], parts.T @ parts


def ddim(grid, x, i, z, eta):
    """DDIM, Eq. 12 and 16, in x_t with alpha-bar."""
    abar, abar_p = grid.scale[i] ** 2, grid.scale[i + 1] ** 2
    x0 = denoised(x / grid.scale[i], grid.sigma[i])
    noise = (x - np.sqrt(abar) * x0) / np.sqrt(1 - abar)
    std = eta * np.sqrt((1 - abar_p) / (1 - abar)) * np.sqrt(1 - abar / abar_p)
    return np.sqrt(abar_p) * x0 + np.sqrt(1 - abar_p - std**2) * noise + std * z


def ancestral(grid, x, i, z, large):
    """DDPM, Algorithm 2 with Eq. 7 and the two variances of section 3.2, for a chain of the grid's points."""
    abar, abar_p = grid.scale[i] ** 2, grid.scale[i + 1] ** 2
    beta = 1 - abar / abar_p
    x0 = denoised(x / grid.scale[i], grid.sigma[i])
    mean = (np.sqrt(abar_p) * beta * x0 + np.sqrt(1 - beta) * (1 - abar_p) * x) / (1 - abar)
    return mean + np.sqrt(beta if large else beta * (1 - abar_p) / (1 - abar)) * z * (grid.sigma[i + 1] > 0)


def euler_maruyama(grid, x, i, z, schedule):
    """Score-SDE, Eq. 6."""
    t, dt, s, sigma = grid.t[i], grid.t[i + 1] - grid.t[i], grid.scale[i], grid.sigma[i]
    g2 = schedule.diffusion_squared(t)
    score = (s * denoised(x / s, sigma) - x) / (s * sigma) ** 2
    return x + (schedule.drift(t) * x - g2 * score) * dt + np.sqrt(-g2 * dt) * z * (i + 1 < STEPS)


def reverse_diffusion(grid, x, i, z, flow):
    """Score-SDE, Eq. 46 with the chain of Eq. 8 or 10; D.3's probability flow."""
    q = grid.scale[i] / grid.scale[i + 1]
    gain = (grid.scale[i] * grid.sigma[i]) ** 2 - (q * grid.scale[i + 1] * grid.sigma[i + 1]) ** 2
    score = (grid.scale[i] * denoised(x / grid.scale[i], grid.sigma[i]) - x) / (grid.scale[i] * grid.sigma[i]) ** 2
    noise = 0.0 if flow or i + 1 == STEPS else np.sqrt(gain) * z
    return (2 - q) * x + (0.5 if flow else 1.0) * gain * score + noise


def ve_ancestral(grid, x, i, z):
    """Score-SDE, Eq. 47."""
    high, low = grid.sigma[i] ** 2, grid.sigma[i + 1] ** 2
    score = (denoised(x, grid.sigma[i]) - x) / high
    return x + (high - low) * score + np.sqrt(low * (high - low) / high) * z


def euler(grid, x, i, z):
    """EDM, Algorithm 1 without its correction."""
    return x + (grid.sigma[i + 1] - grid.sigma[i]) * (x - denoised(x, grid.sigma[i])) / grid.sigma[i]


def churned(grid, x, i, z, second_order, s_churn, s_min, s_max, s_noise):
    """EDM, Algorithm 2."""
    t, target = grid.sigma[i], grid.sigma[i + 1]
    gamma = min(s_churn / STEPS, np.sqrt(2) - 1) if s_min <= t <= s_max else 0.0
    higher = t + gamma * t
    x = x + np.sqrt(higher**2 - t**2) * s_noise * z
    slope = (x - denoised(x, higher)) / higher
    after = x + (target - higher) * slope
    if not second_order or target == 0:
        return after
    return x + (target - higher) * (slope + (after - denoised(after, target)) / target) / 2


def down_up(grid, i, eta):
    """k-diffusion, get_ancestral_step."""
    t, target = grid.sigma[i], grid.sigma[i + 1]
    up = min(target, eta * np.sqrt(target**2 * (t**2 - target**2) / t**2))
    return np.sqrt(target**2 - up**2), up


def dpm2_ancestral(grid, x, i, z, eta):
    """k-diffusion, sample_dpm_2_ancestral; onto sigma = 0 an Euler step."""
    t, (down, up) = grid.sigma[i], down_up(grid, i, eta)
    slope = (x - denoised(x, t)) / t
    if down == 0:
        return x + (down - t) * slope
    middle = np.sqrt(t * down)
    halfway = x + (middle - t) * slope
    return x + (down - t) * (halfway - denoised(halfway, middle)) / middle + up * z


def dpmpp_2s_ancestral(grid, x, i, z, eta):
    """k-diffusion, sample_dpmpp_2s_ancestral; onto sigma = 0 an Euler step."""
    t, (down, up) = grid.sigma[i], down_up(grid, i, eta)
    first = denoised(x, t)
    if down == 0:
        return first
    h = np.log(t / down)
    middle = np.exp(-h / 2) * x - np.expm1(-h / 2) * first
    return np.exp(-h) * x - np.expm1(-h) * denoised(middle, np.sqrt(t * down)) + up * z


IN_X_T = {"ddim", "ddpm", "ddim-sigma-hat", "euler-maruyama", "reverse-diffusion"}
CHURN = {"s_churn": 1.4, "s_min": 0.3, "s_max": 9.0, "s_noise": 1.007}
CASES = [
    *[("ddim", {"eta": eta}, schedule, ddim, (eta,)) for eta in (0.0, 0.4, 1.0) for schedule in (CHAIN, VP)],
    *[("ddpm", {"variance": "fixed_small"}, schedule, ancestral, (False,)) for schedule in (CHAIN, VP)],
    *[("ddpm", {"variance": "fixed_large"}, schedule, ancestral, (True,)) for schedule in (CHAIN, VP)],
    ("ddim-sigma-hat", {}, CHAIN, ancestral, (True,)),
    ("ddim", {"eta": 1.0}, CHAIN, ancestral, (False,)),
    ("ddim", {"eta": 0.0}, VE, euler, ()),
    ("euler", {}, VE, euler, ()),
    *[("euler-maruyama", {}, schedule, euler_maruyama, (schedule,)) for schedule in (VP, SUBVP, VE)],
    *[("reverse-diffusion", {}, schedule, reverse_diffusion, (False,)) for schedule in (CHAIN, VP, SUBVP, VE)],
    *[("reverse-diffusion", {"probability_flow": True}, s, reverse_diffusion, (True,)) for s in (CHAIN, VE)],
    ("ve-ancestral", {}, VE, ve_ancestral, ()),
    ("euler-ancestral", {}, VE, ve_ancestral, ()),
    ("sde-dpmpp-1", {}, VE, ve_ancestral, ()),
    ("edm-euler", CHURN, VE, churned, (False, *CHURN.values())),
    ("heun", CHURN, VE, churned, (True, *CHURN.values())),
    ("heun", {**CHURN, "s_churn": 100.0}, VE, churned, (True, 100.0, 0.3, 9.0, 1.007)),
    *[("dpm2-ancestral", {"eta": eta}, VE, dpm2_ancestral, (eta,)) for eta in (0.6, 1.0)],
    *[("dpmpp-2s-ancestral", {"eta": eta}, VE, dpmpp_2s_ancestral, (eta,)) for eta in (0.6, 1.0)],
]


@pytest.mark.parametrize("final", ["denoise", "sigma_min"])
@pytest.mark.parametrize(("name", "options", "schedule", "step", "more"), CASES)
def test_mean_and_covariance_are_those_of_the_published_steps(name, options, schedule, step, more, final):
    grid = time_grid(schedule, STEPS, "karras", final)
    scaled = name in IN_X_T
    x = drawn(0) * (grid.sigma[0] if schedule is VE else 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(STEPS):
            x = step(grid, x, i, drawn(i + 1), *more)
    mean, covariance = moments(x / (grid.scale[-1] if scaled else 1.0))
    sampled = integrate(load(SAMPLERS[name].target)(**options), GAUSSIAN, grid, schedule, Units())
    got_mean, got_covariance = moments(sampled.view(ROWS, 2).numpy())
    np.testing.assert_allclose(got_mean, mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got_covariance, covariance, rtol=1e-9, atol=1e-9)
