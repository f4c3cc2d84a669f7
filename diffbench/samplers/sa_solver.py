"""SA-Solver: stochastic Adams methods, with a noise level of one's choice."""

from __future__ import annotations

import numpy as np

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.samplers.exponential import minus_log_sigma, order_at, shares
from diffbench.samplers.moments import denoised_moments, interpolating_weights
from diffbench.samplers.multistep import MultistepPlan, MultistepSampler, empty_plan


class SASolver(MultistepSampler):
    """Xue et al. 2023 (SA-Solver), Eq. 15 (predictor) and 18 (corrector), on the denoised estimate.

    The reverse SDE of strength tau, dx = (1 + tau^2) (x - D) dln(sigma) + tau sqrt(2) sigma dw: tau = 0 is the
    probability-flow ODE, tau = 1 the usual SDE. Each step is exact for a D that is a polynomial in lambda through
    ``predictor_order`` estimates; the corrector, with the same noise, takes ``corrector_order`` estimates, of which the
    newest is that at the predicted point (0: none). ``tau`` holds for steps that begin within [s_min, s_max].
    """

    estimate = "denoised"

    def __init__(
        self,
        tau: float = 1.0,
        s_min: float = 0.0,
        s_max: float = np.inf,
        predictor_order: int = 3,
        corrector_order: int = 4,
        brownian: bool = False,
    ) -> None:
        self.tau, self.s_min, self.s_max = tau, s_min, s_max
        self.predictor_order, self.corrector_order = predictor_order, corrector_order
        self.brownian = brownian

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> MultistepPlan:
        """The weights of x, of the estimates and of the noise."""
        plan = empty_plan(grid, max(self.predictor_order, self.corrector_order), self.corrector_order > 0)
        lam = minus_log_sigma(grid)
        inside = (self.s_min <= grid.sigma[:-1]) & (grid.sigma[:-1] <= self.s_max)
        rate = 1 + np.where(inside, self.tau, 0.0) ** 2
        ratio = grid.sigma[1:] / grid.sigma[:-1]
        plan.x_weight[:] = ratio**rate
        plan.noise_std[:] = grid.sigma[1:] * np.sqrt(1 - ratio ** (2 * (rate - 1)))
        for i in range(grid.steps):
            h = float(lam[i + 1] - lam[i])
            order = order_at(i, grid, self.predictor_order, lower_order_final=False)
            moments = denoised_moments(h, order, float(rate[i]))
            known = range(i, i - order, -1)
            plan.weights[i, :order] = interpolating_weights(shares(lam, i, known), moments)
            if plan.corrector is not None and i + 1 < grid.steps:
                order = min(self.corrector_order, i + 2)
                moments = denoised_moments(h, order, float(rate[i]))
                points = range(i + 1, i + 1 - order, -1)
                plan.corrector[i + 1, :order] = interpolating_weights(shares(lam, i, points), moments)
        return plan
