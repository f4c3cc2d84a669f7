"""DDIM for any schedule: an Euler step in sigma, down below the target when noise is to be added."""

from __future__ import annotations

import numpy as np

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.samplers.linear import LinearPlan, LinearSampler


class DDIM(LinearSampler):
    """Song, Meng & Ermon 2021, Eq. 12 and 16, written in x_hat and sigma.

    With v = eta^2 sigma_p^2 (sigma^2 - sigma_p^2) / sigma^2 and down = sqrt(sigma_p^2 - v),

        x_p = D + (down / sigma) (x - D) + sqrt(v) z.

    eta = 0 is the Euler method on dx/dsigma = (x - D) / sigma (also DPM-Solver-1 and DPM-Solver++ 1); eta = 1 is
    ancestral sampling with the posterior variance (DDPM's fixed_small, Euler-ancestral, SDE-DPM-Solver++ 1).
    """

    def __init__(self, eta: float = 0.0) -> None:
        self.eta = eta

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> LinearPlan:
        """Weights of x, D and z; the last step onto sigma = 0 is D alone, without noise."""
        sigma, target = grid.sigma[:-1], grid.sigma[1:]
        variance = self.eta**2 * target**2 * (1 - (target / sigma) ** 2)
        ratio = np.sqrt(np.maximum(target**2 - variance, 0.0)) / sigma
        return LinearPlan(sigma, ratio, 1 - ratio, np.sqrt(variance))
