"""A sampler that diffbench has no name for, made of its parts."""

import numpy as np

from diffbench.diffusion.grid import time_grid
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.integrate import State
from diffbench.samplers.linear import LinearPlan


class TwoStages:
    """DPM-Solver++ SDE as k-diffusion has it, with r = 1/2, made of our ancestral steps.

    One leads to the middle of the step in log sigma, where D is evaluated; the other, with that D, from the start of
    the step to its end. Each has noise of its own.
    """

    def plan(self, grid, schedule):
        ancestral = DDIM(eta=1.0)
        half = grid.sigma[:-2] ** 0.5 * grid.sigma[1:-1] ** 0.5
        halfway = np.append(np.stack([grid.sigma[:-2], half], axis=1).ravel(), grid.sigma[-2:])
        doubled = time_grid(schedule, len(halfway) - 1, "explicit", sigmas=tuple(halfway[:-1]))
        first = ancestral.plan(doubled, schedule)
        first = LinearPlan(half, *(array[:-1:2] for array in (first.x_weight, first.denoised_weight, first.noise_std)))
        return first, ancestral.plan(grid, schedule)

    def init(self, x):
        return State(x)

    def step(self, state, i, plan, denoise, noise):
        first, second = plan
        x, at = state.x, denoise(state.x, float(second.sigma[i]))
        if i < len(first.sigma):
            middle = float(first.x_weight[i]) * x + float(first.denoised_weight[i]) * at
            at = denoise(middle + float(first.noise_std[i]) * noise.normal("corrector", i), float(first.sigma[i]))
        x = float(second.x_weight[i]) * x + float(second.denoised_weight[i]) * at
        return State(x + float(second.noise_std[i]) * noise.normal("step", i))
