"""Multistep exponential integrators in lambda = -ln sigma: DPM-Solver, DPM-Solver++ and UniPC."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.samplers.moments import denoised_moments, interpolating_weights, noise_moments
from diffbench.samplers.multistep import Estimate, MultistepPlan, MultistepSampler, empty_plan


def minus_log_sigma(grid: TimeGrid) -> FloatArray:
    """Lambda of every grid point (N+1,); infinite at sigma = 0."""
    with np.errstate(divide="ignore"):
        return -np.log(grid.sigma)


def order_at(i: int, grid: TimeGrid, order: int, lower_order_final: bool) -> int:
    """The order of step i: as many estimates as there are; first order onto sigma = 0, where h is infinite."""
    if grid.sigma[i + 1] == 0:
        return 1
    return min(order, i + 1, grid.steps - i if lower_order_final else order)


def shares(lam: FloatArray, i: int, indices: Sequence[int]) -> list[float]:
    """Where the points ``indices`` lie, in lambda, if step i leads from 0 to 1, also if it is infinitely long."""
    if not np.isfinite(lam[i + 1]):
        return [0.0 for _ in indices]
    return [float((lam[k] - lam[i]) / (lam[i + 1] - lam[i])) for k in indices]


class DPMMultistep(MultistepSampler):
    """Multistep DPM-Solver(++) of order 1 to 3 on the ODE, or with ``rate`` 2 on the reverse SDE.

    With h the step in lambda, s the share of it, D_k the estimates, r_k the earlier steps over h, D1 = (D_0 - D_1)/r_0:

    - second order (Lu et al. 2022, DPM-Solver++(2M)): M_0 (D_0 + D1 / 2), so M_0 / 2 replaces the moment M_1;
    - third order, published (dpm-solver's multistep_dpm_solver_third_update): the second derivative's term M_2 / 2 is
      multiplied by D2 = (D1_0 - D1_1) / (r_0 + r_1), which is only half of that derivative. The method is therefore of
      second order. ``corrected`` doubles D2: the polynomial through three estimates, and third order.

    The first steps have fewer estimates and are of lower order; the step onto sigma = 0 is of first order. Those of
    second order take M_0 / 2 too, but M_1 itself in the third-order method for the SDE (k-diffusion's
    sample_dpmpp_3m_sde). ``lower_order_final`` lowers the order in the same way before the end.
    """

    def __init__(
        self,
        estimate: Estimate,
        order: int,
        corrected: bool = False,
        lower_order_final: bool = False,
        rate: float = 1.0,
        brownian: bool = False,
    ) -> None:
        self.estimate = estimate
        self.order, self.corrected, self.lower_order_final, self.rate = order, corrected, lower_order_final, rate
        self.brownian = brownian

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> MultistepPlan:
        """The weights of x, of the estimates and of the noise."""
        plan = empty_plan(grid, self.order)
        lam = minus_log_sigma(grid)
        for i in range(grid.steps):
            order = order_at(i, grid, self.order, self.lower_order_final)
            h = float(lam[i + 1] - lam[i])
            if self.estimate == "noise":
                moments = noise_moments(float(grid.sigma[i]), float(grid.sigma[i + 1]), order)
            else:
                moments = denoised_moments(h, order, self.rate)
                plan.x_weight[i] = np.exp(-self.rate * h)
            if order == 2 and (self.order == 2 or self.rate == 1):
                moments[1] = moments[0] / 2
            elif order == 3 and not self.corrected:
                moments[2] /= 2
            plan.weights[i, :order] = interpolating_weights(shares(lam, i, range(i, i - order, -1)), moments)
        # Of the SDE dx = rate (x - D) dln(sigma) + sqrt(2 (rate - 1)) sigma dw.
        excess = 1 - (grid.sigma[1:] / grid.sigma[:-1]) ** (2 * (self.rate - 1))
        plan.noise_std[:] = grid.sigma[1:] * np.sqrt(excess)
        return plan


DPM_SOLVER_2M = partial(DPMMultistep, "noise", 2)
DPMSolver3M = partial(DPMMultistep, "noise", 3, lower_order_final=True)
DPMPP_2M = partial(DPMMultistep, "denoised", 2)
DPMPP3M = partial(DPMMultistep, "denoised", 3, lower_order_final=True)
SDE_DPMPP_2M = partial(DPMMultistep, "denoised", 2, rate=2.0)
SDEDPMPP3M = partial(DPMMultistep, "denoised", 3, lower_order_final=True, rate=2.0)


class UniPC(MultistepSampler):
    """Zhao et al. 2023 (UniPC), multistep UniP (predictor) and UniC (corrector), on the denoised estimate.

    Both integrate a polynomial: the predictor that through the last ``order`` estimates, the corrector also through
    that at the predicted point, which the next step evaluates anyway. Where one difference is all there is (predictor
    of order 2, corrector of order 1) the paper takes B(h) / 2 for the moment M_1: h / 2 for ``bh1``, M_0 / 2 for
    ``bh2``. The sample that the last step lands on is not corrected.
    """

    estimate = "denoised"

    def __init__(self, order: int = 3, variant: Literal["bh1", "bh2"] = "bh2", lower_order_final: bool = True) -> None:
        self.order, self.variant, self.lower_order_final = order, variant, lower_order_final

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> MultistepPlan:
        """The weights of x and of the estimates, in the predictor and in the corrector of the step before."""
        plan = empty_plan(grid, self.order + 1, corrector=True)
        assert plan.corrector is not None
        lam = minus_log_sigma(grid)
        plan.x_weight[:] = grid.sigma[1:] / grid.sigma[:-1]
        for i in range(grid.steps):
            order = order_at(i, grid, self.order, self.lower_order_final)
            known = range(i, i - order, -1)
            plan.weights[i, :order] = self._weights(lam, i, known)
            if i + 1 < grid.steps:
                plan.corrector[i + 1, : order + 1] = self._weights(lam, i, [i + 1, *known])
        return plan

    def _weights(self, lam: FloatArray, i: int, points: Sequence[int]) -> FloatArray:
        h = float(lam[i + 1] - lam[i])
        moments = denoised_moments(h, len(points))
        if len(points) == 2:
            moments[1] = (h if self.variant == "bh1" else moments[0]) / 2
        return interpolating_weights(shares(lam, i, points), moments)
