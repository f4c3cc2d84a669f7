"""Training of the autoencoder in front of the latent model: 32x32 digits to 4x8x8 latents and back."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from . import digits
from .loop import Recipe, train

RECIPE = Recipe(steps=3000, batch=64, lr=2e-3, weight_decay=0.0, ema=0.999, bf16=True)
PAD = 2  # 28x28 digits become 32x32 images
KL_WEIGHT = 1e-6


def build() -> AutoencoderKL:
    """Return an untrained autoencoder with a spatial reduction of four."""
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 16, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
        scaling_factor=1.0,
    )


def fit(recipe: Recipe, checkpoint: Path) -> AutoencoderKL:
    """Train the autoencoder on all digits, shifted by up to two pixels so that it learns strokes, not places."""
    torch.manual_seed(recipe.seed)
    images = digits.images11(pad=PAD)

    def loss(model: nn.Module, generator: torch.Generator) -> Tensor:
        pick = torch.randint(len(images), (recipe.batch,), generator=generator)
        shift = torch.randint(-PAD, PAD + 1, (2,), generator=generator).tolist()
        x = torch.roll(images[pick], shifts=shift, dims=(2, 3))
        posterior = model.encode(x).latent_dist  # type: ignore[operator]
        decoded = model.decode(posterior.sample(generator)).sample.float()  # type: ignore[operator]
        reconstruction = F.mse_loss(decoded, x) + F.l1_loss(decoded, x)
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).flatten(1).sum(dim=1).mean()
        return reconstruction + KL_WEIGHT * divergence

    model = build()
    train("ldm-autoencoder", model, loss, recipe, checkpoint)
    with torch.no_grad():
        scale = 1 / float(encode(model).std())
    model.register_to_config(scaling_factor=scale)
    return model


@torch.no_grad()
def encode(model: AutoencoderKL) -> Tensor:
    """Return the means of the posteriors of all digits, (5000, 4, 8, 8), not yet scaled."""
    parts = [model.encode(chunk).latent_dist.mean for chunk in digits.images11(pad=PAD).split(250)]
    return torch.cat(parts).float()


@torch.no_grad()
def decode(model: AutoencoderKL, latents: Tensor) -> Tensor:
    """Return the images of unscaled latents, cropped to 28x28, in [-1, 1] give or take what the network overshoots."""
    decoded = torch.cat([model.decode(chunk).sample for chunk in latents.split(250)])
    return decoded[..., PAD:-PAD, PAD:-PAD]
