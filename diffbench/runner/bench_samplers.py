"""What a sampler's own arithmetic costs a step, next to the diffusers scheduler of the same method."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import diffusers
import torch
from torch import Tensor

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.denoiser import NetworkDenoiser
from diffbench.diffusion.discrete import DiscreteDDPM
from diffbench.diffusion.grid import TimeGrid, time_grid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.samplers.integrate import Denoise, Estimator, Sampler

SHAPE = (64, 1, 28, 28)
_BETAS = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "timestep_spacing": "trailing"}

# Sampler, its options, the scheduler of the same method and its configuration.
PAIRS: tuple[tuple[str, dict[str, Any], str, dict[str, Any]], ...] = (
    ("ddim", {}, "DDIMScheduler", {"clip_sample": False}),
    ("euler", {}, "EulerDiscreteScheduler", {}),
    ("dpmpp-2m", {}, "DPMSolverMultistepScheduler", {"solver_order": 2}),
    ("dpmpp-3m", {}, "DPMSolverMultistepScheduler", {"solver_order": 3}),
    ("unipc", {"order": 2}, "UniPCMultistepScheduler", {"solver_order": 2}),
    ("unipc", {"order": 3}, "UniPCMultistepScheduler", {"solver_order": 3}),
    ("deis", {"variable": "log-rho", "degree": 2}, "DEISMultistepScheduler", {"solver_order": 3}),
    ("lms", {"order": 4}, "LMSDiscreteScheduler", {}),
    ("heun", {}, "HeunDiscreteScheduler", {}),
    ("dpm2", {}, "KDPM2DiscreteScheduler", {}),
)


HEADER = (
    f"{'microseconds a step':32} {'update':>7} {'ratio':>5}  {'with conversion':>15} {'ratio':>5}  "
    f"{'diffusers scheduler':32} {'step':>7}"
)


@dataclass(frozen=True)
class SamplerCost:
    """Microseconds a step, medians over interleaved rounds; the ratios are those of the medians.

    ``microseconds`` is the sampler's update alone; ``with_conversion_microseconds`` adds all that turns the network's
    output into D. A scheduler's step holds its own conversion, and ``scale_model_input`` is added to it.
    """

    sampler: str
    options: dict[str, Any]
    scheduler: str
    steps: int
    rounds: int
    microseconds: float
    with_conversion_microseconds: float
    scheduler_microseconds: float
    ratio: float
    with_conversion_ratio: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    def line(self) -> str:
        """One line for people, under ``HEADER``."""
        said = " ".join([self.sampler, *(f"{key}={value}" for key, value in self.options.items())])
        return (
            f"{said:32} {self.microseconds:7.1f} {self.ratio:5.2f}  "
            f"{self.with_conversion_microseconds:15.1f} {self.with_conversion_ratio:5.2f}  "
            f"{self.scheduler:32} {self.scheduler_microseconds:7.1f}"
        )


@torch.inference_mode()
def bench_samplers(steps: int = 20, rounds: int = 41) -> list[SamplerCost]:
    """Time all pairs on a float32 batch of ``SHAPE`` on one CPU thread; the network is free of charge.

    Both sides get a ready-made noise estimate for every evaluation. What is done once a grid is left out on both sides:
    planning, the denoiser's coefficients, ``set_timesteps``. The clock is the thread's CPU time, which other processes
    do not stretch as they do wall-clock time; every timed pass follows one that is not timed, of the same kind. The
    number of threads is restored afterwards.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_cost(*pair, steps, rounds) for pair in PAIRS]
    finally:
        torch.set_num_threads(threads)


def _cost(
    name: str, options: dict[str, Any], scheduler: str, config: dict[str, Any], steps: int, rounds: int
) -> SamplerCost:
    schedule = DiscreteDDPM.from_betas("linear", 1e-4, 0.02)
    output = torch.randn(SHAPE)
    denoiser = NetworkDenoiser(lambda x, t: output, schedule, "epsilon")

    sampler = load(SAMPLERS[name].target)(**options)
    grid = time_grid(schedule, steps)
    runs = [
        _ours(sampler, grid, schedule, lambda x, sigma: output),
        _ours(sampler, grid, schedule, Estimator(denoiser)),
        _theirs(scheduler, config, steps),
    ]
    times = [[(run(), run())[1] for run in runs] for _ in range(rounds)]  # the first of two warms the caches
    alone, whole, other = (median(column) / steps * 1e6 for column in zip(*times, strict=True))
    return SamplerCost(name, options, scheduler, steps, rounds, alone, whole, other, alone / other, whole / other)


def _ours(sampler: Sampler, grid: TimeGrid, schedule: NoiseSchedule, denoise: Denoise) -> Callable[[], float]:
    plan = sampler.plan(grid, schedule)
    start = torch.randn(SHAPE)

    class NoNoise:
        def normal(self, purpose: str, step: int, sigma_from: float = 0.0, sigma_to: float = 0.0) -> Tensor:
            raise AssertionError("a deterministic sampler drew noise")

    def run() -> float:
        begin = time.thread_time()
        state = sampler.init(start)
        for i in range(grid.steps):
            state = sampler.step(state, i, plan, denoise, NoNoise())
        return time.thread_time() - begin

    return run


def _theirs(name: str, config: dict[str, Any], steps: int) -> Callable[[], float]:
    scheduler = getattr(diffusers, name)(**_BETAS, **config)
    start, output = torch.randn(SHAPE), torch.randn(SHAPE)

    def run() -> float:
        scheduler.set_timesteps(steps)
        x: Tensor = start
        begin = time.thread_time()
        for t in scheduler.timesteps:
            scheduler.scale_model_input(x, t)
            x = scheduler.step(output, t, x, return_dict=False)[0]
        return time.thread_time() - begin

    return run
