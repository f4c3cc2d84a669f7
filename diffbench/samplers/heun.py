"""EDM's second-order sampler, deterministic or with churn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.samplers.integrate import Denoise, Noise, State


@dataclass(frozen=True)
class HeunPlan:
    """Per step, float64 (N,): the churned sigma, the target, and the std of the noise that churning adds."""

    churned: NDArray[np.float64]
    target: NDArray[np.float64]
    churn_std: NDArray[np.float64]


class Heun:
    """Karras et al. 2022 (EDM), Algorithm 2; with ``s_churn`` = 0 it is Algorithm 1 with sigma(t) = t, s(t) = 1.

    Two evaluations a step, one for the last step onto sigma = 0. A churned sigma never exceeds the schedule's largest.
    """

    def __init__(self, s_churn: float = 0.0, s_min: float = 0.0, s_max: float = math.inf, s_noise: float = 1.0) -> None:
        self.s_churn, self.s_min, self.s_max, self.s_noise = s_churn, s_min, s_max, s_noise

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> HeunPlan:
        """Algorithm 2, lines 3 to 6: gamma = min(s_churn / N, sqrt(2) - 1) inside [s_min, s_max]."""
        sigma, target = grid.sigma[:-1], grid.sigma[1:]
        gamma = min(self.s_churn / grid.steps, math.sqrt(2) - 1)
        inside = (self.s_min <= sigma) & (sigma <= self.s_max)
        churned = np.where(inside, sigma * (1 + gamma), sigma)
        churned = np.maximum(np.minimum(churned, schedule.sigma_max), sigma)
        return HeunPlan(churned, target, self.s_noise * np.sqrt(churned**2 - sigma**2))

    def init(self, x: Tensor) -> State:
        """The state before the first step."""
        return State(x)

    def churn(self, x: Tensor, i: int, plan: HeunPlan, noise: Noise) -> Tensor:
        """Algorithm 2, line 6: raise x (B,C,H,W) to the churned sigma."""
        if plan.churn_std[i] > 0:
            return x.add(noise.normal("churn", i), alpha=float(plan.churn_std[i]))
        return x

    def step(self, state: State, i: int, plan: HeunPlan, denoise: Denoise, noise: Noise) -> State:
        """Algorithm 2, lines 6 to 11."""
        return State(heun(self.churn(state.x, i, plan, noise), float(plan.churned[i]), float(plan.target[i]), denoise))


def heun(x: Tensor, sigma: float, target: float, denoise: Denoise) -> Tensor:
    """One of Heun's steps on dx/dsigma = (x - D) / sigma (Karras et al. 2022, Algorithm 1, lines 4 to 8)."""
    denoised = denoise(x, sigma)
    if target == 0:
        return denoised
    slope = (x - denoised).div_(sigma)
    euler = x.add(slope, alpha=target - sigma)
    slope_at_target = (euler - denoise(euler, target)).div_(target)
    return x.add(slope.add_(slope_at_target), alpha=0.5 * (target - sigma))


class EDMEuler(Heun):
    """Karras et al. 2022 (EDM), Algorithm 2 without its lines 9 to 11: churn, then an Euler step. One evaluation."""

    def step(self, state: State, i: int, plan: HeunPlan, denoise: Denoise, noise: Noise) -> State:
        """Algorithm 2, lines 6 to 8."""
        churned, ratio = float(plan.churned[i]), float(plan.target[i] / plan.churned[i])
        x = self.churn(state.x, i, plan, noise)
        return State(x.mul(ratio).add_(denoise(x, churned), alpha=1 - ratio))
