"""Laws of the exact denoisers: Tweedie's formula, the probability-flow ODE, and the families' equivalence."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from diffbench.diffusion.analytic import EmpiricalDenoiser, GaussianDenoiser, GaussianMixtureDenoiser
from diffbench.diffusion.denoiser import NetworkDenoiser
from diffbench.diffusion.schedule import VE, VP, DiscreteDDPM, LinearFlow, SubVP

SHAPE = (1, 2, 2)
SIGMA = torch.tensor([0.02, 0.3, 1.0, 5.0, 40.0], dtype=torch.float64)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance():
    root = draw(4, 4, seed=3)
    return root @ root.T / 4 + 0.1 * torch.eye(4, dtype=torch.float64)


MEAN = draw(*SHAPE, seed=2)
GAUSSIAN = GaussianDenoiser(MEAN, covariance())
MIXTURE = GaussianMixtureDenoiser(
    torch.tensor([0.2, 0.3, 0.5]), draw(3, *SHAPE, seed=4), torch.tensor([0.3, 0.05, 1.2])
)
EMPIRICAL = EmpiricalDenoiser(draw(20, *SHAPE, seed=5))


@pytest.mark.parametrize("denoiser", [GAUSSIAN, MIXTURE, EMPIRICAL], ids=lambda d: type(d).__name__)
def test_tweedie(denoiser):
    x = (draw(5, *SHAPE, seed=6) * (1 + SIGMA.view(-1, 1, 1, 1))).requires_grad_()
    (score,) = torch.autograd.grad(denoiser.log_density(x, SIGMA).sum(), x)
    with torch.no_grad():
        expected = x + SIGMA.view(-1, 1, 1, 1) ** 2 * score
        torch.testing.assert_close(denoiser(x, SIGMA).x0, expected, rtol=1e-9, atol=1e-9)


def test_the_gaussian_flow_solves_the_probability_flow_ode():
    x = MEAN + 20 * draw(1, *SHAPE, seed=7)

    def slope(sigma, state):
        at = torch.tensor([sigma], dtype=torch.float64)
        x_hat = torch.from_numpy(state).view(1, *SHAPE)
        return ((x_hat - GAUSSIAN(x_hat, at).x0) / sigma).flatten().numpy()

    solved = solve_ivp(slope, (20.0, 0.05), x.flatten().numpy(), method="DOP853", rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(GAUSSIAN.flow(x, 20.0, 0.05).flatten().numpy(), solved.y[:, -1], rtol=1e-8)


def test_the_gaussian_flow_composes_and_reverses():
    x = 10 * draw(6, *SHAPE, seed=7)
    halfway = GAUSSIAN.flow(x, 10.0, 1.0)
    torch.testing.assert_close(GAUSSIAN.flow(halfway, 1.0, 0.0), GAUSSIAN.flow(x, 10.0, 0.0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(GAUSSIAN.flow(halfway, 1.0, 10.0), x, rtol=1e-12, atol=1e-12)


def test_the_gaussian_flow_carries_one_marginal_to_the_other():
    # log p_to(flow(x)) + log |d flow/dx| = log p_from(x), for every x.
    x = 3 * draw(6, *SHAPE, seed=7)
    high, low = (torch.full((6,), sigma, dtype=torch.float64) for sigma in (3.0, 0.2))

    def flow(row):
        return GAUSSIAN.flow(row.view(1, *SHAPE), 3.0, 0.2).flatten()

    jacobian = torch.autograd.functional.jacobian(flow, x[0].flatten())
    gained = GAUSSIAN.log_density(x, high) - GAUSSIAN.log_density(GAUSSIAN.flow(x, 3.0, 0.2), low)
    torch.testing.assert_close(gained, torch.linalg.slogdet(jacobian).logabsdet.expand(6), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "schedule",
    [VP(), SubVP(), VE(), LinearFlow(), DiscreteDDPM.from_betas("linear", 1e-4, 0.02)],
    ids=lambda schedule: type(schedule).__name__,
)
@pytest.mark.parametrize("kind", ["score", "epsilon"])
def test_all_families_are_one_after_rescaling(schedule, kind):
    """The exact score of x_t in the family's own scale and time, as a network, is the exact denoiser of x_hat."""
    cov = covariance()

    def network(x_t, t):
        alpha, std = schedule.scale(t.numpy()), schedule.scale(t.numpy()) * schedule.sigma(t.numpy())
        scores = [
            -torch.linalg.solve(a**2 * cov + s**2 * torch.eye(4).double(), (row - a * MEAN).flatten()).view(SHAPE)
            for row, a, s in zip(x_t, alpha, std, strict=True)
        ]
        score = torch.stack(scores)
        return score if kind == "score" else -torch.from_numpy(std).view(-1, 1, 1, 1) * score

    denoiser = NetworkDenoiser(network, schedule, kind, dtype=torch.float64)
    x_hat = draw(5, *SHAPE, seed=6) * (1 + SIGMA.view(-1, 1, 1, 1))
    torch.testing.assert_close(denoiser(x_hat, SIGMA).x0, GAUSSIAN(x_hat, SIGMA).x0, rtol=1e-8, atol=1e-8)
