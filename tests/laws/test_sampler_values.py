"""Single steps against the papers' formulas, their integrals done by quadrature, on estimates that are just numbers."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.interpolate import lagrange

from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.schedule import schedule_from
from diffbench.samplers.integrate import State
from diffbench.samplers.sa_solver import SASolver

VE = schedule_from({"kind": "ve", "sigma_min": 0.05, "sigma_max": 20.0})
GRID = time_grid(VE, 6, "karras", "sigma_min")
ESTIMATES = [0.7, -0.4, 1.3, 0.2, -0.9, 0.5]
NOISES = [1.1, -0.3, 0.6, 1.7, -1.2, 0.4]


class Prepared:
    """Noise that is a number a step."""

    def normal(self, purpose, step, *interval):
        assert purpose == "step"
        return torch.full((1, 1, 1, 1), NOISES[step], dtype=torch.float64)


def stepped(sampler):
    """x after every step from x = 2, when the i-th evaluation gives the i-th estimate."""
    plan = sampler.plan(GRID, VE)
    state, reached = State(torch.full((1, 1, 1, 1), 2.0, dtype=torch.float64)), []
    for i, estimate in enumerate(ESTIMATES):
        given = torch.full((1, 1, 1, 1), estimate, dtype=torch.float64)
        state = sampler.step(state, i, plan, lambda x, sigma, given=given: given, Prepared())
        reached.append(float(state.x))
    return reached


def adams(tau, i, x, indices):
    """Xue et al. 2023 (SA-Solver), the solution over step i in x_hat, with D the polynomial through ``indices``."""
    lam = -np.log(GRID.sigma)
    rate, h = 1 + tau**2, lam[i + 1] - lam[i]
    polynomial = lagrange(lam[indices], np.array(ESTIMATES)[indices])
    moved = quad(lambda at: rate * np.exp(-rate * (lam[i + 1] - at)) * polynomial(at), lam[i], lam[i + 1], epsabs=1e-13)
    noise = GRID.sigma[i + 1] * np.sqrt(1 - np.exp(-2 * tau**2 * h)) * NOISES[i]
    return GRID.sigma[i + 1] / GRID.sigma[i] * np.exp(-(tau**2) * h) * x + moved[0] + noise


@pytest.mark.parametrize(("predictor", "corrector"), [(3, 4), (1, 0), (2, 1), (4, 2), (3, 3)])
@pytest.mark.parametrize("tau", [0.0, 0.6, 1.0, 1.5])
def test_sa_solver_integrates_the_polynomial_through_its_estimates(tau, predictor, corrector):
    """The corrector's polynomial takes the estimate at the predicted point, so it is one step behind."""
    low, high = GRID.sigma[4], GRID.sigma[1]  # both ends are inside
    sampler = SASolver(tau, low, high, predictor, corrector)
    x = before = 2.0
    expected = []
    for i in range(GRID.steps):
        inside = [tau if low <= sigma <= high else 0.0 for sigma in GRID.sigma]
        if corrector and i > 0:
            x = adams(inside[i - 1], i - 1, before, list(range(max(i + 1 - corrector, 0), i + 1)))
        before = x
        x = adams(inside[i], i, x, list(range(max(i + 1 - predictor, 0), i + 1)))
        expected.append(x)
    np.testing.assert_allclose(stepped(sampler), expected, rtol=1e-9, atol=1e-11)
