"""Networks of the original repositories: golden outputs that they gave, published sizes, and what is refused."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DModel
from filled_tensors import Golden, in_double, parameters
from published_networks import PUBLISHED, published

from diffbench.errors import CardError, WeightsError
from diffbench.models.key_maps.families import convert, load, original, state_dict, unet

FOLDER = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.safetensors"))
CLOSE = 1e-10


@cache
def golden(name):
    return Golden.read(FOLDER / f"{name}.safetensors")


def answer(network, case):
    dtype = network.dtype
    time = torch.tensor(case.time, dtype=dtype if isinstance(case.time[0], float) else torch.int64)
    labels = None if case.labels is None else torch.tensor(case.labels)
    with torch.no_grad():
        return network(case.image.to(dtype), time, labels).sample.double()


def error(case, tensors=None, **changes):
    """The largest difference from the golden output by the largest output, with other tensors or config."""
    network = torch.nn.Module.double(unet(case.family, case.config | changes)).eval()
    network.load_state_dict(convert(case.family, tensors or case.tensors, case.config | changes), strict=True)
    with in_double():
        return ((answer(network, case) - case.output).abs().max() / case.output.abs().max()).item()


def test_there_are_golden_files_of_every_family():
    assert {golden(name).family for name in NAMES} == {"ddpm", "score-sde", "guided-diffusion"}
    assert len(NAMES) == 9


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


# 35.7M and 114M: Ho et al. (2020), section 4 and appendix B. 270M: the name of the checkpoint. 296M, 422M, 554M: those
# of Dhariwal & Nichol (2021). All are what the original networks have, by tests/parity/original_networks.txt.
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


def said(raised):
    """The error's text, which is one line."""
    text = str(raised.value)
    assert text and "\n" not in text
    return text


def empty(case):
    """Tensors of the right shapes, without values."""
    return {name: torch.empty(shape, device="meta") for name, shape in case.shapes.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_key_is_named(name):
    case = golden(name)
    for key in list(case.shapes)[5::97]:
        with pytest.raises(WeightsError) as raised:
            convert(case.family, {k: v for k, v in empty(case).items() if k != key}, case.config)
        assert f'"{key}" is missing' in said(raised)


@pytest.mark.parametrize("name", NAMES)
def test_a_surplus_key_is_named(name):
    case = golden(name)
    with pytest.raises(WeightsError) as raised:
        convert(case.family, empty(case) | {"logvar": torch.zeros(1)}, case.config)
    assert '"logvar" is none of' in said(raised)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_shape_is_named(name):
    case = golden(name)
    for key in (list(case.shapes)[7], list(case.shapes)[-2]):
        tensor = empty(case)[key]
        for wrong in (tensor[:-1], tensor.sum()):
            with pytest.raises(WeightsError) as raised:
                convert(case.family, empty(case) | {key: wrong}, case.config)
            assert said(raised).startswith(f'"{key}" is of shape [')


def test_dataparallels_prefix_and_the_buffer_are_no_matter():
    case = golden("score-sde-ddpm")
    tensors = {f"module.{name}": tensor for name, tensor in case.tensors.items()}
    assert error(case, tensors | {"module.sigmas": torch.zeros(1000)}) < CLOSE


def trained(case):
    """A checkpoint of score_sde_pytorch in its keys' order; averages are 1 + the parameters, but of frequencies."""
    model = {"sigmas": torch.zeros(1000), **case.tensors}
    shadows = [1 + tensor for name, tensor in case.tensors.items() if not name.endswith("all_modules.0.W")]
    return {
        "optimizer": {},
        "model": {f"module.{name}": tensor for name, tensor in model.items()},
        "ema": {"decay": 0.999, "num_updates": 7, "shadow_params": shadows},
        "step": 1,
    }


@pytest.mark.parametrize("name", ["score-sde-ddpm", "score-sde-ddpmpp", "score-sde-ncsnpp"])
def test_averages_go_to_parameters_in_their_order(name):
    case = golden(name)
    found = state_dict("score-sde", trained(case), ema=True)
    plain = state_dict("score-sde", trained(case), ema=False)
    for key, tensor in case.tensors.items():
        frequencies = key == "all_modules.0.W"
        assert torch.equal(found[key], tensor if frequencies else 1 + tensor)
        assert torch.equal(plain[key], tensor)
    convert("score-sde", found, case.config)


def test_a_fourier_embedding_is_not_among_the_averages():
    case = golden("score-sde-ncsnpp")
    assert "all_modules.0.W" in case.shapes
    assert len(trained(case)["ema"]["shadow_params"]) == len(case.shapes) - 1


def test_averages_that_do_not_fit_are_refused():
    case = golden("score-sde-ncsnpp")
    short = trained(case)
    short["ema"]["shadow_params"].pop()
    with pytest.raises(WeightsError, match="shadow_params") as raised:
        state_dict("score-sde", short, ema=True)
    count = len(case.shapes) - 1
    assert f"has {count - 1} tensors for {count} parameters" in said(raised)
    turned = trained(case)
    turned["ema"]["shadow_params"].reverse()
    with pytest.raises(WeightsError, match=r"shadow_params\[0\] is of shape .*all_modules") as raised:
        state_dict("score-sde", turned, ema=True)
    said(raised)
    sorted_by_name = trained(case)
    sorted_by_name["model"] = dict(sorted(sorted_by_name["model"].items()))
    with pytest.raises(WeightsError, match="not in the order") as raised:
        state_dict("score-sde", sorted_by_name, ema=True)
    said(raised)
    without = trained(case)
    del without["ema"]["shadow_params"]
    with pytest.raises(WeightsError, match="shadow_params"):
        state_dict("score-sde", without, ema=True)


def test_a_list_of_ddim_has_the_averages_last():
    case = golden("ddpm")
    averages = {name: 1 + tensor for name, tensor in case.tensors.items()}
    model = {f"module.{name}": tensor for name, tensor in case.tensors.items()}
    saved = [model, {"state": {}}, 3, 1000, averages]
    assert torch.equal(state_dict("ddpm", saved, ema=True)["conv_in.bias"], averages["conv_in.bias"])
    assert torch.equal(state_dict("ddpm", saved, ema=False)["conv_in.bias"], case.tensors["conv_in.bias"])
    assert state_dict("ddpm", case.tensors, ema=True).keys() == case.shapes.keys()
    with pytest.raises(WeightsError, match="no EMA weights"):
        state_dict("ddpm", saved[:4], ema=True)


@pytest.mark.parametrize(
    "checkpoint", [3, [], {}, {"model": 1}, {"model": {"a": 1}}, {"a": torch.zeros(1), "step": 3}, [1] * 5]
)
@pytest.mark.parametrize("family", ["ddpm", "score-sde", "guided-diffusion"])
def test_what_is_no_checkpoint_is_said_so(family, checkpoint):
    with pytest.raises(WeightsError) as raised:
        state_dict(family, checkpoint, ema=False)
    assert family in said(raised)


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
