"""DPM-Solver with adaptive steps: two orders from the same evaluations, and their difference as the error."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.samplers.integrate import Denoise, Noise, State
from diffbench.samplers.runge_kutta import TimesPlan, tries

SAFETY, FIRST_STEP = 0.9, 0.05


class DPMAdaptive:
    """Lu et al. 2022 (DPM-Solver), appendix C: DPM-Solver-12 and -23 on the noise estimate.

    ``order`` 2 compares DPM-Solver-1 and -2 (r1 = 1/2), ``order`` 3 DPM-Solver-2 (r1 = 1/3) and -3 (r1 = 1/3,
    r2 = 2/3). A step h in lambda is taken if E, the root of the mean square of (x_high - x_low) / max(atol,
    rtol max(|x_low|, |x_before|)) in x_t, is at most 1; the next is 0.9 h E^{-1/order}. Each sample has its own steps;
    ``coupled`` takes the batch's largest E, as in the authors' code. The step onto sigma = 0 is one more evaluation.
    """

    def __init__(
        self, order: Literal[2, 3] = 3, rtol: float = 0.05, atol: float = 0.0078, coupled: bool = False
    ) -> None:
        self.order, self.rtol, self.atol, self.coupled = order, rtol, atol, coupled

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> TimesPlan:
        """Nothing can be worked out before the error is known."""
        return TimesPlan(grid, schedule)

    def init(self, x: Tensor) -> State:
        """The state before the first step."""
        return State(x)

    def step(self, state: State, i: int, plan: TimesPlan, denoise: Denoise, noise: Noise) -> State:
        """All steps within one interval."""
        grid, schedule, x = plan.grid, plan.schedule, state.x
        if grid.sigma[i + 1] == 0:
            return State(denoise(x, float(grid.sigma[i])))
        last = -float(np.log(grid.sigma[i + 1]))
        rows = torch.arange(len(x), device=x.device)
        lam, size = np.full(len(x), -np.log(grid.sigma[i])), np.full(len(x), FIRST_STEP)
        before, result = x, x.clone()
        tried = tries(self.rtol, self.atol)
        while len(rows):
            next(tried)
            remaining = last - lam
            size = np.minimum(size, remaining)
            low, high = self.pair(x, lam, size, denoise)
            scale = column(schedule.scale_of(np.exp(-(lam + size))), x)
            old = column(schedule.scale_of(np.exp(-lam)), x)
            allowed = (self.rtol * torch.maximum((scale * low).abs(), (old * before).abs())).clamp(min=self.atol)
            ratio = scale * (high - low) / allowed
            error = ratio.flatten(1).double().square().mean(dim=1).sqrt().cpu().numpy()
            if self.coupled:
                error = np.full_like(error, error.max())
            lost, accepted = ~np.isfinite(error), error <= 1
            arrived = lost | (accepted & (size >= remaining))
            high = high + 0 * ratio  # an infinity in the error is a NaN in the sample
            keep = column((accepted | lost).astype(np.float64), x) > 0
            before, x = torch.where(keep, low, before), torch.where(keep, high, x)
            lam = np.where(accepted, lam + size, lam)
            with np.errstate(divide="ignore"):
                size = SAFETY * size * error ** (-1 / self.order)
            if arrived.any():
                stay = torch.from_numpy(~arrived).to(x.device)
                result[rows[~stay]] = x[~stay]
                x, before, rows, lam, size = x[stay], before[stay], rows[stay], lam[~arrived], size[~arrived]
        return State(result)

    def pair(self, x: Tensor, lam: FloatArray, h: FloatArray, denoise: Denoise) -> tuple[Tensor, Tensor]:
        """Where the lower and the higher order lead from x (B,C,H,W) at lambda (B,) by h (B,)."""
        sigma, target = np.exp(-lam), np.exp(-(lam + h))

        def noise_at(point: Tensor, level: FloatArray) -> Tensor:
            return (point - denoise(point, torch.from_numpy(level))) / column(level, x)

        def along(estimate: Tensor, level: FloatArray) -> Tensor:
            return x + column(level - sigma, x) * estimate

        def second_moment(level: FloatArray, share: float) -> Tensor:
            """-level ((e^{share h} - 1) / (share h) - 1)."""
            return column(-level * (np.expm1(share * h) / (share * h) - 1), x)

        first = noise_at(x, sigma)
        if self.order == 2:
            middle = np.exp(-(lam + h / 2))
            return along(first, target), along(noise_at(along(first, middle), middle), target)
        one, two = np.exp(-(lam + h / 3)), np.exp(-(lam + 2 * h / 3))
        change = noise_at(along(first, one), one) - first
        low = along(first, target) + column(1.5 * (target - sigma), x) * change
        point = along(first, two) + 2 * second_moment(two, 2 / 3) * change
        high = along(first, target) + 1.5 * second_moment(target, 1.0) * (noise_at(point, two) - first)
        return low, high


def column(values: FloatArray, like: Tensor) -> Tensor:
    """Values (B,) as a tensor that multiplies ``like`` (B,C,H,W) sample by sample."""
    return torch.from_numpy(np.asarray(values, dtype=np.float64)).to(like).view(-1, *[1] * (like.ndim - 1))
