"""Empirical global order of every ODE sampler on a Gaussian mixture: float64, fixed landing sigma, fixed start.

A method that remembers p estimates gets its first ones from the exact solution: its own start is of lower order, which
caps what can be seen.
"""

from functools import lru_cache

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.analytic import GaussianMixtureDenoiser
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import schedule_from
from diffbench.samplers.integrate import State, integrate
from diffbench.suite.identity import canonical_method

VE = schedule_from({"kind": "ve", "sigma_min": 0.02, "sigma_max": 20.0})
VP = schedule_from({"kind": "vp", "beta_min": 0.1, "beta_max": 20.0})
WEIGHTS, SCALES = np.array([0.5, 0.3, 0.2]), np.array([0.3, 0.4, 0.25])
MEANS = np.array([[1.0, 0.5], [-0.8, 0.9], [0.2, -1.1]])
START = NoiseSource(5, range(3), (2, 1, 1), dtype=torch.float64).normal("start", 0)

# Sampler, options, estimates that it remembers.
CASES = [
    ("ddim", {}, 0),
    ("edm-euler", {}, 0),
    ("heun", {}, 0),
    ("dpm-solver-2s", {}, 0),
    ("dpm-solver-3s", {}, 0),
    ("dpmpp-2s", {}, 0),
    ("dpmpp-3s", {}, 0),
    ("dpm-solver-2m", {}, 0),
    ("dpmpp-2m", {}, 0),
    *[
        (name, {"corrected": corrected, "lower_order_final": False}, 2)
        for name in ("dpm-solver-3m", "dpmpp-3m")
        for corrected in (False, True)
    ],
    *[
        ("unipc", {"order": order, "variant": variant, "lower_order_final": False}, order)
        for order in (1, 2, 3)
        for variant in ("bh1", "bh2")
    ],
    *[("deis", {"variable": "log-rho", "degree": degree}, degree) for degree in (1, 2, 3)],
    *[("deis", {"variable": "t", "degree": degree}, degree) for degree in (1, 2, 3)],
    *[("lms", {"order": order}, order - 1) for order in (2, 3, 4)],
    *[("ipndm", {"order": order}, order - 1) for order in (2, 3, 4)],
    ("pndm", {}, 0),
    ("pndm", {"warm_up": "heun"}, 0),
    ("reverse-diffusion", {"probability_flow": True}, 0),
    *[
        ("sa-solver", {"tau": 0.0, "predictor_order": predictor, "corrector_order": corrector}, known)
        for predictor, corrector, known in ((1, 0, 0), (3, 0, 2), (4, 0, 3), (3, 2, 2), (1, 2, 1), (2, 3, 2), (3, 4, 3))
    ],
]


def denoised(x, sigma):
    """E[x0 | x] of the mixture, for x (B, 2): written apart from the package's own."""
    total = SCALES**2 + sigma**2
    logs = np.log(WEIGHTS / total) - 0.5 * ((x[:, None] - MEANS) ** 2).sum(-1) / total
    share = np.exp(logs - logs.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    return (share * sigma**2 / total) @ MEANS + (share * SCALES**2 / total).sum(1, keepdims=True) * x


def denoise(x, sigma):
    return torch.from_numpy(denoised(x.numpy().reshape(-1, 2), sigma)).view_as(x)


def exact(sigmas):
    """x (3,2,1,1) at each of the decreasing ``sigmas``, from sigmas[0] * START."""

    def slope(lam, x):
        return -(x.reshape(-1, 2) - denoised(x.reshape(-1, 2), np.exp(-lam))).ravel()

    lam = -np.log(np.array(sigmas))
    begin = (sigmas[0] * START).numpy().ravel()
    solved = solve_ivp(slope, (lam[0], lam[-1]), begin, "DOP853", t_eval=lam, rtol=1e-13, atol=1e-14)
    return torch.from_numpy(solved.y.T.copy()).view(len(sigmas), *START.shape)


@lru_cache
def exact_start(schedule, steps, kind):
    grid = time_grid(schedule, steps, kind, "sigma_min")
    return grid, exact(np.append(grid.sigma[:4], grid.sigma[-1]))


def error(name, options, known, schedule, steps, kind):
    """Largest error at the end, from a start with ``known`` earlier estimates."""
    grid, solution = exact_start(schedule, steps, kind)
    sampler = load(SAMPLERS[name].target)(**options)
    plan = sampler.plan(grid, schedule)
    history = ()
    for k in range(known):
        x, sigma = solution[k], grid.sigma[k]
        estimate = denoise(x, sigma)
        history = ((x - estimate) / sigma if sampler.estimate == "noise" else estimate, *history)
    state = State(solution[known], history, solution[known - 1] * plan.x_weight[known - 1] if known else None)
    for i in range(known, steps):
        state = sampler.step(state, i, plan, denoise, None)
    return float((state.x - solution[-1]).abs().max())


def slope(errors, steps):
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.parametrize("schedule", [VE, VP], ids=["ve", "vp"])
@pytest.mark.parametrize(("name", "options", "known"), CASES, ids=str)
def test_order(name, options, known, schedule):
    entry = SAMPLERS[name]
    order = entry.order_of(entry.options(**options))
    steps = [480, 960, 1920] if order == 4 else [160, 320, 640]
    errors = [error(name, options, known, schedule, n, "karras") for n in steps]
    assert min(errors) > 1e-11
    assert abs(slope(errors, steps) - order) <= 0.15, (slope(errors, steps), errors)


def test_every_variant_that_solves_the_ode_states_its_order_and_is_there(variant):
    name, options = canonical_method(*variant)
    entry = SAMPLERS[name]
    typed = entry.options(**options)
    if entry.stochastic(typed):
        return
    assert entry.order_of(typed) is not None
    orders = {entry.order_of(entry.options(**options)) for tested, options, _ in CASES if tested == name}
    assert entry.order_of(typed) in orders


@pytest.mark.parametrize("name", ["dpm-solver-3m", "dpmpp-3m", "unipc"])
def test_lower_order_final_lowers_the_order_near_the_end(name):
    """And only there: with as many steps as the order nothing but the last ones differs."""
    plans = []
    for lower in (True, False):
        grid = time_grid(VE, 9, "karras")
        options = {"lower_order_final": lower, **({"order": 3} if name == "unipc" else {})}
        plans.append(load(SAMPLERS[name].target)(**options).plan(grid, VE).weights)
    used = [(plan != 0).sum(axis=1).tolist() for plan in plans]
    assert used == [[1, 2, 3, 3, 3, 3, 3, 2, 1], [1, 2, 3, 3, 3, 3, 3, 3, 1]]


@pytest.mark.parametrize("name", ["ddim", "heun", "dpmpp-2m", "unipc", "deis", "lms", "pndm", "dpmpp-3s"])
def test_whole_runs_converge_with_the_packages_own_denoiser(name):
    """From the first step on, through the integrator: to the same solution."""
    mixture = GaussianMixtureDenoiser(*(torch.from_numpy(a) for a in (WEIGHTS, MEANS.reshape(3, 2, 1, 1), SCALES)))
    grid, solution = exact_start(VE, 160, "log-snr")
    noise = NoiseSource(5, range(3), (2, 1, 1), dtype=torch.float64)
    landed = integrate(load(SAMPLERS[name].target)(), mixture, grid, VE, noise)
    tolerance = 0.03 if name == "ddim" else 5e-4
    assert float((landed - solution[-1]).abs().max()) < tolerance
