"""Singlestep exponential integrators in lambda = -ln sigma: DPM-Solver and DPM-Solver++ of order 2 and 3, DPM2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.samplers.ddim import down_and_up
from diffbench.samplers.integrate import Denoise, Noise, State
from diffbench.samplers.moments import denoised_moments, interpolating_weights, noise_moments
from diffbench.samplers.multistep import Estimate, combine, noise_estimate

# Where the stages lie, as shares of the step in lambda: r1 of order 2; r1 and r2 of order 3.
STAGES: Mapping[int, tuple[float, ...]] = {2: (0.0, 1 / 2), 3: (0.0, 1 / 3, 2 / 3)}


@dataclass(frozen=True)
class SinglestepPlan:
    """Float64 coefficients of N steps of S stages; the estimate of stage j is taken at ``sigma`` (N, S)[i, j].

    From the x that the step began with, stage j leads to x_weight[i, j] x + sum_{k <= j} weights[i, j, k] y_k: to where
    the next estimate is taken, or to the end. ``stages`` (N,) is 1 for the step onto sigma = 0. ``noise_std`` (N,).
    """

    sigma: FloatArray
    stages: list[int]
    x_weight: FloatArray
    weights: FloatArray
    noise_std: FloatArray


class Singlestep:
    """DPM-Solver-2, -3 (Lu et al. 2022, DPM-Solver, Algorithms 1 and 2) and DPM-Solver++ (Lu et al. 2022, 2S and 3S).

    The estimate y, of the noise or of x0, is a polynomial in lambda through that of the step's start and that of the
    newest stage, with stages at r1 = 1/2, or r1 = 1/3 and r2 = 2/3. With order 2, half of the moment M_0 replaces M_1,
    so that the step is one with the estimate at the middle: DPM2, the midpoint rule in log sigma. With ``eta`` > 0 the
    step ends below the target and noise leads up to it, as in ``ddim``.
    """

    def __init__(self, estimate: Estimate, order: int, eta: float = 0.0, brownian: bool = False) -> None:
        self.estimate, self.order, self.eta, self.brownian = estimate, order, eta, brownian

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> SinglestepPlan:
        """The weights of x and of the estimates, and the noise."""
        shares = STAGES[self.order]
        down, up = down_and_up(grid, self.eta)
        shape = (grid.steps, self.order)
        stages = [self.order if target > 0 else 1 for target in down]
        plan = SinglestepPlan(np.zeros(shape), stages, np.ones(shape), np.zeros((*shape, self.order)), up)
        for i, (sigma, target) in enumerate(zip(grid.sigma[:-1].tolist(), down.tolist(), strict=True)):
            ends = (*shares[1:], 1.0) if stages[i] > 1 else (1.0,)
            levels = [sigma ** (1 - end) * target**end for end in ends]
            plan.sigma[i, : stages[i]] = [sigma, *levels[:-1]]
            for j, level in enumerate(levels):
                plan.x_weight[i, j], weights = self._leg(j, sigma, level, ends[j])
                plan.weights[i, j, [0, j] if j else [0]] = weights
        return plan

    def _leg(self, j: int, sigma: float, level: float, end: float) -> tuple[float, FloatArray]:
        """Weights of x, and of the first and newest estimate, for the way to ``level``, which is at share ``end``."""
        count = 1 if j == 0 else 2
        if self.estimate == "noise":
            x_weight, moments = 1.0, noise_moments(sigma, level, count)
        else:
            x_weight = level / sigma
            moments = denoised_moments(-np.log(x_weight) if level > 0 else np.inf, count)
        if j == 0:
            return x_weight, np.array(moments)
        if self.order == 2:
            moments[1] = moments[0] / 2
        return x_weight, interpolating_weights([0.0, STAGES[self.order][j] / end], moments)

    def init(self, x: Tensor) -> State:
        """The state before the first step."""
        return State(x)

    def step(self, state: State, i: int, plan: SinglestepPlan, denoise: Denoise, noise: Noise) -> State:
        """All stages of the step, then its noise."""
        x, estimates = state.x, list[Tensor]()
        for j in range(plan.stages[i]):
            sigma, x_weight = float(plan.sigma[i, j]), float(plan.x_weight[i, j])
            newest = denoise(x, sigma)
            estimates.append(noise_estimate(x, newest, sigma) if self.estimate == "noise" else newest)
            own = x_weight != 1
            x = combine(state.x.mul(x_weight) if own else state.x, estimates, plan.weights[i, j], own)
        if plan.noise_std[i] > 0:
            x = x.add_(noise.normal("step", i), alpha=float(plan.noise_std[i]))
        return State(x)


DPM_SOLVER_2S = partial(Singlestep, "noise", 2)
DPM_SOLVER_3S = partial(Singlestep, "noise", 3)
DPMPP_2S = partial(Singlestep, "denoised", 2)
DPMPP_3S = partial(Singlestep, "denoised", 3)
DPM_2_ANCESTRAL = partial(Singlestep, "noise", 2, eta=1.0)
DPMPP_2S_ANCESTRAL = partial(Singlestep, "denoised", 2, eta=1.0)
