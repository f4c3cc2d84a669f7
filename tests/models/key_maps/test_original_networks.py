"""Networks of the original repositories answer as the originals did, and have their sizes."""

import pytest
import torch
from diffusers import UNet2DModel
from filled_tensors import parameters
from golden_networks import NAMES, answer, error, golden
from published_networks import PUBLISHED, published

from diffbench.models.key_maps.families import convert, load, original, unet

CLOSE = 1e-10


def test_there_are_golden_files_of_every_family():
    assert {golden(name).family for name in NAMES} == {"ddpm", "score-sde", "guided-diffusion"}
    assert len(NAMES) == 11


@pytest.mark.parametrize("name", NAMES)
def test_the_output_is_the_originals(name):
    assert error(golden(name)) < CLOSE


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_network_is_ready_in_float32(name):
    case = golden(name)
    network = load(case.family, case.tensors, case.config)
    assert isinstance(network, UNet2DModel)
    assert not network.training and {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
    assert (answer(network, case) - case.output).abs().max() < 1e-5 * case.output.abs().max()


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("ddpm", "down.1.attn.0.q.", "down.1.attn.0.k."),
        ("ddpm", "up.1.attn.2.k.", "up.1.attn.2.v."),
        ("ddpm", "mid.block_1.", "mid.block_2."),
        ("ddpm", "up.1.block.1.norm2.", "up.1.block.2.norm2."),
        ("score-sde-ddpm", "all_modules.14.NIN_0.", "all_modules.14.NIN_1."),
        ("score-sde-ncsnpp", "all_modules.13.NIN_0.", "all_modules.13.NIN_2."),
    ],
)
def test_swapped_tensors_give_another_output(name, one, other):
    case = golden(name)
    first = [key for key in case.shapes if key.startswith(one)]
    assert len(first) > 1
    tensors = case.tensors
    swapped = dict(tensors)
    for key in first:
        partner = other + key.removeprefix(one)
        assert tensors[key].shape == tensors[partner].shape
        swapped[key], swapped[partner] = tensors[partner], tensors[key]
    assert error(case, swapped) > 1e-3


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("guided-new-order", {"use_new_attention_order": False}),
        ("guided-legacy-order", {"use_new_attention_order": True}),
        ("improved-even-heads", {"use_new_attention_order": True}),
        ("improved-even-heads", {"num_heads": 2}),
        ("improved-uneven-heads", {"num_heads": 2}),
        ("guided-new-order", {"num_head_channels": 32}),
        ("improved-even-heads", {"rescale_timesteps": False}),
        ("score-sde-ddpm", {"centered": True}),
        ("score-sde-ncsnpp", {"centered": True}),
    ],
)
def test_another_flag_that_no_shape_shows_gives_another_output(name, changes):
    assert error(golden(name), **changes) > 1e-3


def test_an_order_of_one_head_is_no_order():
    assert error(golden("improved-one-head"), use_new_attention_order=True) < CLOSE


# What the original networks have, by tests/parity/original_networks.txt; 35.7M is what Ho et al. (2020) say, 50M, 100M
# and 270M are in the names of the checkpoints.
SIZES = {
    "ddpm cifar10": 35_746_307,
    "ddpm lsun, celebahq 256": 113_673_219,
    "score-sde vp/ddpm/cifar10_continuous": 35_218_947,
    "score-sde vp/cifar10_ddpmpp_continuous": 61_804_419,
    "score-sde vp/cifar10_ddpmpp_deep_continuous": 106_632_579,
    "score-sde ve/celebahq_256, ffhq_256": 65_574_549,
    "score-sde ve/ffhq (1024)": 105_785_896,
    "cifar10_uncond_50M_500K": 52_546_438,
    "imagenet64_uncond_100M_1500K": 121_063_942,
    "imagenet64_cond_270M_250K": 273_049_350,
    "guided 64x64_diffusion": 295_904_454,
    "guided 128x128_diffusion": 421_529_606,
    "guided 256x256_diffusion": 553_838_086,
    "guided lsun_bedroom": 552_814_086,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_their_sizes(name):
    with torch.device("meta"):
        network = unet(*published(name))
    assert sum(tensor.numel() for tensor in network.parameters()) == SIZES[name]


def test_ddpm_cifar10_is_the_hubs_network():
    config = original(*published("ddpm cifar10")).config
    hub = {"block_out_channels": (128, 256, 256, 256), "layers_per_block": 2, "downsample_padding": 0}
    hub |= {"flip_sin_to_cos": False, "freq_shift": 1, "norm_eps": 1e-6, "attention_head_dim": None}
    hub |= {"down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D")}
    hub |= {"up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D")}
    assert hub.items() <= dict(config).items()


def test_half_precision_weights_are_kept_as_they_are():
    case = golden("ddpm")
    half = {name: tensor.half() for name, tensor in case.tensors.items()}
    assert {tensor.dtype for tensor in convert("ddpm", half, case.config).values()} == {torch.float16}
    assert {tensor.dtype for tensor in load("ddpm", half, case.config).parameters()} == {torch.float32}


def test_the_formula_of_the_weights_stays():
    found = parameters({"a.weight": (2,), "a.bias": (2,), "b.weight": (2, 1)})
    numbers = [round(value, 12) for tensor in found.values() for value in tensor.flatten().tolist()]
    assert numbers == NUMBERS


NUMBERS = [1.254876971245, 1.187465190887, -0.019517533481, -0.09079926461, 0.661359786987, 1.156797289848]
