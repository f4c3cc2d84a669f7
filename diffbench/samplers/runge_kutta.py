"""The probability-flow ODE in the family's own time, by an adaptive Runge-Kutta method of order 5(4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.errors import CellFailed
from diffbench.samplers.integrate import Denoise, Noise, State

# Dormand & Prince 1980, the pair of order 5(4): where the stages lie, their weights, and the error's.
STAGES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
WEIGHTS = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (-71 / 57600, 0.0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40)
# Step control of Hairer, Norsett & Wanner 1993, section II.4, with the constants of scipy's solve_ivp.
SAFETY, SMALLEST_FACTOR, LARGEST_FACTOR = 0.9, 0.2, 10.0
MOST_TRIES = 5000
"""Steps, rejected ones included, that an interval may take: rounding keeps errors above ever smaller tolerances."""

Slope = Callable[[FloatArray, Tensor, Tensor], Tensor]
"""(times (R,), x (R,D), which rows these are (R,)) -> dx/dt (R,D)."""


def solve_rk45(slope: Slope, x: Tensor, begin: float, end: float, rtol: float, atol: float) -> Tensor:
    """Solution (R,D) at ``end`` of dx/dt = slope from x (R,D) at ``begin``; every row has steps of its own.

    As scipy's ``solve_ivp(method="RK45")`` does it, row by row: the same first step, error norm and step control. A
    finished row is evaluated no more; one whose error is not finite is given up, NaN where it is not.

    Raises:
        CellFailed: ``MOST_TRIES`` steps did not lead to the end.
    """
    direction = float(np.sign(end - begin))
    rows = torch.arange(len(x), device=x.device)
    time = np.full(len(x), begin)
    first = slope(time, x, rows)
    size = _first_step(slope, x, first, begin, end, rtol, atol)
    rejected = np.zeros(len(x), dtype=bool)
    result = x.clone()
    tried = tries(rtol, atol)
    while len(rows):
        next(tried)
        size = np.minimum(size, np.abs(end - time))
        signed = torch.as_tensor(direction * size, dtype=x.dtype, device=x.device).unsqueeze(1)
        slopes, moved = [first], x
        for share, weights in zip((*STAGES[1:], 1.0), WEIGHTS, strict=True):
            moved = x + signed * sum(w * k for w, k in zip(weights, slopes, strict=True) if w)
            slopes.append(slope(time + share * direction * size, moved, rows))
        scale = atol + rtol * torch.maximum(x.abs(), moved.abs())
        apart = signed * sum(w * k for w, k in zip(ERROR, slopes, strict=True) if w) / scale
        error = _rms(apart)
        lost, accepted = ~np.isfinite(error), error < 1
        with np.errstate(divide="ignore"):
            factor = np.clip(SAFETY * error**-0.2, SMALLEST_FACTOR, LARGEST_FACTOR)
        factor = np.where(accepted & rejected, np.minimum(factor, 1.0), factor)
        arrived = lost | (accepted & (size >= np.abs(end - time)))
        moved = moved + 0 * apart  # an infinity in the error is a NaN in the sample
        keep = torch.from_numpy(accepted | lost).to(x.device).unsqueeze(1)
        time = np.where(accepted, time + direction * size, time)
        x, first = torch.where(keep, moved, x), torch.where(keep, slopes[-1], first)
        rejected, size = ~accepted, size * factor
        if arrived.any():
            stay = torch.from_numpy(~arrived).to(x.device)
            result[rows[~stay]] = x[~stay]
            x, first, rows = x[stay], first[stay], rows[stay]
            time, size, rejected = time[~arrived], size[~arrived], rejected[~arrived]
    return result


def tries(rtol: float, atol: float) -> Iterator[int]:
    """The steps that one interval may take. Raises CellFailed after the last."""
    yield from range(MOST_TRIES)
    asked = f"rtol {rtol:g} and atol {atol:g} are below what the precision of samples and network allows"
    raise CellFailed(f"{MOST_TRIES:,} steps did not lead through one interval of the grid: {asked}")


def _rms(values: Tensor) -> FloatArray:
    """Root of the mean square of each row."""
    found: FloatArray = values.double().square().mean(dim=1).sqrt().cpu().numpy()
    return found


def _first_step(
    slope: Slope, x: Tensor, first: Tensor, begin: float, end: float, rtol: float, atol: float
) -> FloatArray:
    """Hairer, Norsett & Wanner 1993, section II.4, "starting step size"."""
    scale = atol + rtol * x.abs()
    d0, d1 = _rms(x / scale), _rms(first / scale)
    guess = np.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / np.maximum(d1, 1e-300))
    # Where the slope is not finite, any step will do: it finds out which samples are not.
    guess = np.minimum(np.where(np.isfinite(guess), guess, np.inf), abs(end - begin))
    signed = guess * np.sign(end - begin)
    ahead = x + torch.as_tensor(signed, dtype=x.dtype, device=x.device).unsqueeze(1) * first
    second = slope(begin + signed, ahead, torch.arange(len(x), device=x.device))
    d2 = _rms((second - first) / scale) / guess
    largest = np.maximum(d1, d2)
    other = np.where(largest <= 1e-15, np.maximum(1e-6, guess * 1e-3), (0.01 / np.maximum(largest, 1e-300)) ** 0.2)
    size: FloatArray = np.minimum(np.minimum(100 * guess, other), abs(end - begin))
    return np.where(np.isfinite(largest), size, guess)


@dataclass(frozen=True)
class TimesPlan:
    """The grid, and the schedule whose drift and diffusion the ODE has."""

    grid: TimeGrid
    schedule: NoiseSchedule


class ProbabilityFlowRK45:
    """Song et al. 2021 (Score-SDE), Eq. 13 and appendix D.4: dx = [f x - g^2 score / 2] dt on x_t, by RK45.

    Every interval of the grid is solved to the tolerances; the step onto sigma = 0 is one more evaluation. Each sample
    has its own error norm and steps; ``coupled`` pools the error over the batch, as in the authors' code.
    """

    def __init__(self, rtol: float = 1e-5, atol: float = 1e-5, coupled: bool = False) -> None:
        self.rtol, self.atol, self.coupled = rtol, atol, coupled

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> TimesPlan:
        """Nothing can be worked out before the error is known."""
        return TimesPlan(grid, schedule)

    def init(self, x: Tensor) -> State:
        """The state before the first step."""
        return State(x)

    def step(self, state: State, i: int, plan: TimesPlan, denoise: Denoise, noise: Noise) -> State:
        """All steps within one interval."""
        grid, schedule, shape = plan.grid, plan.schedule, state.x.shape
        if grid.sigma[i + 1] == 0:
            return State(denoise(state.x, float(grid.sigma[i])))
        samples = shape[0] if self.coupled else 1  # in a row of the solver

        def slope(times: FloatArray, x: Tensor, rows: Tensor) -> Tensor:
            at = np.clip(np.repeat(times, samples), float(grid.t[i + 1]), float(grid.t[i]))
            x_t = x.reshape(-1, *shape[1:])
            sigma, scale, g2 = schedule.sigma(at), schedule.scale(at), schedule.diffusion_squared(at)
            pull = 0.5 * g2 / (scale * sigma) ** 2
            columns = np.stack([1 / scale, schedule.drift(at) + pull, -pull * scale])
            back, on_x, on_x0 = torch.from_numpy(columns).to(x).view(3, -1, *[1] * (len(shape) - 1))
            change: Tensor = on_x * x_t + on_x0 * denoise(back * x_t, torch.from_numpy(sigma))
            return change.view_as(x)

        x_t = (state.x * float(grid.scale[i])).reshape(-1, samples * shape[1:].numel())
        solved = solve_rk45(slope, x_t, float(grid.t[i]), float(grid.t[i + 1]), self.rtol, self.atol)
        return State(solved.view(shape) / float(grid.scale[i + 1]))
