"""Exact second moments of the stochastic samplers on Gaussian data: recursions, not Monte Carlo."""

import numpy as np
import pytest
import torch

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.analytic import GaussianDenoiser
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.schedule import schedule_from
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.ddpm import DDPM
from diffbench.samplers.euler_maruyama import EulerMaruyama
from diffbench.samplers.heun import Heun
from diffbench.samplers.singlestep import STAGES

DDPM_LINEAR = schedule_from({"kind": "ddpm", "betas": "linear", "beta_start": 1e-4, "beta_end": 0.02, "steps": 1000})
VP = schedule_from({"kind": "vp", "beta_min": 0.1, "beta_max": 20.0})
SUBVP = schedule_from({"kind": "subvp", "beta_min": 0.1, "beta_max": 20.0})
VE = schedule_from({"kind": "ve", "sigma_min": 0.01, "sigma_max": 50.0})


def variances(plan, first, data_variance):
    """Var(x_hat) after every step of a linear sampler on N(0, data_variance), for which D(x) = v x / (v + sigma^2)."""
    variance, out = first, []
    for sigma, a, b, c in zip(plan.sigma, plan.x_weight, plan.denoised_weight, plan.noise_std, strict=True):
        shrink = data_variance / (data_variance + sigma**2)
        variance = (a + b * shrink) ** 2 * variance + c**2
        out.append(variance)
    return np.array(out)


@pytest.mark.parametrize("schedule", [DDPM_LINEAR, VP, SUBVP, VE], ids=["ddpm", "vp", "subvp", "ve"])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_keeps_the_marginals_of_a_single_point_for_every_eta(schedule, eta):
    grid = time_grid(schedule, 20, "karras")
    plan = DDIM(eta).plan(grid, schedule)
    np.testing.assert_allclose(variances(plan, grid.sigma[0] ** 2, 0.0)[:-1], grid.sigma[1:-1] ** 2, rtol=1e-12)


def test_ddim_adds_the_published_noise():
    grid = time_grid(DDPM_LINEAR, 10)
    abar, abar_p = grid.scale[:-1] ** 2, grid.scale[1:] ** 2
    published = 0.7 * np.sqrt((1 - abar_p) / (1 - abar)) * np.sqrt(1 - abar / abar_p)  # DDIM Eq. 16, in x_t
    np.testing.assert_allclose(DDIM(0.7).plan(grid, DDPM_LINEAR).noise_std * grid.scale[1:], published, rtol=1e-9)


@pytest.mark.parametrize("steps", [1000, 50, 7])
def test_fixed_large_is_exact_for_unit_variance_and_fixed_small_for_a_point(steps):
    """Ho et al. 2020, section 3.2: the two extreme choices are optimal for x0 ~ N(0, I) and for one fixed x0."""
    grid = time_grid(DDPM_LINEAR, steps)
    large = DDPM("fixed_large").plan(grid, DDPM_LINEAR)
    np.testing.assert_allclose(
        variances(large, 1 + grid.sigma[0] ** 2, 1.0)[:-1], 1 + grid.sigma[1:-1] ** 2, rtol=1e-10
    )
    small = DDPM("fixed_small").plan(grid, DDPM_LINEAR)
    np.testing.assert_allclose(variances(small, grid.sigma[0] ** 2, 0.0)[:-1], grid.sigma[1:-1] ** 2, rtol=1e-10)


