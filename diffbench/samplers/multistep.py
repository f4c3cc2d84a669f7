"""Samplers that remember earlier estimates: one evaluation a step, and one linear combination of what is remembered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.samplers.integrate import Denoise, Noise, State

Estimate = Literal["denoised", "noise"]


@dataclass(frozen=True)
class MultistepPlan:
    """Float64 coefficients of N steps, with y_i the estimate at step i and K the most that are remembered.

    x <- x_weight[i] x + sum_k weights[i, k] y_{i-k} + noise_std[i] z, where first, if there is a ``corrector`` (N, K),
    x is replaced by what it would have been had y_i been known: the last step's x_weight x + noise_std z, plus
    sum_k corrector[i, k] y_{i-k}.
    """

    sigma: FloatArray
    x_weight: FloatArray
    weights: FloatArray
    noise_std: FloatArray
    corrector: FloatArray | None = None


def empty_plan(grid: TimeGrid, memory: int, corrector: bool = False) -> MultistepPlan:
    """A plan that moves nothing, to be filled in."""
    n = grid.steps
    return MultistepPlan(
        sigma=grid.sigma[:-1],
        x_weight=np.ones(n),
        weights=np.zeros((n, memory)),
        noise_std=np.zeros(n),
        corrector=np.zeros((n, memory)) if corrector else None,
    )


def noise_estimate(x: Tensor, denoised: Tensor, sigma: float) -> Tensor:
    """The noise in x_hat, (x_hat - D) / sigma = dx_hat/dsigma."""
    return (x - denoised).div_(sigma)


def combine(base: Tensor, estimates: Sequence[Tensor], weights: FloatArray, own: bool = False) -> Tensor:
    """Base + sum_k weights[k] estimates[k], without the terms of weight zero; in place if ``base`` is the caller's."""
    for estimate, weight in zip(estimates, weights.tolist(), strict=False):
        if weight != 0:
            base = base.add_(estimate, alpha=weight) if own else base.add(estimate, alpha=weight)
            own = True
    return base


class MultistepSampler(ABC):
    """One evaluation a step; a subclass says which estimate it remembers, and plans."""

    estimate: Estimate

    @abstractmethod
    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> MultistepPlan:
        """The coefficients on this grid."""

    def init(self, x: Tensor) -> State:
        """The state before the first step."""
        return State(x)

    def step(self, state: State, i: int, plan: MultistepPlan, denoise: Denoise, noise: Noise) -> State:
        """One evaluation, at the predicted x; then correct x, if the plan does, and predict the next."""
        x, sigma = state.x, float(plan.sigma[i])
        newest = denoise(x, sigma)
        if self.estimate == "noise":
            newest = noise_estimate(x, newest, sigma)
        estimates = (newest, *state.history)[: plan.weights.shape[1]]
        if plan.corrector is not None and state.anchor is not None:
            x = combine(state.anchor, estimates, plan.corrector[i])
        base, own = x, False
        if plan.x_weight[i] != 1:
            base, own = x.mul(float(plan.x_weight[i])), True
        if plan.noise_std[i] > 0:
            base, own = base.add(noise.normal("step", i), alpha=float(plan.noise_std[i])), True
        if plan.corrector is None:
            return State(combine(base, estimates, plan.weights[i], own), estimates)
        return State(combine(base, estimates, plan.weights[i]), estimates, base)
