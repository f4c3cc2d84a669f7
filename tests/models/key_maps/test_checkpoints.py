"""Checkpoints of the original repositories: which tensors are in them, averages, and tensors that do not fit."""

import pytest
import torch
from golden_networks import NAMES, error, golden, said

from diffbench.errors import WeightsError
from diffbench.models.key_maps.families import convert, state_dict


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
    assert error(case, tensors | {"module.sigmas": torch.zeros(1000)}) < 1e-10


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
