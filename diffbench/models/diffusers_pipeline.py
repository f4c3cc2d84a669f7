"""Checkpoints in the diffusers directory format: ``<component>/config.json`` and safetensors beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from diffbench.diffusion.denoiser import Clipped, Denoiser, NetworkDenoiser
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.errors import CardError, WeightsError
from diffbench.models.card import Card
from diffbench.models.codec import Codec, LatentCodec, PixelCodec

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_WEIGHTS = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class Model:
    """A checkpoint ready to sample: its denoiser on x_hat, the schedule behind it, and the way to images.

    ``network(x, t)`` is the bare network, for timing it apart from everything around it.
    """

    card: Card
    denoiser: Denoiser
    schedule: NoiseSchedule
    codec: Codec
    network: Callable[[Tensor, Tensor], Tensor]
    device: torch.device
    dtype: torch.dtype


def load_model(card: Card, device: torch.device, dtype: str = "float32", channels_last: bool = False) -> Model:
    """Load the networks that a card names; every file's sha256 is checked before it is parsed.

    For a card with a network; ``models/analytic_model.py`` has the others.

    Raises WeightsError for missing or altered files, CardError where the card contradicts the checkpoint.
    """
    assert card.network is not None
    precision = DTYPES[dtype]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    bare = _component(card, card.network.path, card.network.class_name)
    _check_channels(card, bare)
    unet = _placed(bare, device, precision, layout)

    def network(x: Tensor, t: Tensor) -> Tensor:
        output: Tensor = unet(x.contiguous(memory_format=layout), t, return_dict=False)[0]
        return output

    schedule = card.schedule_object()
    denoiser: Denoiser = NetworkDenoiser(
        network,
        schedule,
        card.prediction,
        time_scale=card.time_scale,
        dtype=precision,
        conditioning=card.conditioning,
        sigma_data=card.sigma_data,
        learned_variance=card.variance == "learned-range",
    )
    if card.clip is not None:
        denoiser = Clipped(denoiser, *card.clip)
    return Model(card, denoiser, schedule, _codec(card, device, precision, layout), network, device, precision)


def _check_channels(card: Card, network: Any) -> None:
    """Raise CardError unless the network returns as many channels as the card's ``variance`` says."""
    assert card.network is not None
    channels, returned = card.sample_shape[0], int(network.config.out_channels)
    expected = 2 * channels if card.variance == "learned-range" else channels
    if returned == expected:
        return
    said = f"{card.network.path} returns {returned} channels for samples of {channels}"
    if returned == 2 * channels:
        said += ", as networks do that predict the variance; the card must then say: variance: learned-range"
    else:
        said += f"; with variance {card.variance} it must return {expected}"
    raise CardError(f"{card.directory}: {said}")


def _codec(card: Card, device: torch.device, dtype: torch.dtype, layout: torch.memory_format) -> Codec:
    if card.codec is None:
        return PixelCodec(*card.data.range)
    vae: Any = _placed(_component(card, card.codec.path, card.codec.class_name), device, dtype, layout)

    def decoder(latents: Tensor) -> Tensor:
        images: Tensor = vae.decode(latents.to(dtype).contiguous(memory_format=layout), return_dict=False)[0]
        return images

    def encoder(images: Tensor) -> Tensor:
        encoded = vae.encode(images.to(dtype).contiguous(memory_format=layout))
        latents: Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        return latents

    # Each block of the encoder but the last halves the side.
    whole = (
        None if card.codec.crop is None else card.codec.latent_shape[-1] * 2 ** (len(vae.config.block_out_channels) - 1)
    )
    return LatentCodec(decoder, card.codec.scaling_factor, card.codec.crop, encoder, whole)


def verify_files(card: Card) -> None:
    """Check every file of a card against the sha256 it states: a cell's identity rests on these.

    Raises WeightsError for a missing or altered file, and for a card whose checkpoint is elsewhere.
    """
    if card.checkpoint is not None and not card.sha256:
        raise WeightsError(f"{card.directory}: its weights are not here: {card.checkpoint}")
    for file in card.sha256:
        _checked(card, file)


def _placed(network: nn.Module, device: torch.device, dtype: torch.dtype, layout: torch.memory_format) -> nn.Module:
    """Move a network; past diffusers' own ``to``, which warns of parts to keep in float32 where there are none."""
    return nn.Module.to(network, device=device, dtype=dtype, memory_format=layout)  # type: ignore[call-overload, no-any-return]


def _component(card: Card, path: str, class_name: str) -> nn.Module:
    """One network of the checkpoint, in eval mode, float32, with strictly matching parameters."""
    config = _config(card, f"{path}/config.json")
    if (configured := config.get("_class_name")) != class_name:
        raise CardError(f"{card.directory}: the card says {path} is a {class_name}, its config {configured}")
    tensors = _tensors(card, f"{path}/{_WEIGHTS}")
    network = _architecture(class_name).from_config(config)
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise WeightsError(f"{card.directory / path}: weights do not fit the config: {first}") from None
    return network.eval().requires_grad_(False)  # type: ignore[no-any-return]


def _architecture(class_name: str) -> Any:
    """The diffusers class, imported from its own module: the package's top level takes seconds to import."""
    if class_name == "UNet2DModel":
        from diffusers.models.unets.unet_2d import UNet2DModel

        return UNet2DModel
    if class_name == "AutoencoderKL":
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        return AutoencoderKL
    if class_name == "VQModel":
        from diffusers.models.autoencoders.vq_model import VQModel

        return VQModel
    raise CardError(f"network class {class_name!r} is not supported; supported: UNet2DModel, AutoencoderKL, VQModel")


def _config(card: Card, file: str) -> dict[str, Any]:
    path = card.directory / file
    try:
        config = json.loads(_checked(card, file))
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from None
    if not isinstance(config, dict):
        raise WeightsError(f"{path}: not a JSON object")
    return config


def _tensors(card: Card, file: str) -> dict[str, Tensor]:
    try:
        return load(_checked(card, file))
    except SafetensorError as error:
        raise WeightsError(f"{card.directory / file}: not a safetensors file ({error})") from None


def _checked(card: Card, file: str) -> bytes:
    """A file's content, if it is what the card says: a cell's identity rests on the card's hashes alone."""
    path = card.directory / file
    stated = card.sha256.get(file)
    if stated is None:
        raise CardError(f"{card.directory}: the card states no sha256 for {file}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from None
    if (actual := hashlib.sha256(data).hexdigest()) != stated:
        raise WeightsError(f"{path}: sha256 is {actual[:12]}…, the card says {stated[:12]}…")
    return data
