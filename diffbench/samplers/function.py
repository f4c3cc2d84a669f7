"""A sampler that is one function with a loop of its own: ``fn(denoise, x, sigmas, noise) -> x``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffbench.catalog import Final, SamplerEntry
from diffbench.diffusion.denoiser import Denoised, Denoiser
from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.noise import Noise, NoiseSource
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.errors import UsageError, one_line
from diffbench.samplers.integrate import Estimator, start

Function = Callable[[Callable[[Tensor, Any], Tensor], Tensor, Tensor, Callable[..., Tensor]], Tensor]
"""(denoise, x (B,C,H,W), sigmas (N+1,) float64 on the CPU, noise) -> x at the last sigma.

``denoise(x, sigma)`` gives the estimate of x0 at one sigma (a number, or a tensor of one or of B); ``noise()`` gives
standard normals like x, new ones at each call, or those of draw i by ``noise(i)``.
"""


class Draws:
    """Standard normals of successive draws, each from (seed, sample, draw) alone; ``used`` once one was asked for."""

    def __init__(self, source: Noise) -> None:
        self.source = source
        self.next = 0
        self.used = False

    def __call__(self, step: int | None = None) -> Tensor:
        """The draw ``step``, or the next one."""
        chosen = self.next if step is None else int(step)
        self.next, self.used = chosen + 1, True
        return self.source.normal("step", chosen)


class FunctionSampler:
    """Runs the function on a grid; it works on x_hat, as all samplers do."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def run(
        self,
        denoiser: Denoiser,
        grid: TimeGrid,
        schedule: NoiseSchedule,
        noise: Noise,
        observe: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """Where it lands (B,C,H,W); ``observe`` sees that alone. Raises UsageError for another shape."""
        x = start(grid, schedule, noise)
        landed = self.function(_estimate(denoiser), x.clone(), torch.from_numpy(grid.sigma.copy()), Draws(noise))
        landed = _checked(landed, x)
        if observe is not None:
            observe(grid.steps - 1, landed)
        return landed


def _checked(landed: object, x: Tensor) -> Tensor:
    """What the function returned, in x's precision. Raises UsageError if it is no sample."""
    if not isinstance(landed, Tensor) or landed.shape != x.shape:
        found = f"shape {tuple(landed.shape)}" if isinstance(landed, Tensor) else type(landed).__name__
        raise UsageError(f"the sampler's function returned {found}; expected x of shape {tuple(x.shape)}")
    return landed.to(x.dtype)


def _estimate(denoiser: Denoiser) -> Callable[[Tensor, Any], Tensor]:
    estimator = Estimator(denoiser)

    def denoise(x: Tensor, sigma: Any) -> Tensor:
        if isinstance(sigma, Tensor):
            sigma = float(sigma) if sigma.numel() == 1 else sigma.detach().to("cpu", torch.float64).reshape(-1)
        return estimator(x, sigma if isinstance(sigma, Tensor) else float(sigma))

    return denoise


def function_entry(name: str, function: Function, code: str) -> SamplerEntry:
    """A function as an entry of the catalog, ``code`` standing for it in the ids of its cells.

    What it costs, and whether it draws noise, is found by running it on a Gaussian in one dimension: a planned budget
    is that count, and the run counts again. Raises UsageError, when a plan asks, for a function that fails there, or
    whose evaluations don't grow with its steps.
    """

    @cache
    def trial(steps: int, final: Final) -> tuple[int, bool]:
        return _trial(name, function, steps, final)

    def evaluations(steps: int, final: Final, options: Any) -> int:
        spent = trial(steps, final)[0]
        if steps > 1 and spent <= trial(steps - 1, final)[0]:
            raise UsageError(f"sampler {name}: {steps} steps cost no more evaluations than {steps - 1}: {spent}")
        return spent

    return SamplerEntry(
        name=name, target=lambda: FunctionSampler(function), summary="a function of the caller's", source="the caller",
        order=None, stochastic=lambda options: trial(3, "denoise")[1], evaluations=evaluations, code=code,
    )  # fmt: skip


@torch.inference_mode()
def _trial(name: str, function: Function, steps: int, final: Final) -> tuple[int, bool]:
    """Evaluations per sample, and whether noise was drawn, over so many steps from sigma 80 to 0.01 (and to 0)."""
    sigmas = np.geomspace(80.0, 0.01, steps + (final == "sigma_min"))
    ends = torch.from_numpy(np.append(sigmas, 0.0) if final == "denoise" else sigmas)
    draws = Draws(NoiseSource(0, range(2), (1, 4, 4)))
    spent = 0

    def denoise(x_hat: Tensor, sigma: Tensor) -> Denoised:
        nonlocal spent
        spent += len(x_hat)
        return Denoised(x_hat * (0.25 / (0.25 + sigma**2)).to(x_hat.dtype).view(-1, 1, 1, 1))

    x = draws.source.normal("start", 0) * float(ends[0])
    try:
        _checked(function(_estimate(denoise), x, ends, draws), x)
    except Exception as error:
        raise UsageError(
            f"sampler {name}: its function fails on a Gaussian, {steps} steps: {one_line(error)}"
        ) from error
    return round(spent / len(x)), draws.used
