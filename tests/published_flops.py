"""Networks of the published cards, built on the meta device to count their work: no weights, no memory.

Cards with a diffusers network have its config in them or beside them. The others have networks of other code, on which
their flops were counted; here one of diffusers of the same widths, depths and attention stands in for it.
"""

import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch.utils.flop_counter import FlopCounterMode

from diffbench.models.find import load_card
from diffbench.models.key_maps.families import unet
from diffbench.models.network import plain

PUBLISHED = Path(__file__).resolve().parents[1] / "reference_models" / "published"


def _unet(size, widths, layers, attention, channels=3, out=None, **more):
    """A UNet2DModel with attention at the given levels of resolution (0: the first), residual blocks in resampling."""
    down = tuple("AttnDownBlock2D" if level in attention else "DownBlock2D" for level in range(len(widths)))
    up = tuple("AttnUpBlock2D" if level in attention else "UpBlock2D" for level in reversed(range(len(widths))))
    sizes = {"sample_size": size, "in_channels": channels, "out_channels": out or channels, "layers_per_block": layers}
    resampling = {"downsample_type": "resnet", "upsample_type": "resnet"}
    return UNet2DModel, {
        **sizes, "block_out_channels": widths, "down_block_types": down, "up_block_types": up, **resampling, **more
    }  # fmt: skip


def _crossed(size, widths, attention, channels):
    """A UNet2DConditionModel that attends to one token of 512 numbers: the class."""
    down = tuple("CrossAttnDownBlock2D" if level in attention else "DownBlock2D" for level in range(len(widths)))
    up = tuple("CrossAttnUpBlock2D" if level in attention else "UpBlock2D" for level in reversed(range(len(widths))))
    return UNet2DConditionModel, {
        "sample_size": size, "in_channels": channels, "out_channels": channels, "layers_per_block": 2,
        "block_out_channels": widths, "down_block_types": down, "up_block_types": up, "cross_attention_dim": 512,
        "attention_head_dim": 32,
    }  # fmt: skip


_WIDE = (128, 256, 256, 256)
_SCALED = {"resnet_time_scale_shift": "scale_shift"}
STAND_INS = {
    # score_sde_pytorch, configs: num_res_blocks 4 (8 where deep), attention at 16 x 16, BigGAN's residual blocks
    "score-sde": _unet(32, _WIDE, 4, (1,)),
    "score-sde-deep": _unet(32, _WIDE, 8, (1,)),
    # EDM, train.py: 128 channels; channel_mult 2,2,2 (CIFAR-10), 1,2,2,2 (64 x 64); 4 blocks; attention at 16 x 16
    "edm-32": _unet(32, (256, 256, 256), 4, (1,)),
    "edm-64": _unet(64, _WIDE, 4, (2,)),
    # ADM: 192 channels, mult 1,2,3,4, 3 blocks, attention at 32, 16 and 8
    "adm-64": _unet(64, (192, 384, 576, 768), 3, (1, 2, 3), **_SCALED),
    # latent-diffusion, models/ldm/*/config.yaml
    "ldm-churches": _unet(32, (192, 384, 384, 768, 768), 2, (0, 1, 2, 3), channels=4, **_SCALED),
    "ldm-cin-f8": _crossed(32, (256, 512, 1024), (0, 1, 2), 4),
    "ldm-cin-f4": _crossed(64, (192, 384, 576, 960), (1, 2, 3), 3),
}

CARDS = {
    "ddpm-cifar10-hub": "ddpm-cifar10",
    "ddpm-ve-cifar10": "ddpm-vp-cifar10",
    **dict.fromkeys(("ldm-bedrooms", "ldm-ffhq"), "ldm-celebahq"),
    **dict.fromkeys(("ncsnpp-ve-cifar10", "ncsnpp-ve-continuous-cifar10"), "score-sde"),
    **dict.fromkeys(("edm-baseline-cifar10-vp", "edm-baseline-cifar10-ve"), "score-sde"),
    "ncsnpp-ve-deep-cifar10": "score-sde-deep",
    **dict.fromkeys(("edm-cifar10-cond-vp", "edm-cifar10-uncond-vp"), "edm-32"),
    **dict.fromkeys(("edm-ffhq64-uncond-vp", "edm-afhqv2-uncond-vp"), "edm-64"),
    **dict.fromkeys(("edm-imagenet64-cond-adm", "edm-baseline-imagenet64-adm"), "adm-64"),
    "ldm-churches": "ldm-churches",
    "ldm-imagenet-f8": "ldm-cin-f8",
    "ldm-imagenet-f4": "ldm-cin-f4",
}
"""What a card's flops are counted on here, where it has no config of its own."""

PARAMETERS = {
    "ddpm-cifar10": 35.7,  # DDPM, appendix B
    "ddim-celeba64": 78.7,
    "score-sde": 61.8,  # as torch counts the authors' own networks, from here on
    "score-sde-deep": 106.6,
    "ddpmpp-vp-cifar10": 61.8,
    "ddpmpp-vp-deep-cifar10": 106.6,
    "edm-32": 55.7,
    "edm-64": 61.8,
    "adm-64": 295.9,
    "ldm-celebahq": 274.1,
    "ldm-churches": 295.0,
    "ldm-cin-f8": 395.0,
    "ldm-cin-f4": 400.9,
}
"""Sizes in millions of parameters."""


def network(name):
    """The network of a stand-in, or of the card folder of that name, without weights."""
    if name in STAND_INS:
        build, config = STAND_INS[name]
    elif (said := load_card(PUBLISHED / name).network).key_map is not None:
        with torch.device("meta"):
            return unet(said.key_map, plain(said.config)).eval()
    else:
        config = json.loads((PUBLISHED / name / "unet" / "config.json").read_text())
        build = UNet2DModel
    with torch.device("meta"):
        return build(**{key: value for key, value in config.items() if not key.startswith("_")}).eval()


def parameters(model):
    """How many, in millions."""
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


def flops(model):
    """Floating-point operations, two a multiplication with addition, of one evaluation of one sample."""
    config = model.config
    inputs = torch.empty(1, config.in_channels, config.sample_size, config.sample_size, device="meta")
    more = (torch.empty(1, 1, 512, device="meta"),) if isinstance(model, UNet2DConditionModel) else ()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs, torch.zeros(1, device="meta"), *more)
    return counter.get_total_flops()
