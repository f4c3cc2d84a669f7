"""The likelihood as Score-SDE works it out: in x_t and the family's own time, by scipy's RK45."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from diffbench.diffusion.analytic import GaussianMixtureDenoiser
from diffbench.diffusion.likelihood import log_density
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import VE, VP, SubVP

SHAPE = (1, 1, 3)
MEANS = torch.tensor([[0.6, -0.2, 0.1], [-0.5, 0.4, 0.3]], dtype=torch.float64)
MIXTURE = GaussianMixtureDenoiser(torch.ones(2), MEANS.view(2, *SHAPE), torch.tensor([0.3, 0.2]))
X = torch.tensor([[0.4, 0.1, 0.0], [-0.4, 0.6, 0.2], [0.1, 0.0, 0.3]], dtype=torch.float64).view(3, *SHAPE)


def by_scipy(x_hat, schedule, signs):
    """Log-density of x_hat: dx = [f x - g^2 score / 2] dt and its divergence (Song et al. 2021, Eq. 13, 39 and 40)."""

    def right_side(t, state):
        sigma, scale = schedule.sigma(t), schedule.scale(t)
        x = torch.tensor(state[:-1]).view(1, *SHAPE).requires_grad_()
        x0 = MIXTURE(x / scale, torch.full((1,), sigma, dtype=torch.float64)).x0
        score = (scale * x0 - x) / (scale * sigma) ** 2
        rate = (schedule.drift(t) * x - 0.5 * schedule.diffusion_squared(t) * score).flatten()
        if signs is None:
            rows = [torch.autograd.grad(rate[i], x, retain_graph=True)[0].flatten()[i] for i in range(3)]
            divergence = sum(row.item() for row in rows)
        else:
            divergence = (torch.autograd.grad((rate * signs).sum(), x)[0].flatten() @ signs).item()
        return np.append(rate.detach().numpy(), divergence)

    scale = schedule.scale(schedule.t_end)
    state = np.append(x_hat.flatten().numpy() * scale, 0.0)
    solved = solve_ivp(right_side, (schedule.t_end, schedule.t_start), state, "RK45", rtol=1e-7, atol=1e-7)
    *x_t, gained = solved.y[:, -1]
    variance = schedule.high**2 if isinstance(schedule, VE) else 1.0
    prior = -0.5 * np.square(x_t).sum() / variance - 1.5 * math.log(2 * math.pi * variance)
    return prior + gained + 3 * math.log(scale)


@pytest.mark.parametrize("hutchinson", [False, True])
@pytest.mark.parametrize("schedule", [VP(t_end=1e-3), VP(t_end=1e-5), SubVP(t_end=0.02), VE(0.01, 16.0)])
def test_the_same_density_in_other_coordinates_by_another_solver(schedule, hutchinson):
    noise = NoiseSource(2, range(3), SHAPE) if hutchinson else None
    found = log_density(MIXTURE, X, schedule, noise, 1e-3).nats
    for row in range(3):
        signs = (
            None if noise is None else torch.where(noise.uniform("trace", 0)[row].flatten() < 0.5, -1.0, 1.0).double()
        )
        assert float(found[row]) == pytest.approx(by_scipy(X[row], schedule, signs), abs=2e-3)
