"""Ancestral sampling of the (respaced) discrete reverse chain."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.errors import ScheduleError
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.linear import LinearPlan, LinearSampler


class DDPM(LinearSampler):
    """Ho, Jain & Abbeel 2020, Algorithm 2, on any subset of the chain.

    Both choices of section 3.2 share the posterior mean, which is DDIM's with eta = 1. ``fixed_small`` adds the
    posterior variance beta-tilde, ``fixed_large`` beta = 1 - abar_t / abar_p (in x_t; divided by abar_p in x_hat).
    The last step adds no noise.
    """

    def __init__(self, variance: Literal["fixed_small", "fixed_large"] = "fixed_small") -> None:
        self.variance = variance

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> LinearPlan:
        """Weights of x, D and z. Raises ScheduleError for fixed_large on a process that does not keep its variance."""
        small = DDIM(eta=1.0).plan(grid, schedule)
        if self.variance == "fixed_small":
            return small
        if not schedule.variance_preserving:
            raise ScheduleError("ddpm with variance fixed_large needs a variance-preserving schedule")
        abar, abar_target = grid.scale[:-1] ** 2, grid.scale[1:] ** 2
        large = np.sqrt((1 - abar / abar_target) / abar_target)
        return replace(small, noise_std=np.where(grid.sigma[1:] > 0, large, 0.0))
