"""Restart sampling: a stretch of the way is gone several times, with new noise each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.samplers.heun import heun
from diffbench.samplers.integrate import Denoise, Noise, State

RHO = 7.0


@dataclass(frozen=True)
class RestartPlan:
    """The grid's sigmas (N+1,); the step after which to restart, None for nowhere; the stretch's sigmas (n+1,)."""

    sigma: FloatArray
    after: int | None
    stretch: FloatArray


class Restart:
    """Xu et al. 2023 (Restart Sampling), Algorithm 2, with Heun's steps; its Eq. 3 leads up and its Eq. 4 down.

    At the grid point nearest, in log sigma, to ``s_min`` noise leads back up and ``restart_steps`` of Heun's steps lead
    down again, ``iterations`` times; the defaults are the authors' first configuration for CIFAR-10, which counts the
    three points of these two steps. The way up is by the factor s_max / s_min, so that the stretch is as long as asked
    for wherever the grid point lies, but not above the schedule's largest sigma. The sigmas of the stretch are those of
    Karras et al. 2022, Eq. 5, with rho = 7. A grid with no point between its ends and sigma = 0 has no restart.
    """

    def __init__(self, s_min: float = 0.06, s_max: float = 0.3, restart_steps: int = 2, iterations: int = 2) -> None:
        self.s_min, self.s_max, self.restart_steps, self.iterations = s_min, s_max, restart_steps, iterations

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> RestartPlan:
        """Where the stretch lies."""
        reached = grid.sigma[1:][grid.sigma[1:] > 0]
        if len(reached) == 0:
            return RestartPlan(grid.sigma, None, np.zeros(0))
        after = int(np.argmin(np.abs(np.log(reached) - np.log(self.s_min))))
        low = float(reached[after])
        high = min(low * self.s_max / self.s_min, schedule.sigma_max)
        roots = np.linspace(high ** (1 / RHO), low ** (1 / RHO), self.restart_steps + 1)
        stretch = roots**RHO
        stretch[0], stretch[-1] = high, low
        return RestartPlan(grid.sigma, after, stretch)

    def init(self, x: Tensor) -> State:
        """The state before the first step."""
        return State(x)

    def step(self, state: State, i: int, plan: RestartPlan, denoise: Denoise, noise: Noise) -> State:
        """One of Heun's steps; then the restarts, if they belong here."""
        x = heun(state.x, float(plan.sigma[i]), float(plan.sigma[i + 1]), denoise)
        if i != plan.after:
            return State(x)
        high, low = float(plan.stretch[0]), float(plan.stretch[-1])
        for k in range(self.iterations):
            x = x.add(noise.normal("churn", k), alpha=(high**2 - low**2) ** 0.5)
            for sigma, target in zip(plan.stretch[:-1].tolist(), plan.stretch[1:].tolist(), strict=True):
                x = heun(x, sigma, target, denoise)
        return State(x)
