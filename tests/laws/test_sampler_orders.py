"""Empirical global order of every deterministic sampler on a Gaussian mixture: float64, fixed landing sigma."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.analytic import GaussianDenoiser, GaussianMixtureDenoiser
from diffbench.diffusion.denoiser import Counted
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import schedule_from
from diffbench.samplers.integrate import integrate

VE = schedule_from({"kind": "ve", "sigma_min": 0.02, "sigma_max": 20.0})
VP = schedule_from({"kind": "vp", "beta_min": 0.1, "beta_max": 20.0})
MIXTURE = GaussianMixtureDenoiser(
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
    torch.tensor([[1.0, 0.5], [-0.8, 0.9], [0.2, -1.1]], dtype=torch.float64).view(3, 2, 1, 1),
    torch.tensor([0.3, 0.4, 0.25], dtype=torch.float64),
)
DETERMINISTIC = [e.name for e in SAMPLERS.values() if e.order is not None and not e.stochastic(e.options())]


def noise(samples=3, shape=(2, 1, 1)):
    return NoiseSource(5, range(samples), shape, dtype=torch.float64)


def solve(name, schedule, steps, kind, final="sigma_min", denoiser=MIXTURE):
    grid = time_grid(schedule, steps, kind, final)
    return integrate(load(SAMPLERS[name].target)(), denoiser, grid, schedule, noise())


@lru_cache
def fine_solution(kind):
    return solve("heun", VE, 1920, kind)


@pytest.mark.parametrize("kind", ["log-snr", "karras"])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_order(name, kind):
    exact = fine_solution(kind)
    steps = [80, 160, 320] if SAMPLERS[name].order == 2 else [160, 320, 640]
    errors = [float((solve(name, VE, n, kind) - exact).abs().max()) for n in steps]
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert min(errors) > 1e-11
    assert abs(slope - SAMPLERS[name].order) <= 0.15, (slope, errors)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_converges_to_the_exact_flow_of_a_gaussian(name):
    denoiser = GaussianDenoiser(torch.full((2, 1, 1), 0.3, dtype=torch.float64), 0.25)
    grid = time_grid(VE, 400, "karras", "sigma_min")
    first = noise().normal("start", 0) * float(grid.sigma[0])
    exact = denoiser.flow(first, float(grid.sigma[0]), float(grid.sigma[-1]))
    tolerance = 0.01 if SAMPLERS[name].order == 1 else 1e-4
    assert float((solve(name, VE, 400, "karras", denoiser=denoiser) - exact).abs().max()) < tolerance


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_vp_equals_ve_after_rescaling(name):
    """In x_hat nothing but the sigmas counts: the same sigmas on VP and VE give the same trajectory."""
    sigmas = tuple(np.geomspace(15.0, 0.05, 9))
    wide = schedule_from({"kind": "ve", "sigma_min": 0.01, "sigma_max": 50.0})
    results = []
    for schedule in (VP, wide):
        grid = time_grid(schedule, 9, "explicit", sigmas=sigmas)
        start = noise().normal("start", 0)
        scale = float(grid.scale[0])
        factor = sigmas[0] if scale == 1 else 1 / scale
        source = Rescaled(start * sigmas[0] / factor)
        results.append(integrate(load(SAMPLERS[name].target)(), MIXTURE, grid, schedule, source))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


class Rescaled:
    """A noise source that gives one prepared start."""

    def __init__(self, start):
        self.start = start

    def normal(self, purpose, step, sigma_from=0.0, sigma_to=0.0):
        assert purpose == "start", "a deterministic sampler drew noise"
        return self.start


@pytest.mark.parametrize("final", ["denoise", "sigma_min"])
@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_counted_evaluations_are_the_catalogs(name, final):
    entry = SAMPLERS[name]
    for budget in range(1, 61):
        steps = entry.steps_within(budget, final)
        if steps is None:
            assert entry.nfe(1, final) > budget
            continue
        assert entry.nfe(steps, final) <= budget < entry.nfe(steps + 1, final)
        counted = Counted(GaussianDenoiser(torch.zeros(1, 1, 1, dtype=torch.float64), 0.25))
        grid = time_grid(VP, steps, "trailing", final)
        integrate(load(entry.target)(), counted, grid, VP, noise(2, (1, 1, 1)))
        assert counted.samples_evaluated / 2 == entry.nfe(steps, final)


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"euler-maruyama"}))
def test_the_last_step_returns_the_denoised_estimate(name):
    """With ``denoise`` the landing point is x0: for a single data point every sampler in sigma lands on it."""
    point = GaussianDenoiser(torch.full((1, 1, 1), 0.7, dtype=torch.float64), 1e-12)
    grid = time_grid(VP, 12, "karras")
    landed = integrate(load(SAMPLERS[name].target)(), point, grid, VP, noise(3, (1, 1, 1)))
    torch.testing.assert_close(landed, torch.full_like(landed, 0.7), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_samples_do_not_depend_on_their_batch(name):
    grid = time_grid(VP, 6)
    sampler = load(SAMPLERS[name].target)()

    def run(indices):
        source = NoiseSource(9, indices, (2, 1, 1), dtype=torch.float64)
        return integrate(sampler, MIXTURE, grid, VP, source)

    together = run(range(4))
    assert torch.equal(together[2:], run([2, 3]))
    assert torch.equal(together[[3, 0]], run([3, 0]))
