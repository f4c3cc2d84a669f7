"""Samplers whose step is one linear combination of the state, one denoised estimate and one noise draw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.samplers.integrate import Denoise, Noise, State


@dataclass(frozen=True)
class LinearPlan:
    """x <- x_weight[i] x + denoised_weight[i] D(x, sigma[i]) + noise_std[i] z, each array (N,) float64."""

    sigma: NDArray[np.float64]
    x_weight: NDArray[np.float64]
    denoised_weight: NDArray[np.float64]
    noise_std: NDArray[np.float64]


class LinearSampler(ABC):
    """One evaluation a step; a subclass only plans."""

    @abstractmethod
    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> LinearPlan:
        """The coefficients on this grid."""

    def init(self, x: Tensor) -> State:
        """The state before the first step."""
        return State(x)

    def step(self, state: State, i: int, plan: LinearPlan, denoise: Denoise, noise: Noise) -> State:
        """Apply the i-th linear combination; no noise is drawn where its weight is zero."""
        denoised = denoise(state.x, float(plan.sigma[i]))
        x = state.x.mul(float(plan.x_weight[i])).add_(denoised, alpha=float(plan.denoised_weight[i]))
        if plan.noise_std[i] > 0:
            x = x.add_(noise.normal("step", i), alpha=float(plan.noise_std[i]))
        return State(x)
