"""Denoising errors of a loaded model and of the estimates that need no network, on the same x_hat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffbench.comparison.denoising import Errors
from diffbench.diffusion.denoising_error import RESOLUTION, LinearEstimates, squared_error, target_power
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import FloatArray
from diffbench.errors import ScoringError
from diffbench.models.model import Model
from diffbench.runner.progress import Progress

# Images that the moments come from: pixels, latents (which a codec has to make first), and elements of all together.
_MOST, _MOST_LATENTS, _MOST_ELEMENTS = 4096, 1024, 2**26


@dataclass(frozen=True, eq=False)
class Data:
    """``x0`` (n,C,H,W) of the images that are tested, and the moments of others, in the model's own unit."""

    x0: Tensor
    estimates: LinearEstimates


def most_images(shape: tuple[int, int, int], latent: bool) -> int:
    """How many images the moments come from at most."""
    return max(2, min(_MOST_LATENTS if latent else _MOST, _MOST_ELEMENTS // int(np.prod(shape))))


def encoded(model: Model, pixels: Tensor, batch_size: int) -> Tensor:
    """x0 (n,C,H,W), float32 on the model's device, of 8-bit images (n,C,H,W): k is k/127.5 - 1 before the codec."""
    with torch.inference_mode():
        blocks = (pixels[begin : begin + batch_size] for begin in range(0, len(pixels), batch_size))
        return torch.cat([model.codec.encode(block.to(model.device).float() / 127.5 - 1) for block in blocks])


def errors_of(model: Model, data: Data, sigmas: FloatArray, seed: int, batch_size: int, progress: Progress) -> Errors:
    """Errors at ``sigmas`` (S,), float64, of D as ``model.denoiser`` gives it in float32.

    Image i has noise (seed, i, "denoise", k) at the k-th sigma. ScoringError names a sigma and an image whose estimate
    is not finite.
    """
    x0, estimates = data.x0, data.estimates
    found: dict[str, list[list[Tensor]]] = {}
    progress.begin(f"denoising error of {model.card.name}", len(sigmas) * len(x0))
    for step, sigma in enumerate(sigmas.tolist()):
        for begin in range(0, len(x0), batch_size):
            true = x0[begin : begin + batch_size]
            noise = NoiseSource(seed, range(begin, begin + len(true)), tuple(true.shape[1:]), device=true.device)
            x_hat = true + sigma * noise.normal("denoise", step)
            with torch.inference_mode():
                denoised = model.denoiser(x_hat, torch.full((len(true),), sigma, dtype=torch.float64)).x0
            _require_finite(denoised, sigma, begin)
            given = {
                "network": denoised,
                "identity": x_hat,
                "mean": estimates.mean.expand_as(x_hat),
                "shrinkage": estimates.shrunk(x_hat, sigma),
                "linear": estimates.linear(x_hat, sigma),
            }
            for name, estimate in given.items():
                rows = found.setdefault(name, [[] for _ in sigmas])
                rows[step].append(squared_error(estimate, true))
            progress.advance(len(true))
    arrays = {name: torch.stack([torch.cat(row) for row in rows]).cpu().numpy() for name, rows in found.items()}
    return Errors(sigmas, arrays.pop("network"), arrays, allowed(model, estimates, sigmas), estimates.std)


def allowed(model: Model, estimates: LinearEstimates, sigmas: FloatArray) -> FloatArray:
    """What a network's limited resolution may add to its squared error, (S,); nothing where D is known exactly."""
    card = model.card
    if card.network is None:
        return np.zeros_like(sigmas)
    power = target_power(card.prediction, model.schedule, sigmas, estimates.square, card.sigma_data)
    share: FloatArray = RESOLUTION**2 * power
    return share


def _require_finite(denoised: Tensor, sigma: float, begin: int) -> None:
    finite = denoised.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        index = begin + int((~finite).nonzero()[0])
        raise ScoringError(f"image {index}: the denoised estimate at sigma {sigma:.4g} is not finite")
