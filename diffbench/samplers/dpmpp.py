"""DPM-Solver++: exponential integrators on the denoised estimate, in lambda = -ln sigma."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.samplers.integrate import Denoise, Noise, State


@dataclass(frozen=True)
class MultistepPlan:
    """x <- x_weight[i] x + newest[i] D_i + previous[i] D_{i-1}; float64 (N,)."""

    sigma: NDArray[np.float64]
    x_weight: NDArray[np.float64]
    newest: NDArray[np.float64]
    previous: NDArray[np.float64]


class DPMSolverPP2M:
    """Lu et al. 2022 (DPM-Solver++), Algorithm 2.

    With h_i = lambda_{i+1} - lambda_i and r = h_{i-1} / h_i, in x_hat:

        x <- e^{-h} x + (1 - e^{-h}) [(1 + 1/(2r)) D_i - 1/(2r) D_{i-1}].

    The first step has no earlier estimate and the step onto sigma = 0 an infinite h: both are of first order.
    """

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> MultistepPlan:
        """The three weights of each step."""
        sigma, target = grid.sigma[:-1], grid.sigma[1:]
        x_weight = target / sigma
        half_inverse_r = np.zeros_like(sigma)
        inner = np.flatnonzero(target > 0)[1:]
        h = -np.log(x_weight, where=target > 0, out=np.full_like(sigma, -np.inf))
        half_inverse_r[inner] = h[inner] / (2 * h[inner - 1])
        span = 1 - x_weight
        return MultistepPlan(sigma, x_weight, span * (1 + half_inverse_r), -span * half_inverse_r)

    def init(self, x: Tensor) -> State:
        """The state before the first step."""
        return State(x)

    def step(self, state: State, i: int, plan: MultistepPlan, denoise: Denoise, noise: Noise) -> State:
        """One evaluation; the estimate is kept for the next step."""
        denoised = denoise(state.x, float(plan.sigma[i]))
        x = state.x.mul(float(plan.x_weight[i])).add_(denoised, alpha=float(plan.newest[i]))
        if plan.previous[i] != 0:
            x = x.add_(state.history[0], alpha=float(plan.previous[i]))
        return State(x, (denoised,))
