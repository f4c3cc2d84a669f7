"""Training of the three noise predictors: pixels in discrete and in continuous time, and latents."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn
from torch.nn import functional as F

from . import digits
from .loop import Recipe, train

PIXELS = Recipe(steps=5000, batch=128, lr=1e-3, warmup=300, ema=0.999, bf16=True)
CONTINUOUS = Recipe(steps=900, batch=128, lr=3e-4, warmup=50, ema=0.995, bf16=True)
LATENTS = Recipe(steps=8000, batch=128, lr=1e-3, warmup=300, ema=0.999, bf16=True)

STEPS = 1000
LINEAR = (1e-4, 0.02)
SCALED_LINEAR = (0.0015, 0.0195)
BETA_MIN, BETA_MAX, EARLIEST, TIME_SCALE = 0.1, 20.0, 1e-5, 999.0


def pixel_network() -> UNet2DModel:
    """Return the untrained noise predictor of the two pixel models."""
    return UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        block_out_channels=(24, 48, 96),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        norm_num_groups=8,
        attention_head_dim=16,
        add_attention=True,
    )


def latent_network() -> UNet2DModel:
    """Return the untrained noise predictor of the latent model."""
    return UNet2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(48, 96),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        norm_num_groups=8,
        attention_head_dim=16,
        add_attention=True,
    )


def linear_betas() -> Tensor:
    """Return the betas of the pixel model (float64)."""
    return torch.linspace(*LINEAR, STEPS, dtype=torch.float64)


def scaled_linear_betas() -> Tensor:
    """Return the betas of the latent model (float64): linear in their square roots."""
    low, high = SCALED_LINEAR
    return torch.linspace(math.sqrt(low), math.sqrt(high), STEPS, dtype=torch.float64).square()


def _denoising_loss(model: nn.Module, x: Tensor, alpha: Tensor, time: Tensor, generator: torch.Generator) -> Tensor:
    """Return the squared error of the predicted noise at signal levels ``alpha`` (B,)."""
    noise = torch.randn(x.shape, generator=generator)
    signal = alpha.float().view(-1, 1, 1, 1)
    std = (1 - alpha.square()).sqrt().float().view(-1, 1, 1, 1)
    return F.mse_loss(model(signal * x + std * noise, time).sample.float(), noise)


def fit_discrete(
    name: str, network: UNet2DModel, data: Tensor, betas: Tensor, recipe: Recipe, checkpoint: Path
) -> UNet2DModel:
    """Train a noise predictor at the discrete times 0..999 of a schedule of betas."""
    alphas = torch.cumprod(1 - betas, dim=0).sqrt()

    def loss(model: nn.Module, generator: torch.Generator) -> Tensor:
        pick = torch.randint(len(data), (recipe.batch,), generator=generator)
        index = torch.randint(STEPS, (recipe.batch,), generator=generator)
        return _denoising_loss(model, data[pick], alphas[index], index, generator)

    train(name, network, loss, recipe, checkpoint)
    return network


def fit_ddpm(recipe: Recipe, checkpoint: Path) -> UNet2DModel:
    """Train the pixel model."""
    torch.manual_seed(recipe.seed)
    return fit_discrete("ddpm-mnist", pixel_network(), digits.images11(), linear_betas(), recipe, checkpoint)


def fit_latent(latents: Tensor, recipe: Recipe, checkpoint: Path) -> UNet2DModel:
    """Train the latent model on scaled latents."""
    torch.manual_seed(recipe.seed)
    return fit_discrete("ldm-mnist", latent_network(), latents, scaled_linear_betas(), recipe, checkpoint)


def vp_alpha(time: Tensor) -> Tensor:
    """Return the signal level of the variance-preserving SDE at continuous times in [0, 1]."""
    return torch.exp(-0.25 * (BETA_MAX - BETA_MIN) * time.square() - 0.5 * BETA_MIN * time)


def fit_vp(network: UNet2DModel, recipe: Recipe, checkpoint: Path) -> UNet2DModel:
    """Train a pixel model, which may start from the discrete one, on uniformly drawn continuous times."""
    data = digits.images11()

    def loss(model: nn.Module, generator: torch.Generator) -> Tensor:
        pick = torch.randint(len(data), (recipe.batch,), generator=generator)
        time = torch.rand(recipe.batch, generator=generator, dtype=torch.float64) * (1 - EARLIEST) + EARLIEST
        return _denoising_loss(model, data[pick], vp_alpha(time), (TIME_SCALE * time).float(), generator)

    train("score-vp-mnist", network, loss, replace(recipe, weight_decay=0.0), checkpoint)
    return network
