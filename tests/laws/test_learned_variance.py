"""Laws of ancestral sampling with the network's own variance, without Monte Carlo."""

import numpy as np
import pytest
import torch
from unit_noise import Coefficients

from diffbench.catalog import SAMPLERS
from diffbench.diffusion.denoiser import Denoised
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import schedule_from
from diffbench.errors import UsageError
from diffbench.samplers.ddpm import DDPM, LearnedDDPM, ddpm
from diffbench.samplers.integrate import integrate

CHAIN = schedule_from({"kind": "ddpm", "betas": "linear", "beta_start": 1e-4, "beta_end": 0.02, "steps": 1000})
COSINE = schedule_from({"kind": "ddpm", "betas": "cosine", "steps": 1000})
VE = schedule_from({"kind": "ve", "sigma_min": 0.05, "sigma_max": 20.0})


def variances(grid, schedule, data_variance, position):
    """Var(x_hat) after every step on N(0, data_variance), exactly: every step is linear in the noises drawn."""

    def denoiser(x, sigma):
        level = float(sigma[0])
        return Denoised(data_variance / (data_variance + level**2) * x, torch.full_like(x, position(level)))

    seen = []
    start = np.sqrt(data_variance + grid.sigma[0] ** 2)
    # The start is divided by the scale, or multiplied with sigma where that is 1.
    given = start * grid.scale[0] if grid.scale[0] != 1 else start / grid.sigma[0]
    noise = Coefficients(grid.steps + 1, given)
    integrate(LearnedDDPM(), denoiser, grid, schedule, noise, lambda i, x: seen.append(float((x**2).sum())))
    return np.array(seen)


@pytest.mark.parametrize("steps", [1000, 50, 7])
@pytest.mark.parametrize("schedule", [CHAIN, COSINE], ids=["linear", "cosine"])
@pytest.mark.parametrize("data_variance", [0.0, 0.3, 1.0, 2.5])
def test_the_right_position_keeps_every_marginal(schedule, steps, data_variance):
    """For Gaussian data the variance of the true reverse step is known: the posterior's, plus that of its mean.

    In x_hat it is small^2 + (1 - sigma_p^2 / sigma^2)^2 Var(x0 | x_hat): beta-tilde for a point and beta for unit
    variance (Ho et al. 2020, section 3.2), and outside the two for wider data, as positions are not clamped.
    """
    grid = time_grid(schedule, steps)
    positions = {}
    for sigma, target, s, s_p in zip(grid.sigma[:-1], grid.sigma[1:], grid.scale[:-1], grid.scale[1:], strict=True):
        if target == 0:
            positions[float(sigma)] = 9.0  # no noise is left to scale
            continue
        small = target**2 * (1 - target**2 / sigma**2)
        large = (s / s_p) ** 2 * (sigma**2 - target**2)
        posterior = data_variance * sigma**2 / (data_variance + sigma**2)
        optimal = small + (1 - target**2 / sigma**2) ** 2 * posterior
        positions[float(sigma)] = 2 * np.log(optimal / small) / np.log(large / small) - 1
        if data_variance in (0.0, 1.0):
            assert positions[float(sigma)] == pytest.approx(2 * data_variance - 1, abs=1e-5)
    got = variances(grid, schedule, data_variance, positions.__getitem__)
    np.testing.assert_allclose(got[:-1], data_variance + grid.sigma[1:-1] ** 2, rtol=1e-9)


@pytest.mark.parametrize("position", [-1.0, -0.3, 0.0, 0.8, 1.0])
def test_the_variance_is_interpolated_in_its_logarithm(position):
    """Nichol & Dhariwal 2021, Eq. 15, in x_t, with beta and beta-tilde of the respaced chain (DDPM, Eq. 7)."""
    grid = time_grid(CHAIN, 9)
    abar = grid.scale**2
    beta = 1 - abar[:-1] / abar[1:]
    beta_tilde = (1 - abar[1:]) / (1 - abar[:-1]) * beta
    v = (position + 1) / 2
    published = np.exp(v * np.log(beta[:8]) + (1 - v) * np.log(beta_tilde[:8]))
    plan = LearnedDDPM().plan(grid, CHAIN)
    std = plan.noise_std * np.exp(plan.spread * position)
    np.testing.assert_allclose((std**2 * abar[1:])[:8], published, rtol=1e-9)
    assert std[8] == 0


@pytest.mark.parametrize("schedule", [CHAIN, VE], ids=["ddpm", "ve"])
@pytest.mark.parametrize(("position", "fixed"), [(-1.0, "fixed_small"), (1.0, "fixed_large")])
def test_the_ends_are_the_fixed_variances(schedule, position, fixed):
    grid = time_grid(schedule, 12, "karras")

    def denoiser(x, sigma):
        return Denoised(0.6 * torch.tanh(x), torch.full_like(x, position))

    results = []
    for sampler in (LearnedDDPM(), DDPM(fixed)):
        noise = NoiseSource(4, range(3), (2, 2, 2), dtype=torch.float64)
        results.append(integrate(sampler, denoiser, grid, schedule, noise))
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)


def test_every_element_has_its_own_variance_and_no_other_sample_a_part_in_it():
    grid = time_grid(CHAIN, 6)

    def denoiser(x, sigma):
        return Denoised(0.5 * torch.tanh(x), torch.cos(5 * x))

    def run(indices):
        return integrate(LearnedDDPM(), denoiser, grid, CHAIN, NoiseSource(4, indices, (1, 5, 7)))

    together = run(range(37))
    assert torch.equal(together[11:13], run([11, 12]))
    assert torch.equal(together[[30, 2]], run([30, 2]))


def test_a_network_without_a_variance_is_refused():
    with pytest.raises(UsageError, match="the network predicts no variance"):
        integrate(ddpm("learned"), lambda x, s: Denoised(x), time_grid(CHAIN, 3), CHAIN, NoiseSource(0, [0], (1, 2, 2)))


def test_the_catalog_knows_what_it_needs():
    entry = SAMPLERS["ddpm"]
    learned = entry.options(variance="learned")
    assert entry.needs_of(learned) == {"learned_variance"} and not entry.needs_of(entry.options())
    assert entry.same_as(learned) is None and entry.stochastic(learned)
    assert SAMPLERS["euler-maruyama"].needs_of(None) == {"sde"}
