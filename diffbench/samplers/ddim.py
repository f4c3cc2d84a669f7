"""DDIM for any schedule: an Euler step in sigma, down below the target when noise is to be added."""

from __future__ import annotations

from functools import partial

import numpy as np

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.samplers.linear import LinearPlan, LinearSampler


class DDIM(LinearSampler):
    """Song, Meng & Ermon 2021, Eq. 12 and 16, written in x_hat and sigma.

    With v = eta^2 sigma_p^2 (sigma^2 - sigma_p^2) / sigma^2 and down = sqrt(sigma_p^2 - v),

        x_p = D + (down / sigma) (x - D) + sqrt(v) z.

    eta = 0 is the Euler method on dx/dsigma = (x - D) / sigma (also DPM-Solver-1 and DPM-Solver++ 1); eta = 1 is
    ancestral sampling with the posterior variance (DDPM's fixed_small, Euler-ancestral, SDE-DPM-Solver++ 1).
    """

    def __init__(self, eta: float = 0.0, brownian: bool = False) -> None:
        self.eta, self.brownian = eta, brownian

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> LinearPlan:
        """Weights of x, D and z; the last step onto sigma = 0 is D alone, without noise."""
        sigma = grid.sigma[:-1]
        down, up = down_and_up(grid, self.eta)
        return LinearPlan(sigma, down / sigma, 1 - down / sigma, up)


def down_and_up(grid: TimeGrid, eta: float) -> tuple[FloatArray, FloatArray]:
    """The sigmas (N,) to step down to, and the stds (N,) of the noise that leads from there up to the targets.

    up^2 = eta^2 sigma_p^2 (sigma^2 - sigma_p^2) / sigma^2 and down^2 = sigma_p^2 - up^2: with eta = 1 the posterior
    variance of DDIM's Eq. 16. Every ancestral sampler is a deterministic one that steps to ``down``.
    """
    sigma, target = grid.sigma[:-1], grid.sigma[1:]
    variance = eta**2 * target**2 * (1 - (target / sigma) ** 2)
    return np.sqrt(np.maximum(target**2 - variance, 0.0)), np.sqrt(variance)


ANCESTRAL = partial(DDIM, eta=1.0)
