"""Whole runs of multistep and singlestep samplers, step by step, against the papers' formulas."""

import numpy as np
import pytest
import torch
from published_steps import (
    GRIDS,
    NOISES,
    VE,
    VP,
    Run,
    adams,
    estimate,
    in_log_sigma,
    in_sigma,
    in_time,
    ipndm,
    multistep,
    pndm,
    sa_solver,
    singlestep,
    unipc,
)

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.denoiser import Denoised
from diffbench.samplers.integrate import integrate


class Prepared:
    """Noise that is a number a step, and a start that is x_hat = 2."""

    def __init__(self, grid):
        self.start = 2.0 / (grid.sigma[0] if grid.scale[0] == 1 else 1 / grid.scale[0])

    def normal(self, purpose, step, *interval):
        value = self.start if purpose == "start" else NOISES[step]
        return torch.full((1, 1, 1, 1), value, dtype=torch.float64)


def reached(name, options, schedule, final):
    """x after every step."""
    grid, path = GRIDS[schedule, final], []

    def denoiser(x, sigma):
        return Denoised(torch.full_like(x, estimate(float(x), float(sigma))))

    sampler = load(SAMPLERS[name].target)(**options)
    integrate(sampler, denoiser, grid, schedule, Prepared(grid), lambda i, x: path.append(float(x)))
    return path


CASES = [
    ("dpm-solver-2m", {}, multistep("noise", 2, lower_final=False)),
    ("dpmpp-2m", {}, multistep("data", 2, lower_final=False)),
    ("sde-dpmpp-2m", {}, multistep("sde", 2, lower_final=False)),
    *[
        (name, {"corrected": corrected, "lower_order_final": lower}, multistep(kind, 3, corrected, lower))
        for name, kind in (("dpm-solver-3m", "noise"), ("dpmpp-3m", "data"), ("sde-dpmpp-3m", "sde"))
        for corrected, lower in ((False, True), (True, False))
    ],
    *[
        ("unipc", {"order": order, "variant": variant}, unipc(order, variant))
        for order in (1, 2, 3)
        for variant in ("bh1", "bh2")
    ],
    *[("lms", {"order": order}, adams(order, in_sigma)) for order in (2, 3, 4)],
    ("deis", {"variable": "rho", "degree": 2}, adams(3, in_sigma)),
    *[("deis", {"variable": "log-rho", "degree": degree}, adams(degree + 1, in_log_sigma)) for degree in (1, 2, 3)],
    *[("deis", {"variable": "t", "degree": degree}, adams(degree + 1, in_time)) for degree in (1, 2, 3)],
    *[("ipndm", {"order": order}, ipndm(order)) for order in (2, 3, 4)],
    *[("pndm", {"warm_up": warm_up}, pndm(warm_up)) for warm_up in ("runge-kutta", "heun")],
    *[(f"dpm-solver-{order}s", {}, singlestep("noise", order)) for order in (2, 3)],
    *[(f"dpmpp-{order}s", {}, singlestep("data", order)) for order in (2, 3)],
]


@pytest.mark.parametrize("final", ["sigma_min", "denoise"])
@pytest.mark.parametrize("schedule", [VE, VP], ids=["ve", "vp"])
@pytest.mark.parametrize(("name", "options", "step"), CASES)
def test_every_step_is_the_published_one(name, options, step, schedule, final):
    expected = Run(schedule, final).path(step, name in ("lms", "ipndm", "pndm") or options.get("variable") == "rho")
    np.testing.assert_allclose(reached(name, options, schedule, final), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("predictor", "corrector"), [(3, 4), (1, 0), (1, 1), (2, 1), (4, 2), (3, 3)])
@pytest.mark.parametrize("tau", [0.0, 0.6, 1.0, 1.5])
def test_sa_solver_integrates_the_polynomial_through_its_estimates(tau, predictor, corrector):
    """The corrector's polynomial takes the estimate at the predicted point, so it is one step behind."""
    sigma = GRIDS[VE, "sigma_min"].sigma
    options = {"tau": tau, "s_min": sigma[4], "s_max": sigma[1]}
    options |= {"predictor_order": predictor, "corrector_order": corrector}
    expected = Run(VE, "sigma_min").path(sa_solver(predictor, corrector, tau))
    np.testing.assert_allclose(reached("sa-solver", options, VE, "sigma_min"), expected, rtol=1e-8, atol=1e-10)
