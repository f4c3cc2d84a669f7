"""Training of the noise predictors: pixels in discrete and in continuous time, and latents."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn
from torch.nn import functional as F

from diffbench.diffusion.continuous import VE
from diffbench.diffusion.prediction import from_x0, preconditioning

from . import digits
from .loop import Recipe, train

PIXELS = Recipe(steps=5000, batch=128, lr=1e-3, warmup=300, ema=0.999, bf16=True)
CONTINUOUS = Recipe(steps=900, batch=128, lr=3e-4, warmup=50, ema=0.995, bf16=True)
SUB_VP = replace(CONTINUOUS, steps=800)
LATENTS = Recipe(steps=8000, batch=128, lr=1e-3, warmup=300, ema=0.999, bf16=True)
VARIANCE_EXPLODING = Recipe(steps=3000, batch=128, lr=1e-3, warmup=100, ema=0.998, bf16=True)

STEPS = 1000
LINEAR = (1e-4, 0.02)
SCALED_LINEAR = (0.0015, 0.0195)
BETA_MIN, BETA_MAX, EARLIEST, TIME_SCALE = 0.1, 20.0, 1e-5, 999.0
#: Noise levels of the VE SDE for digits in [0, 1]. The most distant two of the 5,000 are 15.83 apart, which is what the
#: highest level should be (Song & Ermon 2020, technique 1); the lowest is Song et al. 2021's.
SIGMAS = (0.01, 16.0)
#: Root mean square of the digits in [0, 1]; factor of log sigma in the input of EDM's network (Karras et al., Table 1).
SIGMA_DATA, LOG_SIGMA_SCALE = 0.335, 0.25


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


def _denoising_loss(
    model: nn.Module, x: Tensor, alpha: Tensor, std: Tensor, time: Tensor, generator: torch.Generator
) -> Tensor:
    """Return the squared error of the noise that is predicted at alpha x + std n; ``alpha`` and ``std`` are (B,)."""
    noise = torch.randn(x.shape, generator=generator)
    signal, spread = (level.float().view(-1, 1, 1, 1) for level in (alpha, std))
    return F.mse_loss(model(signal * x + spread * noise, time).sample.float(), noise)


def vp_std(alpha: Tensor) -> Tensor:
    """Return the noise's standard deviation where variance is preserved."""
    return (1 - alpha.square()).sqrt()


def subvp_std(alpha: Tensor) -> Tensor:
    """Return the noise's standard deviation in the sub-VP SDE: what is its variance in the VP (Song et al., Eq. 29)."""
    return 1 - alpha.square()


def fit_discrete(
    name: str, network: UNet2DModel, data: Tensor, betas: Tensor, recipe: Recipe, checkpoint: Path
) -> UNet2DModel:
    """Train a noise predictor at the discrete times 0..999 of a schedule of betas."""
    alphas = torch.cumprod(1 - betas, dim=0).sqrt()

    def loss(model: nn.Module, generator: torch.Generator) -> Tensor:
        pick = torch.randint(len(data), (recipe.batch,), generator=generator)
        index = torch.randint(STEPS, (recipe.batch,), generator=generator)
        return _denoising_loss(model, data[pick], alphas[index], vp_std(alphas[index]), index, generator)

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
    """Return the signal level of the VP and the sub-VP SDE at continuous times in [0, 1]."""
    return torch.exp(-0.25 * (BETA_MAX - BETA_MIN) * time.square() - 0.5 * BETA_MIN * time)


def fit_continuous(
    name: str, network: UNet2DModel, std: Callable[[Tensor], Tensor], recipe: Recipe, checkpoint: Path
) -> UNet2DModel:
    """Train a noise predictor on pixels, which starts from another, on uniformly drawn times of an SDE.

    ``std`` gives the noise's standard deviation (B,) from the signal level (B,).
    """
    data = digits.images11()

    def loss(model: nn.Module, generator: torch.Generator) -> Tensor:
        pick = torch.randint(len(data), (recipe.batch,), generator=generator)
        time = torch.rand(recipe.batch, generator=generator, dtype=torch.float64) * (1 - EARLIEST) + EARLIEST
        alpha = vp_alpha(time)
        return _denoising_loss(model, data[pick], alpha, std(alpha), (TIME_SCALE * time).float(), generator)

    train(name, network, loss, replace(recipe, weight_decay=0.0), checkpoint)
    return network


def fit_vp(network: UNet2DModel, recipe: Recipe, checkpoint: Path) -> UNet2DModel:
    """Train the model of the VP SDE from the discrete one."""
    return fit_continuous("score-vp-mnist", network, vp_std, recipe, checkpoint)


def fit_ve(network: UNet2DModel, recipe: Recipe, checkpoint: Path) -> UNet2DModel:
    """Train a model of the VE SDE, on data in [0, 1], with EDM's preconditioning and loss (Karras et al., Eq. 7, 8).

    Times are drawn uniformly, so that log sigma is uniform (Song et al., appendix C). The network starts from one that
    predicts noise: in weak noise, its new target is the noise with the other sign.
    """
    data = digits.images01()
    sde = VE(*SIGMAS)
    with torch.no_grad():
        network.conv_out.weight.neg_()
        network.conv_out.bias.neg_()

    def loss(model: nn.Module, generator: torch.Generator) -> Tensor:
        x = data[torch.randint(len(data), (recipe.batch,), generator=generator)]
        time = torch.rand(recipe.batch, generator=generator, dtype=torch.float64) * (1 - EARLIEST) + EARLIEST
        level = sde.sigma(time.numpy())
        sigma = torch.from_numpy(level).float().view(-1, 1, 1, 1)
        noisy = x + sigma * torch.randn(x.shape, generator=generator)
        c_in = torch.from_numpy(preconditioning("edm", sde, level, SIGMA_DATA).c_in).float().view(-1, 1, 1, 1)
        output = model(c_in * noisy, LOG_SIGMA_SCALE * sigma.flatten().log()).sample.float()
        return F.mse_loss(output, from_x0("edm", x, noisy, 1.0, sigma, sigma_data=SIGMA_DATA))

    train("score-ve-mnist", network, loss, replace(recipe, weight_decay=0.0), checkpoint)
    return network


def fit_subvp(network: UNet2DModel, recipe: Recipe, checkpoint: Path) -> UNet2DModel:
    """Train the model of the sub-VP SDE from that of the VP."""
    return fit_continuous("score-subvp-mnist", network, subvp_std, recipe, checkpoint)
