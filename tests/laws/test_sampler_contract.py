"""What every sampler owes, with every choice of its options: counted evaluations, landing, independence, rescaling."""

import inspect
import math
from itertools import product

import numpy as np
import pytest
import torch

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.analytic import GaussianDenoiser, GaussianMixtureDenoiser
from diffbench.diffusion.denoiser import Counted, Denoised
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import schedule_from
from diffbench.samplers.integrate import integrate
from diffbench.suite.identity import canonical_method

VP = schedule_from({"kind": "vp", "beta_min": 0.1, "beta_max": 20.0})
SUBVP = schedule_from({"kind": "subvp", "beta_min": 0.1, "beta_max": 20.0})
VE = schedule_from({"kind": "ve", "sigma_min": 0.01, "sigma_max": 50.0})
FLOW = schedule_from({"kind": "flow"})
DDPM = schedule_from({"kind": "ddpm", "betas": "linear", "beta_start": 1e-4, "beta_end": 0.02, "steps": 1000})


class WithVariance:
    """Another denoiser that also says something of the variance, for the sampler that asks; the others go past it."""

    def __init__(self, denoiser):
        self.denoiser = denoiser

    def __call__(self, x, sigma):
        return Denoised(self.denoiser(x, sigma).x0, x.tanh())


MIXTURE = WithVariance(
    GaussianMixtureDenoiser(
        torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
        torch.tensor([[1.0, 0.5], [-0.8, 0.9], [0.2, -1.1]], dtype=torch.float64).view(3, 2, 1, 1),
        torch.tensor([0.3, 0.4, 0.25], dtype=torch.float64),
    )
)


def made(variant):
    name, options = variant
    entry = SAMPLERS[name]
    return entry, entry.options(**options), load(entry.target)(**options)


class Ones:
    def normal(self, purpose, step, *interval):
        return torch.ones(2, 1, 1, 1, dtype=torch.float64)


def zero(x, sigma):
    return Denoised(torch.zeros_like(x), torch.zeros_like(x))


@pytest.mark.parametrize("final", ["denoise", "sigma_min"])
def test_counted_evaluations_are_the_catalogs(variant, final):
    entry, options, sampler = made(variant)
    for budget in range(1, 61):
        steps = entry.steps_within(budget, final, options)
        if steps is None:
            assert entry.nfe(entry.fewest_steps(final), final, options) > budget
            continue
        assert entry.nfe(steps, final, options) <= budget < entry.nfe(steps + 1, final, options)
        counted = Counted(zero)
        integrate(sampler, counted, time_grid(VP, steps, "trailing", final), VP, Ones())
        assert counted.samples_evaluated / 2 == entry.nfe(steps, final, options)


# Their native discretisations return the last mean, which is not the denoised estimate.
NATIVE = {"euler-maruyama", "reverse-diffusion", "predictor-corrector"}


def test_the_last_step_returns_the_denoised_estimate(variant):
    """With ``denoise`` the landing point is x0: for a single data point every sampler in sigma lands on it."""
    point = WithVariance(GaussianDenoiser(torch.full((1, 1, 1), 0.7, dtype=torch.float64), 0.0))
    for steps in (1, 2, 12):
        noise = NoiseSource(5, range(3), (1, 1, 1), dtype=torch.float64)
        landed = integrate(made(variant)[2], point, time_grid(VP, steps, "karras"), VP, noise)
        torch.testing.assert_close(landed, torch.full_like(landed, 0.7), rtol=0, atol=1e-6)


test_the_last_step_returns_the_denoised_estimate.applies = lambda variant: variant[0] not in NATIVE


def test_samples_do_not_depend_on_their_batch_unless_coupled(variant):
    entry, options, sampler = made(variant)
    coupled = entry.batch_coupled and options.coupled
    grid = time_grid(VP, 6)

    def run(indices):
        return integrate(sampler, MIXTURE, grid, VP, NoiseSource(9, indices, (2, 1, 1), dtype=torch.float64))

    together = run(range(4))
    assert torch.equal(together[2:], run([2, 3])) is not coupled
    assert torch.equal(together[[3, 0]], run([3, 0])) is not coupled


