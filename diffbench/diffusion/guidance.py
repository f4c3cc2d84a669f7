"""Classifier-free guidance: the denoiser with its condition pushed away from the one without."""

from __future__ import annotations

import torch
from torch import Tensor

from diffbench.diffusion.denoiser import Denoised, Denoiser
from diffbench.errors import UsageError


class Guided:
    """D = D_none + scale (D_cond - D_none) inside an interval of sigma, and D_cond outside (Ho & Salimans 2022, Eq. 6).

    In terms of any prediction that is affine in D at fixed x_hat and sigma (noise, v, score, flow) it is the same
    formula. ``conditional`` takes a batch (B,C,H,W); ``both`` takes a batch of 2 B, the first half of which it denoises
    without a condition, and the second with. ``interval`` is low < sigma <= high, in units of the data (Kynkaanniemi
    et al. 2024, Eq. 5); None: everywhere. The position of a learned variance is the conditional's.

    ``network_evaluations`` counts samples times calls of the network: two where it guides. UsageError unless scale is
    finite.
    """

    def __init__(
        self, conditional: Denoiser, both: Denoiser, scale: float, interval: tuple[float, float] | None = None
    ) -> None:
        if not 0 <= scale < float("inf"):
            raise UsageError(f"guidance needs a finite scale of at least 0, got {scale!r}")
        self.conditional = conditional
        self.both = both
        self.scale = scale
        self.interval = interval
        self.network_evaluations = 0

    def __call__(self, x_hat: Tensor, sigma: Tensor) -> Denoised:
        """Denoise a batch: one call of the network where no sample is to be guided, else one of twice the batch."""
        scales = self._scales(sigma)
        self.network_evaluations += len(x_hat)
        if bool((scales == 1).all()):
            return self.conditional(x_hat, sigma)
        self.network_evaluations += len(x_hat)
        denoised = self.both(torch.cat([x_hat, x_hat]), torch.cat([sigma, sigma]))
        none, with_condition = denoised.x0.chunk(2)
        factor = scales.to(device=x_hat.device, dtype=x_hat.dtype).view(-1, *[1] * (x_hat.ndim - 1))
        position = denoised.variance_position
        return Denoised(none + factor * (with_condition - none), None if position is None else position.chunk(2)[1])

    def _scales(self, sigma: Tensor) -> Tensor:
        if self.interval is None:
            return torch.full_like(sigma, self.scale)
        low, high = self.interval
        return torch.where((sigma > low) & (sigma <= high), self.scale, 1.0)
