"""The only loop over a time grid; every sampler is a ``plan``, an ``init`` and a ``step``.

All samplers work on x_hat = x_t / s(t) = x0 + sigma n, so that one update serves every model family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from diffbench.diffusion.brownian import BrownianNoise
from diffbench.diffusion.denoiser import Denoised, Denoiser
from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.noise import Noise
from diffbench.diffusion.schedule import NoiseSchedule

__all__ = ["Denoise", "Estimator", "Noise", "Sampler", "State", "integrate", "start"]

Denoise = Callable[[Tensor, Any], Tensor]
"""(x_hat (B,C,H,W), sigma as one float or a float64 CPU tensor (B,)) -> denoised estimate of x0 (B,C,H,W)."""


class Estimator:
    """The ``Denoise`` that ``integrate`` gives to samplers: a denoiser, at one sigma for the batch or at each one's."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The estimate of x0."""
        return self.in_full(x, sigma).x0

    def in_full(self, x: Tensor, sigma: float | Tensor) -> Denoised:
        """All that the denoiser says, for samplers that need more than x0."""
        if not isinstance(sigma, Tensor):
            sigma = torch.full((len(x),), sigma, dtype=torch.float64)
        return self.denoiser(x, sigma)


@dataclass(frozen=True)
class State:
    """Where a sampler stands.

    ``x``: x_hat (B,C,H,W); ``history``: earlier estimates, the newest first; ``anchor``: what a corrector adds them to.
    """

    x: Tensor
    history: tuple[Tensor, ...] = ()
    anchor: Tensor | None = None


class Sampler(Protocol):
    """A numerical method for the reverse process; it owns no loop and keeps no state of its own."""

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> Any:
        """All coefficients of the method on this grid, worked out in float64."""
        ...

    def init(self, x: Tensor) -> State:
        """The state before the first step."""
        ...

    def step(self, state: State, i: int, plan: Any, denoise: Denoise, noise: Noise) -> State:
        """Go from ``grid.sigma[i]`` to ``grid.sigma[i + 1]``."""
        ...


def start(grid: TimeGrid, schedule: NoiseSchedule, noise: Noise) -> Tensor:
    """x_hat (B,C,H,W) at the first grid point, from the same standard normals for every sampler.

    A process with a shrinking signal (VP, sub-VP, DDPM, flow) starts from its prior x_t = n, hence x_hat = n / s(t0);
    a variance-exploding one starts from sigma(t0) n.
    """
    scale = float(grid.scale[0])
    return noise.normal("start", 0) * (float(grid.sigma[0]) if scale == 1.0 else 1.0 / scale)


def integrate(
    sampler: Sampler,
    denoiser: Denoiser,
    grid: TimeGrid,
    schedule: NoiseSchedule,
    noise: Noise,
    observe: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Run a sampler over a grid; returns x_hat (B,C,H,W) at the landing point (x0 when ``grid.final`` is denoise).

    ``observe(i, x_hat)`` is called with the state after each step i. A sampler whose ``brownian`` is true gets the
    noise of its steps from one path per sample.
    """
    denoise = Estimator(denoiser)
    if getattr(sampler, "brownian", False):
        noise = BrownianNoise(noise, grid)
    plan = sampler.plan(grid, schedule)
    state = sampler.init(start(grid, schedule, noise))
    for i in range(grid.steps):
        state = sampler.step(state, i, plan, denoise, noise)
        if observe is not None:
            observe(i, state.x)
    return state.x
