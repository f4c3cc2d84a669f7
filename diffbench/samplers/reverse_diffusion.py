"""Reverse diffusion: the reverse process discretised as the forward one is."""

from __future__ import annotations

import numpy as np

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.samplers.linear import LinearPlan, LinearSampler


class ReverseDiffusion(LinearSampler):
    """Song et al. 2021 (Score-SDE), Eq. 46, or the probability flow of appendix D.3, on any grid.

    The forward chain on the grid is x_i = q x_{i-1} + G z with q = s_i / s_{i-1}, G^2 = s_i^2 (sigma_i^2 -
    sigma_{i-1}^2): sqrt(1 - beta_i) and sqrt(beta_i) for VP, 1 and sqrt(sigma_i^2 - sigma_{i-1}^2) for VE, and the
    exact transition for any other (the authors' code has an Euler step for sub-VP). The reverse step is

        x_{i-1} = (2 - q) x_i + G^2 score + G z,   score = (D - x_hat) / (s_i sigma_i^2),

    with half of G^2 and no noise for the probability flow. The last step returns the mean, without noise.
    """

    def __init__(self, probability_flow: bool = False, brownian: bool = False) -> None:
        self.probability_flow, self.brownian = probability_flow, brownian

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> LinearPlan:
        """Weights of x_hat, D and z."""
        sigma, target = grid.sigma[:-1], grid.sigma[1:]
        q = grid.scale[:-1] / grid.scale[1:]
        variance = q**2 * (sigma**2 - target**2)  # G^2 in x_hat of the target
        pull = variance / (q * sigma**2) * (0.5 if self.probability_flow else 1.0)
        noise_std = np.zeros_like(sigma) if self.probability_flow else np.sqrt(variance)
        noise_std[-1] = 0.0
        return LinearPlan(sigma, (2 - q) * q - pull, pull, noise_std)