def test_ancestral_weights_are_the_papers_posterior_mean():
    grid = time_grid(DDPM_LINEAR, 1000)
    beta, abar = DDPM_LINEAR.betas[::-1], DDPM_LINEAR.alphas_cumprod[::-1]
    abar_p = np.append(abar[1:], 1.0)
    c1, c2 = beta * np.sqrt(abar_p) / (1 - abar), (1 - abar_p) * np.sqrt(1 - beta) / (1 - abar)  # DDPM Eq. 7, in x_t
    plan = DDPM("fixed_large").plan(grid, DDPM_LINEAR)
    np.testing.assert_allclose(plan.denoised_weight * np.sqrt(abar_p), c1, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(plan.x_weight * np.sqrt(abar_p) / np.sqrt(abar), c2, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose((plan.noise_std * np.sqrt(abar_p))[:-1], np.sqrt(beta)[:-1], rtol=1e-7)
    assert plan.noise_std[-1] == 0


# Landing near sigma = 0, VE's leading error term integrates to exactly zero on Gaussian data: it must land above.
VE_HIGH = schedule_from({"kind": "ve", "sigma_min": 0.5, "sigma_max": 50.0})


@pytest.mark.parametrize("schedule", [VP, SUBVP, VE_HIGH], ids=["vp", "subvp", "ve"])
def test_euler_maruyama_is_of_weak_order_one(schedule):
    """The variance reached at sigma_min from the exact start is off by an amount that halves with the step."""

    def error(steps):
        grid = time_grid(schedule, steps, "linspace", final="sigma_min")
        plan = EulerMaruyama().plan(grid, schedule)
        plan.noise_std[-1] = np.sqrt(-schedule.diffusion_squared(grid.t[-2]) * np.diff(grid.t)[-1]) / grid.scale[-1]
        return abs(variances(plan, 0.5 + grid.sigma[0] ** 2, 0.5)[-1] - (0.5 + grid.sigma[-1] ** 2))

    errors = [error(steps) for steps in (4000, 8000, 16000)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(orders - 1) < 0.15), orders


@pytest.mark.parametrize("schedule", [VP, SUBVP, VE], ids=["vp", "subvp", "ve"])
def test_euler_maruyama_steps_as_score_sde_writes_them(schedule):
    grid = time_grid(schedule, 13)
    plan = EulerMaruyama().plan(grid, schedule)
    x, x0, z = 0.7, -0.4, 1.3  # x is x_t
    for i in range(grid.steps):
        t, dt, s, sigma = grid.t[i], grid.t[i + 1] - grid.t[i], grid.scale[i], grid.sigma[i]
        score = (s * x0 - x) / (s * sigma) ** 2
        g2 = schedule.diffusion_squared(t)
        mean = x + (schedule.drift(t) * x - g2 * score) * dt
        expected = mean if i == grid.steps - 1 else mean + np.sqrt(g2 * -dt) * z
        got = plan.x_weight[i] * x / s + plan.denoised_weight[i] * x0 + plan.noise_std[i] * z
        assert got * grid.scale[i + 1] == pytest.approx(expected, rel=1e-10)


def test_churn_keeps_the_marginals_of_a_single_point():
    grid = time_grid(VE, 18, "karras")
    plan = Heun(s_churn=40, s_min=0.05, s_max=30).plan(grid, VE)
    gamma = plan.churned / grid.sigma[:-1] - 1
    inside = (grid.sigma[:-1] >= 0.05) & (grid.sigma[:-1] <= 30)
    np.testing.assert_allclose(gamma, np.where(inside, np.sqrt(2) - 1, 0), atol=1e-12)
    np.testing.assert_allclose(grid.sigma[:-1] ** 2 + plan.churn_std**2, plan.churned**2, rtol=1e-12)
    few = Heun(s_churn=3, s_noise=1.007).plan(grid, VE)
    assert few.churned[5] == pytest.approx(grid.sigma[5] * (1 + 3 / 18))
    assert few.churn_std[5] == pytest.approx(1.007 * grid.sigma[5] * np.sqrt((1 + 3 / 18) ** 2 - 1))
    assert few.churned[0] == grid.sigma[0], "the first sigma is the schedule's largest: no network knows more"


def test_catalog_marks_coinciding_samplers_and_their_plans_agree():
    entry = SAMPLERS["ddpm"]
    name, options = entry.same_as(entry.options())
    twin = load(SAMPLERS[name].target)(**options)
    grid = time_grid(VP, 9)
    ours, theirs = DDPM().plan(grid, VP), twin.plan(grid, VP)
    np.testing.assert_array_equal(ours.x_weight, theirs.x_weight)
    np.testing.assert_array_equal(ours.noise_std, theirs.noise_std)
    assert entry.same_as(entry.options(variance="fixed_large")) is None


def test_a_churned_step_adds_its_noise_before_it_moves():
    """For one data point m the step from churned sigma c to s is exact: m + (s / c) (x + std z - m)."""
    point = GaussianDenoiser(torch.full((1, 1, 1), 0.7, dtype=torch.float64), 1e-14)
    grid = time_grid(VE, 18, "karras")
    sampler = Heun(s_churn=40, s_noise=1.003)
    plan = sampler.plan(grid, VE)
    z = torch.tensor([1.3, -0.4], dtype=torch.float64).view(2, 1, 1, 1)

    class Fixed:
        def normal(self, purpose, step, sigma_from=0.0, sigma_to=0.0):
            assert (purpose, step) == ("churn", 6)
            return z

    def denoise(x, sigma):
        return point(x, torch.full((len(x),), sigma, dtype=torch.float64)).x0

    x = torch.tensor([2.0, -1.0], dtype=torch.float64).view(2, 1, 1, 1)
    moved = sampler.step(sampler.init(x), 6, plan, denoise, Fixed()).x
    expected = 0.7 + plan.target[6] / plan.churned[6] * (x + plan.churn_std[6] * z - 0.7)
    torch.testing.assert_close(moved, expected, rtol=1e-10, atol=1e-10)


def test_stages_lie_where_the_papers_put_them():
    """Others would be of the same order."""
    assert STAGES == {2: (0.0, 0.5), 3: (0.0, 1 / 3, 2 / 3)}
