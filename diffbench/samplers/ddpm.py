"""Ancestral sampling of the (respaced) discrete reverse chain."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.linear import LinearPlan, LinearSampler


class DDPM(LinearSampler):
    """Ho, Jain & Abbeel 2020, Algorithm 2, on any subset of the chain.

    Both choices of section 3.2 share the posterior mean, which is DDIM's with eta = 1. ``fixed_small`` adds the
    posterior variance beta-tilde, ``fixed_large`` that of the forward step, beta = s^2 (sigma^2 - sigma_p^2) in x_t,
    which is 1 - abar_t / abar_p where the variance is preserved; in x_hat it is divided by s_p^2. The last step adds no
    noise.
    """

    def __init__(self, variance: Literal["fixed_small", "fixed_large"] = "fixed_small") -> None:
        self.variance = variance

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> LinearPlan:
        """Weights of x, D and z."""
        small = DDIM(eta=1.0).plan(grid, schedule)
        if self.variance == "fixed_small":
            return small
        large = grid.scale[:-1] / grid.scale[1:] * np.sqrt(grid.sigma[:-1] ** 2 - grid.sigma[1:] ** 2)
        return replace(small, noise_std=np.where(grid.sigma[1:] > 0, large, 0.0))


FIXED_LARGE = partial(DDPM, "fixed_large")
