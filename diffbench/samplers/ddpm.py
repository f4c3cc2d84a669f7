"""Ancestral sampling of the (respaced) discrete reverse chain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.errors import UsageError
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.integrate import Denoise, Estimator, Noise, State
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


@dataclass(frozen=True)
class LearnedPlan(LinearPlan):
    """The noise of an element has std noise_std[i] exp(spread[i] p), p its ``variance_position``; spread (N,)."""

    spread: FloatArray


class LearnedDDPM:
    """Nichol & Dhariwal 2021, Eq. 15: log variance = v log beta + (1 - v) log beta-tilde, v = (p + 1) / 2.

    The mean is :class:`DDPM`'s; p is the network's ``variance_position``, for every element of a sample. On a subset of
    the chain both variances are those of the subset (their section 4). UsageError where the network predicts no
    variance.
    """

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> LearnedPlan:
        """Weights of x and D; of z the geometric mean of the two stds, and half the logarithm of their ratio."""
        small, large = (DDPM(variance).plan(grid, schedule) for variance in ("fixed_small", "fixed_large"))
        ratio = np.divide(large.noise_std, small.noise_std, out=np.ones(grid.steps), where=small.noise_std > 0)
        mean = np.sqrt(small.noise_std * large.noise_std)
        return LearnedPlan(small.sigma, small.x_weight, small.denoised_weight, mean, np.log(ratio) / 2)

    def init(self, x: Tensor) -> State:
        """The state before the first step."""
        return State(x)

    def step(self, state: State, i: int, plan: LearnedPlan, denoise: Denoise, noise: Noise) -> State:
        """The mean, and noise of each element's own std where the step has any."""
        assert isinstance(denoise, Estimator)
        denoised = denoise.in_full(state.x, float(plan.sigma[i]))
        if denoised.variance_position is None:
            raise UsageError("ddpm with variance learned: the network predicts no variance")
        x = state.x.mul(float(plan.x_weight[i])).add_(denoised.x0, alpha=float(plan.denoised_weight[i]))
        if plan.noise_std[i] > 0:
            share = denoised.variance_position.to(x.dtype).mul(float(plan.spread[i])).exp_()
            x = x.add_(share.mul_(float(plan.noise_std[i])).mul_(noise.normal("step", i)))
        return State(x)


def ddpm(variance: Literal["fixed_small", "fixed_large", "learned"] = "fixed_small") -> DDPM | LearnedDDPM:
    """The sampler ``ddpm``."""
    return LearnedDDPM() if variance == "learned" else DDPM(variance)


FIXED_LARGE = partial(DDPM, "fixed_large")
