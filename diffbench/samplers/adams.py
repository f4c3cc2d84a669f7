"""Adams-Bashforth methods on the noise estimate eps = dx_hat/dsigma: LMS, iPNDM, PNDM and DEIS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.integrate import Denoise, Noise, State
from diffbench.samplers.moments import interpolating_weights, moments_in
from diffbench.samplers.multistep import MultistepPlan, MultistepSampler, empty_plan, noise_estimate


class LMS(MultistepSampler):
    """Variable-step Adams-Bashforth in sigma: eps is the polynomial in sigma through the last ``order`` estimates.

    Hairer, Norsett & Wanner 1993, section III.5; Zhang & Chen 2023 (DEIS), rhoAB of degree order - 1; iPNDM_v. The
    first steps have fewer estimates. Full order also onto sigma = 0.
    """

    estimate = "noise"

    def __init__(self, order: int) -> None:
        self.order = order

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> MultistepPlan:
        """The weights of the estimates."""
        plan = empty_plan(grid, self.order)
        for i in range(grid.steps):
            step = float(grid.sigma[i + 1] - grid.sigma[i])
            nodes = self._nodes(grid.sigma, i)
            plan.weights[i, : len(nodes)] = interpolating_weights(nodes, [step / (j + 1) for j in range(len(nodes))])
        return plan

    def _nodes(self, sigma: FloatArray, i: int) -> FloatArray:
        known = sigma[np.arange(i, i - min(self.order, i + 1), -1)]
        nodes: FloatArray = (known - sigma[i]) / (sigma[i + 1] - sigma[i])
        return nodes


class IPNDM(LMS):
    """Adams-Bashforth in sigma with the coefficients of equal steps: 1; 3/2, -1/2; 23, -16, 5 (/12); ... (/24).

    Zhang & Chen 2023 (DEIS), iPNDM; the coefficients are those of Liu et al. 2022 (PNDM), Eq. 12. Whatever the
    ``order``, on a grid with unequal steps the method is of second order.
    """

    def _nodes(self, sigma: FloatArray, i: int) -> FloatArray:
        return -np.arange(min(self.order, i + 1), dtype=np.float64)


@dataclass(frozen=True)
class PNDMPlan(MultistepPlan):
    """Also: sigma at the end of every step (N,), and halfway in time in the warm-up steps."""

    target: FloatArray = field(kw_only=True)
    middle: FloatArray = field(kw_only=True)
    warm_up_steps: int = field(kw_only=True)


class PNDM(IPNDM):
    """Fourth-order Adams-Bashforth with the coefficients of equal steps, after steps that build up its memory.

    ``runge-kutta``: three pseudo Runge-Kutta steps, whose midpoints lie halfway in time (Liu et al. 2022, Eq. 13 and
    Algorithm 2, F-PNDM). ``heun``: one step with the mean of the estimates at both ends (Rombach et al. 2022's PLMS
    sampler). Only evaluations on the grid are remembered. A step onto sigma = 0 needs no warm-up.
    """

    def __init__(self, warm_up: Literal["runge-kutta", "heun"] = "runge-kutta") -> None:
        super().__init__(order=4)
        self.warm_up = warm_up

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> PNDMPlan:
        """The weights of the estimates, and where the warm-up evaluates."""
        plan = super().plan(grid, schedule)
        longest = 3 if self.warm_up == "runge-kutta" else 1
        count = min(longest, int(np.count_nonzero(grid.sigma[1:])))
        middle = schedule.sigma((grid.t[:count] + grid.t[1 : count + 1]) / 2)
        return PNDMPlan(**vars(plan), target=grid.sigma[1:], middle=middle, warm_up_steps=count)

    def step(self, state: State, i: int, plan: MultistepPlan, denoise: Denoise, noise: Noise) -> State:
        """A warm-up step, or one of Adams-Bashforth."""
        assert isinstance(plan, PNDMPlan)
        if i >= plan.warm_up_steps:
            return super().step(state, i, plan, denoise, noise)
        sigma, middle, target = float(plan.sigma[i]), float(plan.middle[i]), float(plan.target[i])

        def slope(x: Tensor, level: float) -> Tensor:
            return noise_estimate(x, denoise(x, level), level)

        def along(direction: Tensor, level: float) -> Tensor:
            return state.x.add(direction, alpha=level - sigma)

        first = slope(state.x, sigma)
        if self.warm_up == "heun":
            mean = slope(along(first, target), target).add_(first).div_(2)
        else:
            second = slope(along(first, middle), middle)
            third = slope(along(second, middle), middle)
            fourth = slope(along(third, target), target)
            mean = second.add_(third).mul_(2).add_(first).add_(fourth).div_(6)
        return State(along(mean, target), (first, *state.history))


class DEIS(MultistepSampler):
    """Zhang & Chen 2023 (DEIS): eps is the polynomial of ``degree`` in ``variable`` through the last estimates.

    The integral is over sigma, which is the paper's rho: x_hat is its y = Psi x. ``t``: tAB-DEIS, in the family's own
    time; ``log-rho``: in log sigma; rhoAB is :class:`LMS`. The first steps have fewer estimates; the step
    onto sigma = 0 is of degree 0.
    """

    estimate = "noise"

    def __init__(self, variable: Literal["t", "log-rho"], degree: int) -> None:
        self.variable, self.degree = variable, degree

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> MultistepPlan:
        """The weights of the estimates."""
        variable: Callable[[FloatArray], FloatArray] = np.log if self.variable == "log-rho" else schedule.t_of
        plan = empty_plan(grid, self.degree + 1)
        at = variable(grid.sigma[grid.sigma > 0])
        for i in range(grid.steps):
            sigma, target = float(grid.sigma[i]), float(grid.sigma[i + 1])
            order = min(self.degree + 1, i + 1) if target > 0 else 1
            known = np.arange(i, i - order, -1)
            nodes = (at[known] - at[i]) / (at[i + 1] - at[i]) if order > 1 else np.zeros(1)
            plan.weights[i, :order] = interpolating_weights(nodes, moments_in(variable, sigma, target, order))
        return plan


def lms(order: int = 4) -> DDIM | LMS:
    """The sampler ``lms``; one estimate makes an Euler step."""
    return DDIM() if order == 1 else LMS(order)


def ipndm(order: int = 4) -> DDIM | IPNDM:
    """The sampler ``ipndm``; one estimate makes an Euler step."""
    return DDIM() if order == 1 else IPNDM(order)


def deis(variable: Literal["t", "rho", "log-rho"] = "t", degree: int = 3) -> DDIM | LMS | DEIS:
    """The sampler ``deis``: rhoAB is variable-step Adams-Bashforth in sigma."""
    return lms(degree + 1) if variable == "rho" or degree == 0 else DEIS(variable, degree)
