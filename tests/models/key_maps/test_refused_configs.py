"""Original networks that are no UNet2DModel, and configs that leave something open, are refused by name."""

import subprocess
import sys

import pytest
from golden_networks import said
from published_networks import PUBLISHED, published

from diffbench.errors import CardError
from diffbench.models.key_maps.families import original

REFUSED = [
    ("ddpm cifar10", "resamp_with_conv", False),
    ("ddpm cifar10", "ch_mult", [2, 2, 2]),
    ("ddpm cifar10", "ch", 100),
    ("ddpm cifar10", "image_size", 28),
    ("ddpm cifar10", "num_res_blocks", 0),
    ("score-sde vp/ddpm/cifar10_continuous", "conditional", False),
    ("score-sde vp/ddpm/cifar10_continuous", "scale_by_sigma", True),
    ("score-sde vp/ddpm/cifar10_continuous", "nonlinearity", "elu"),
    ("score-sde vp/ddpm/cifar10_continuous", "name", "ncsnv2"),
    ("score-sde vp/cifar10_ddpmpp_continuous", "progressive_input", "residual"),
    ("score-sde vp/cifar10_ddpmpp_continuous", "progressive", "residual"),
    ("score-sde vp/cifar10_ddpmpp_continuous", "fir", True),
    ("score-sde vp/cifar10_ddpmpp_continuous", "resblock_type", "ddpm"),
    ("score-sde vp/cifar10_ddpmpp_continuous", "skip_rescale", False),
    ("score-sde vp/cifar10_ddpmpp_continuous", "nf", 96),
    ("score-sde vp/cifar10_ddpmpp_continuous", "scale_by_sigma", True),
    ("score-sde ve/celebahq_256, ffhq_256", "progressive_combine", "cat"),
    ("score-sde ve/celebahq_256, ffhq_256", "progressive_input", "none"),
    ("score-sde ve/celebahq_256, ffhq_256", "fir", False),
    ("score-sde ve/celebahq_256, ffhq_256", "fir_kernel", [1, 2, 1]),
    ("score-sde ve/celebahq_256, ffhq_256", "num_channels", 1),
    ("score-sde ve/celebahq_256, ffhq_256", "attn_resolutions", [256]),
    ("score-sde ve/celebahq_256, ffhq_256", "scale_by_sigma", False),
    ("cifar10_uncond_50M_500K", "num_heads", 3),
    ("cifar10_uncond_50M_500K", "num_heads_upsample", 2),
    ("guided 64x64_diffusion", "num_head_channels", 60),
    ("guided 64x64_diffusion", "num_head_channels", None),
    ("guided 64x64_diffusion", "num_heads", 4),
    ("cifar10_uncond_50M_500K", "num_heads", 0),
    ("guided 256x256_diffusion", "channel_mult", [0.5, 1, 1, 2, 2, 4, 4]),
    ("guided 256x256_diffusion", "channel_mult", [2, 1, 1, 2, 2, 4, 4]),
    ("guided 256x256_diffusion", "noise_schedule", "linear"),
]


@pytest.mark.parametrize(("name", "key", "value"), REFUSED)
def test_what_unet2dmodel_has_not_is_refused_by_name(name, key, value):
    family, config = published(name)
    if key == "attn_resolutions":  # attention of 64 channels
        config["nf"] = 64
    with pytest.raises(CardError) as raised:
        original(family, config | {key: value})
    assert key in said(raised)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_value_must_be_stated(name):
    family, config = published(name)
    for key in set(config) - {"num_heads", "num_head_channels"}:
        with pytest.raises(CardError) as raised:
            original(family, {k: v for k, v in config.items() if k != key})
        assert f'"{key}" is missing' in said(raised)


def test_an_unknown_family_is_named():
    with pytest.raises(CardError, match='unknown key map "edm"; known: ddpm, score-sde, guided-diffusion'):
        original("edm", {})


def test_configs_are_checked_without_torch():
    code = (
        "import sys; from published_networks import PUBLISHED; from diffbench.models.key_maps.families import original;"
        "[original(*value) for value in PUBLISHED.values()];"
        "sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    )
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], env=paths, check=False).returncode == 0
