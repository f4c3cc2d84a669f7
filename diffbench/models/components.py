"""Networks in the diffusers layout, ``<component>/config.json`` and weights beside it, by the name of their class."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from diffbench.document.words import listed, shown
from diffbench.errors import CardError, WeightsError
from diffbench.models.card import Card
from diffbench.models.card_files import DIFFUSERS_WEIGHTS, TRANSFORMERS_WEIGHTS, inside, weights_file, weights_names
from diffbench.models.consent import Consent
from diffbench.models.weights import read_json, read_tensors

# Imported from their own modules: the package's top level takes seconds.
NETWORKS = {
    "UNet2DModel": "diffusers.models.unets.unet_2d",
    "UNet2DConditionModel": "diffusers.models.unets.unet_2d_condition",
    "DiTTransformer2DModel": "diffusers.models.transformers.dit_transformer_2d",
    "SD3Transformer2DModel": "diffusers.models.transformers.transformer_sd3",
}
AUTOENCODERS = {
    "AutoencoderKL": "diffusers.models.autoencoders.autoencoder_kl",
    "VQModel": "diffusers.models.autoencoders.vq_model",
}
ENCODERS = {
    "CLIPTextModel": "transformers",
    "LDMBertModel": "diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion",
}
# Names of an attention's layers before diffusers 0.15, in which the first checkpoints of the hub are stored.
_OLD_ATTENTION = re.compile(r"^(.*attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)$")
_NEW_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def class_of(name: str, among: Mapping[str, str]) -> Any:
    """The class called ``name``. CardError for one that is not among those supported, or whose package is missing."""
    if name not in among:
        raise CardError(f"class {shown(name)} is not supported here; supported: {listed(among)}")
    try:
        return getattr(import_module(among[name]), name)
    except ImportError as error:
        raise CardError(
            f"class {name} needs a package that is not installed ({error}); pip install 'diffbench[hub]'"
        ) from None


def component(card: Card, path: str, class_name: str, among: Mapping[str, str], consent: Consent) -> nn.Module:
    """One network of a checkpoint, in eval mode, float32, with strictly matching parameters.

    Raises CardError where card and config differ, WeightsError for files that are missing, altered, or do not fit.
    """
    config = read_json(card.directory, inside(path, "config.json"), card.sha256)
    stated = config.get("_class_name") or next(iter(config.get("architectures") or ()), class_name)
    if stated != class_name and stated != f"{class_name}WithProjection":
        raise CardError(f"{card.directory}: the card says {path} is a {class_name}, its config {stated}")
    stem = TRANSFORMERS_WEIGHTS if among is ENCODERS else DIFFUSERS_WEIGHTS
    tensors = read_tensors(card.directory, _weights(card, path, stem), card.sha256, consent.pickle)
    network = built(class_of(class_name, among), config)
    return filled(network, renamed(tensors), str(card.directory / path))


def _weights(card: Card, path: str, stem: str) -> str:
    """The file of a component's weights that the card has a sha256 of, or that is there."""
    stated = [name for name in weights_names(path, stem) if name in card.sha256]
    return stated[0] if stated else weights_file(card.directory, path, stem)


def built(cls: Any, config: Mapping[str, Any]) -> nn.Module:
    """A network of this class and config, its weights not yet those of any checkpoint."""
    for package in ("diffusers", "transformers"):
        logging.getLogger(package).setLevel(logging.ERROR)  # they would comment on configs of other versions
    if hasattr(cls, "from_config"):
        network: nn.Module = cls.from_config(dict(config))
        return network
    return cls(cls.config_class.from_dict(dict(config)))  # type: ignore[no-any-return]


def filled(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> nn.Module:
    """The network with these weights, for evaluation. WeightsError where a name or a shape does not fit."""
    try:
        network.load_state_dict(_with_buffers(network, tensors), strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise WeightsError(f"{where}: weights do not fit the config: {first}") from None
    return network.eval().requires_grad_(False)


def _with_buffers(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Position numbers, which older versions of transformers stored with the weights, are taken out again."""
    known = set(network.state_dict())
    return {name: value for name, value in tensors.items() if name in known or not name.endswith("position_ids")}


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under today's names of an attention's layers, 1 x 1 convolutions of old autoencoders as matrices."""
    found = {}
    for name, value in tensors.items():
        if (old := _OLD_ATTENTION.match(name)) is not None:
            name = f"{old[1]}.{_NEW_ATTENTION[old[2]]}.{old[3]}"
            value = value.flatten(1) if value.ndim == 4 else value
        found[name] = value
    return found


def placed(network: nn.Module, device: torch.device, dtype: torch.dtype, layout: torch.memory_format) -> nn.Module:
    """Move a network; past diffusers' own ``to``, which warns of parts to keep in float32 where there are none."""
    return nn.Module.to(network, device=device, dtype=dtype, memory_format=layout)  # type: ignore[call-overload, no-any-return]
