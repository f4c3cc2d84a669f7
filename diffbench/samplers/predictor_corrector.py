"""Predictor-corrector sampling and annealed Langevin dynamics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.integrate import Denoise, Noise, State
from diffbench.samplers.linear import LinearPlan
from diffbench.samplers.reverse_diffusion import ReverseDiffusion

Predictor = Literal["reverse-diffusion", "ancestral", "probability-flow", "none"]


@dataclass(frozen=True)
class PredictorCorrectorPlan:
    """The predictor's plan if there is one; per step, float64 (N,): sigma, the next, s / s_next, Langevin's alpha."""

    predictor: LinearPlan | None
    sigma: FloatArray
    target: FloatArray
    rescale: FloatArray
    alpha: FloatArray


class PredictorCorrector:
    """Song et al. 2021 (Score-SDE), Algorithms 2 to 5, in the order of its code: correct at each sigma, then predict.

    A corrector step is x <- x + e score + sqrt(2 e) z with e = 2 alpha (snr |z| / |score|)^2, alpha = 1 for VE and
    (s_i / s_{i-1})^2 otherwise. The norms are each sample's own; with ``coupled`` they are the batch's means, as in the
    authors' code, and a sample then depends on its batch. Without a predictor (annealed Langevin dynamics: Song &
    Ermon 2019, Algorithm 1, with this e) x is left as it is between levels, and the last evaluation's D is returned.
    """

    def __init__(
        self,
        predictor: Predictor = "reverse-diffusion",
        corrector_steps: int = 1,
        snr: float = 0.16,
        coupled: bool = False,
    ) -> None:
        self.predictor, self.corrector_steps, self.snr, self.coupled = predictor, corrector_steps, snr, coupled

    def plan(self, grid: TimeGrid, schedule: NoiseSchedule) -> PredictorCorrectorPlan:
        """The predictor's weights, and the constants of the corrector."""
        q = grid.scale[:-1] / grid.scale[1:]
        predictor = None
        if self.predictor == "ancestral":
            predictor = DDIM(eta=1.0).plan(grid, schedule)
        elif self.predictor != "none":
            predictor = ReverseDiffusion(self.predictor == "probability-flow").plan(grid, schedule)
        alpha = np.ones_like(q) if np.all(grid.scale == 1) else q**2
        return PredictorCorrectorPlan(predictor, grid.sigma[:-1], grid.sigma[1:], q, alpha)

    def init(self, x: Tensor) -> State:
        """The state before the first step."""
        return State(x)

    def step(self, state: State, i: int, plan: PredictorCorrectorPlan, denoise: Denoise, noise: Noise) -> State:
        """Correct at sigma_i, then go to the next."""
        x, sigma, alpha = state.x, float(plan.sigma[i]), float(plan.alpha[i])
        lands_on_data = plan.predictor is None and plan.target[i] == 0
        for k in range(self.corrector_steps):
            denoised = denoise(x, sigma)
            if lands_on_data and k + 1 == self.corrector_steps:
                return State(denoised)
            z = noise.normal("corrector", i * self.corrector_steps + k)
            x = self.langevin(x, (denoised - x).div_(sigma**2), z, alpha)
        if plan.predictor is None:
            return State(x * float(plan.rescale[i]))
        weights = plan.predictor
        moved = x.mul(float(weights.x_weight[i])).add_(denoise(x, sigma), alpha=float(weights.denoised_weight[i]))
        if weights.noise_std[i] > 0:
            moved = moved.add_(noise.normal("step", i), alpha=float(weights.noise_std[i]))
        return State(moved)

    def langevin(self, x: Tensor, score: Tensor, z: Tensor, alpha: float) -> Tensor:
        """One corrector step in x_hat, where the score is s times that in x_t: e / s^2 takes the place of e."""
        lengths = torch.stack([z.flatten(1).norm(dim=1), score.flatten(1).norm(dim=1)])
        if self.coupled:
            lengths = lengths.mean(dim=1, keepdim=True)
        size = 2 * alpha * (self.snr * lengths[0] / lengths[1]) ** 2
        size = size.view(-1, *[1] * (x.ndim - 1))
        return x + size * score + (2 * size).sqrt() * z


LANGEVIN = partial(PredictorCorrector, "none")
