"""Euler-Maruyama on the reverse-time SDE, in the family's own time."""

from __future__ import annotations

import numpy as np

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.samplers.linear import LinearPlan, LinearSampler


class EulerMaruyama(LinearSampler):
    """Song et al. 2021 (Score-SDE), Eq. 6 by the method of section 4.1, with the grid's true time differences.

    For dx = f x dt + g dw the reverse step of size dt < 0 is

        x <- x + [f x - g^2 score] dt + g sqrt(-dt) z,   score = (s D - x) / (s sigma)^2,

    here rewritten for x_hat = x / s. The step onto the last grid point returns the mean, without noise.
    """

    def __init__(self, brownian: bool = False) -> None:
        self.brownian = brownian

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> LinearPlan:
        """Weights of x_hat, D and z. Raises ScheduleError if the schedule has no SDE."""
        t, sigma = grid.t[:-1], grid.sigma[:-1]
        scale, target_scale = grid.scale[:-1], grid.scale[1:]
        dt = np.diff(grid.t)
        g2 = schedule.diffusion_squared(t)
        pull = -g2 * dt / (scale * sigma) ** 2
        rescale = scale / target_scale
        noise_std = np.sqrt(-g2 * dt) / target_scale
        noise_std[-1] = 0.0
        return LinearPlan(sigma, (1 + schedule.drift(t) * dt - pull) * rescale, pull * rescale, noise_std)