def test_stochastic_is_what_the_catalog_says(variant):
    entry, options, sampler = made(variant)
    drawn = set()

    class Listening(NoiseSource):
        def normal(self, purpose, step, *interval):
            drawn.add(purpose)
            return super().normal(purpose, step, *interval)

    integrate(sampler, MIXTURE, time_grid(VP, 6), VP, Listening(9, range(2), (2, 1, 1), dtype=torch.float64))
    assert (drawn != {"start"}) == entry.stochastic(options)
    assert entry.order_of(options) is None or not entry.stochastic(options), "only an ODE's solver has an order"


def test_every_sampler_runs_on_every_family_it_does_not_exclude(variant):
    entry, _, sampler = made(variant)
    schedules = [one for one in (DDPM, VP, SUBVP, VE, FLOW) if one.has_sde or "sde" not in entry.needs]
    assert len(schedules) >= 3
    for schedule, final in product(schedules, ("denoise", "sigma_min")):
        noise = NoiseSource(9, range(2), (2, 1, 1), dtype=torch.float64)
        x = integrate(sampler, MIXTURE, time_grid(schedule, 7, "karras", final), schedule, noise)
        # Langevin's steps are too large to settle in so few.
        assert bool(torch.isfinite(x).all()) and float(x.abs().max()) < (1e4 if entry.name == "langevin" else 1000)


class Rescaled:
    """A noise source that gives one prepared start, and else what another gives."""

    def __init__(self, start):
        self.start = start
        self.source = NoiseSource(5, range(3), (2, 1, 1), dtype=torch.float64)

    def normal(self, purpose, step, *interval):
        return self.start if purpose == "start" else self.source.normal(purpose, step, *interval)


# Those that ask for the family's own time or scale.
OF_A_FAMILY = {"euler-maruyama", "pndm", "ddim-sigma-hat", "reverse-diffusion", "predictor-corrector", "langevin"}


def test_vp_equals_ve_after_rescaling(variant):
    """In x_hat nothing but the sigmas counts: the same sigmas on VP and VE give the same trajectory."""
    name, options = variant
    sigmas = tuple(np.geomspace(15.0, 0.05, 9))
    results = []
    for schedule in (VP, VE):
        grid = time_grid(schedule, 9, "explicit", sigmas=sigmas)
        scale = float(grid.scale[0])
        start = NoiseSource(5, range(3), (2, 1, 1), dtype=torch.float64).normal("start", 0)
        source = Rescaled(start * (1.0 if scale == 1 else sigmas[0] * scale))
        results.append(integrate(made(variant)[2], MIXTURE, grid, schedule, source))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


test_vp_equals_ve_after_rescaling.applies = lambda variant: (
    variant[0] not in OF_A_FAMILY and not {"fixed_large", "learned", "t"} & {*variant[1].values()}
)


@pytest.mark.parametrize("final", ["denoise", "sigma_min"])
def test_samplers_known_as_the_same_are_equal_bit_for_bit(variant, final):
    name, options = canonical_method(*variant)
    entry, typed, sampler = made(variant)
    twin_entry, twin_options, twin = made((name, options))
    for schedule, steps in ((VP, 7), (DDPM, 10), (VE, 5)):
        assert entry.nfe(steps, final, typed) == twin_entry.nfe(steps, final, twin_options)
        grid = time_grid(schedule, steps, final=final)

        def run(method, schedule=schedule, grid=grid):
            noise = NoiseSource(9, range(2), (2, 1, 1), dtype=torch.float64)
            return integrate(method, MIXTURE, grid, schedule, noise)

        assert torch.equal(run(sampler), run(twin)), schedule


test_samplers_known_as_the_same_are_equal_bit_for_bit.applies = lambda variant: canonical_method(*variant) != variant


def test_a_samplers_own_defaults_are_the_catalogs():
    for entry in SAMPLERS.values():
        chosen = entry.options().model_dump()
        for name, parameter in inspect.signature(load(entry.target)).parameters.items():
            if name in chosen and parameter.default not in (inspect.Parameter.empty, math.inf):
                assert parameter.default == chosen[name], (entry.name, name)
