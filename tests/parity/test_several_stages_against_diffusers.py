"""Samplers with several evaluations a step equal diffusers', wherever its schedulers are right."""

import numpy as np
import pytest
from diffusers import (
    DPMSolverSDEScheduler,
    DPMSolverSinglestepScheduler,
    HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
)
from parity.trajectories import (
    BETAS,
    TRAILING,
    assert_close,
    distance,
    feed,
    grid_of,
    in_x_t,
    ours,
    schedule_of,
    source,
    steps_of_noise,
    theirs,
    timeless,
)
from parity.two_stages import TwoStages

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.grid import time_grid

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


@pytest.mark.parametrize("steps", [5, 20])
def test_heun(steps):
    scheduler = HeunDiscreteScheduler(**TRAILING)
    schedule = schedule_of(scheduler)
    assert_close(ours("heun", {}, schedule, grid_of(schedule, steps)), theirs(scheduler, steps, scaled=True))


def test_kdpm2():
    scheduler = KDPM2DiscreteScheduler(**TRAILING)
    schedule = schedule_of(scheduler)
    assert_close(ours("dpm2", {}, schedule, grid_of(schedule, 20)), theirs(scheduler, 20, scaled=True))


def test_kdpm2_ancestral(monkeypatch):
    feed(monkeypatch, "scheduling_k_dpm_2_ancestral_discrete", steps_of_noise(20))
    scheduler = KDPM2AncestralDiscreteScheduler(**TRAILING)
    schedule = schedule_of(scheduler)
    mine = ours("dpm2-ancestral", {}, schedule, grid_of(schedule, 20), timeless)
    assert_close(mine, theirs(scheduler, 20, scaled=True, net=timeless))


def singlestep(algorithm, order, **config):
    """Its sample in x_t, our grid and our sampler's name; every ``order`` of its steps are one of ours.

    Its stages are grid points, so that r1 = 1/2, or 1/3 and 2/3, takes noise levels evenly spaced in their logarithm.
    """
    final = "zero" if algorithm == "dpmsolver++" else "sigma_min"
    scheduler = DPMSolverSinglestepScheduler(
        **BETAS,
        solver_order=order,
        algorithm_type=algorithm,
        use_exponential_sigmas=True,
        final_sigmas_type=final,
        **config,
    )
    steps = 10 * order + 1
    sample = theirs(scheduler, steps, net=timeless, calls=steps if final == "zero" else steps - 1)
    schedule = schedule_of(scheduler)
    sigmas = np.clip(scheduler.sigmas.double().numpy()[:-1:order], schedule.sigma_min, schedule.sigma_max)
    kind, count = ("denoise", len(sigmas)) if final == "zero" else ("sigma_min", len(sigmas) - 1)
    grid = time_grid(schedule, count, "explicit", kind, sigmas=tuple(sigmas))
    prefix = "dpmpp" if algorithm == "dpmsolver++" else "dpm-solver"
    return sample, schedule, grid, f"{prefix}-{order}s" if order > 1 else "dpm-solver-1"


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver"])
def test_singlestep(algorithm, order):
    sample, schedule, grid, name = singlestep(algorithm, order)
    assert_close(in_x_t(ours(name, {}, schedule, grid, timeless), grid), sample)


class MidpointInside:
    """Ours of third order, whose second stage is reached with the newest estimate alone."""

    def __init__(self, name):
        self.sampler = load(SAMPLERS[name].target)()

    def plan(self, grid, schedule):
        plan = self.sampler.plan(grid, schedule)
        plan.weights[:, 1, 1] += plan.weights[:, 1, 0]
        plan.weights[:, 1, 0] = 0.0
        return plan

    def __getattr__(self, name):
        return getattr(self.sampler, name)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver"])
def test_the_second_stage_of_diffusers_singlestep_of_third_order_is_a_midpoint_step(algorithm):
    """Its third-order step is made of the step of second order, with M_0 / 2 for M_1, whose stage then lies halfway.

    DPM-Solver's Algorithm 2 and DPM-Solver++ take M_1 itself (Lu et al. 2022).
    """
    sample, schedule, grid, name = singlestep(algorithm, 3)
    assert_close(in_x_t(ours(MidpointInside(name), {}, schedule, grid, timeless), grid), sample)
    assert distance(in_x_t(ours(name, {}, schedule, grid, timeless), grid), sample) > 1e-3


@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
def test_dpm_solver_sde(spacing, monkeypatch):
    """Given our noise in the place of its Brownian tree. There is no such sampler of ours, only its parts."""
    steps = 20
    scheduler = DPMSolverSDEScheduler(**BETAS, timestep_spacing=spacing)
    draws = iter([source().normal(purpose, i) for i in range(steps - 1) for purpose in ("corrector", "step")])
    tree = "diffusers.schedulers.scheduling_dpmsolver_sde.BrownianTreeNoiseSampler"
    monkeypatch.setattr(tree, lambda *args: lambda sigma, target: next(draws))
    sample = theirs(scheduler, steps, scaled=True)
    schedule = schedule_of(scheduler)
    sigmas = np.clip(
        scheduler.sigmas[[0, *range(1, 2 * steps - 1, 2)]].double(), schedule.sigma_min, schedule.sigma_max
    )
    grid = time_grid(schedule, steps, "explicit", sigmas=tuple(sigmas.tolist()))
    assert_close(ours(TwoStages(), {}, schedule, grid), sample)
