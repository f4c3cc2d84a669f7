"""The repositories whose checkpoints are known, and their networks and weights in diffusers' terms.

For all functions ``family`` is one of ``FAMILIES`` and ``config`` what a card says of the original network, by the
names of its repository; the docstring of a family's file says which, and what else a card says of such a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from diffbench.document.words import listed, shown
from diffbench.errors import CardError
from diffbench.models.key_maps import ddpm, guided_diffusion, score_sde
from diffbench.models.key_maps.pieces import assembled, named_tensors
from diffbench.models.key_maps.unet import Original

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_FILES: Mapping[str, ModuleType] = {"ddpm": ddpm, "score-sde": score_sde, "guided-diffusion": guided_diffusion}
FAMILIES = tuple(_FILES)
# DataParallel's, before every key.
_PREFIX = "module."


def original(family: str, config: Mapping[str, Any]) -> Original:
    """What the original network is in diffusers' terms; needs no torch.

    Raises CardError, with one line that names the keys, where a value is missing or unknown, or UNet2DModel hasn't it.
    """
    found: Original = _file(family).original(config)
    return found


def unet(family: str, config: Mapping[str, Any]) -> Module:
    """The network, a UNet2DModel with random weights, on torch's default device.

    It is one of its ``config`` only up to what no config can say (``unet.Original``), so one that is made of
    the same config by diffusers may be another network.

    Raises as ``original``.
    """
    return original(family, config).unet()


def state_dict(family: str, checkpoint: Any, ema: bool) -> dict[str, Tensor]:
    """The original's tensors in a checkpoint of its repository, the averaged ones if ``ema``, by its keys.

    A bare state dict is taken as what it is, for it doesn't say whether it is of averages. Raises WeightsError where
    there are none, or the averages don't fit the parameters.
    """
    found = named_tensors(_file(family).weights(checkpoint, ema), family)
    return {name.removeprefix(_PREFIX): tensor for name, tensor in found.items()}


def convert(family: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of ``unet(family, config)`` with the values of the original's ``tensors``, of their dtypes.

    Raises WeightsError, which names the key, for a tensor that is missing, too many, or of another shape; CardError as
    ``original``.
    """
    from torch import device

    made = original(family, config)
    with device("meta"):
        network = made.unet()
    return _converted(made, tensors, network)


def load(family: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Module:
    """The network, a UNet2DModel with the values of the original's ``tensors``: on the CPU, in float32, in eval mode.

    Raises as ``convert``.
    """
    from torch import device

    made = original(family, config)
    with device("meta"):
        network = made.unet()
    converted = _converted(made, tensors, network)
    network.to_empty(device="cpu").load_state_dict(converted, strict=True)
    return network.eval().requires_grad_(False)


def _converted(made: Original, tensors: Mapping[str, Tensor], network: Module) -> dict[str, Tensor]:
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    return assembled(made.pieces, {k: v for k, v in given.items() if k not in made.passive}, shapes)


def _file(family: str) -> ModuleType:
    if family not in _FILES:
        raise CardError(f"unknown key map {shown(family)}; known: {listed(FAMILIES)}")
    return _FILES[family]
