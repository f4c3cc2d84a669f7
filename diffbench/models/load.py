"""A card's files to a model on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from diffbench.diffusion.denoiser import NetworkDenoiser
from diffbench.errors import CardError
from diffbench.models.analytic_model import analytic_model
from diffbench.models.card import Card
from diffbench.models.codec import Codec, LatentCodec, PixelCodec
from diffbench.models.components import AUTOENCODERS, component, placed
from diffbench.models.conditioning import Conditioner, LabelConditioner, PromptConditioner
from diffbench.models.consent import TENSORS_ONLY, Consent
from diffbench.models.model import Model
from diffbench.models.network import bare_network
from diffbench.models.precision import precision, weights_dtype
from diffbench.models.text_encoder import text_encoder


def load_model(
    card: Card,
    device: torch.device,
    dtype: str = "float32",
    channels_last: bool = False,
    compile: bool | str = False,
    consent: Consent = TENSORS_ONLY,
) -> Model:
    """Load the networks that a card names; every file's sha256 is checked before it is parsed.

    ``compile``: run the network through ``torch.compile``; ``cuda-graphs`` also replays its kernels as CUDA graphs.
    A conditional model still lacks its condition (``Model.read_as``).

    Raises WeightsError for missing or altered files, CardError where the card contradicts the checkpoint, where files
    are not on this machine, or for code or pickles that ``consent`` does not allow.
    """
    if card.missing is not None:
        raise CardError(f"{card.name}: {card.missing}")
    if card.lent is not None:
        made: Model = card.lent.load(card, device, dtype)
        return made
    if card.analytic is not None:
        return analytic_model(card, device, dtype)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    weights = weights_dtype(dtype)
    bare = placed(bare_network(card, consent), device, weights, layout)
    run = _compiled(bare, compile, device)

    def network(x: Tensor, t: Tensor, **given: Tensor) -> Tensor:
        with precision(dtype, device):
            return run(x.contiguous(memory_format=layout), t, **given)

    schedule = card.schedule_object()
    unclipped = NetworkDenoiser(
        network,
        schedule,
        card.prediction,
        time_scale=card.time_scale,
        dtype=weights,
        conditioning=card.conditioning,
        sigma_data=card.sigma_data,
        learned_variance=card.variance == "learned-range",
    )
    codec = _codec(card, device, dtype, layout, consent)
    conditioner = _conditioner(card, bare.network, device, weights, consent)
    return Model(card, unclipped, schedule, codec, network, device, weights, conditioner)


def _compiled(network: Callable[..., Tensor], compile: bool | str, device: torch.device) -> Callable[..., Tensor]:
    if not compile:
        return network
    if compile == "cuda-graphs":
        if device.type != "cuda":
            raise CardError(f"compile: cuda-graphs needs a CUDA device, not {device}")
        graphed = torch.compile(network, mode="reduce-overhead", dynamic=False)

        def replayed(x: Tensor, t: Tensor, **given: Tensor) -> Tensor:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            return graphed(x, t, **given).clone()  # the next replay writes over its output

        return replayed
    return torch.compile(network, dynamic=False)


def _codec(card: Card, device: torch.device, dtype: str, layout: torch.memory_format, consent: Consent) -> Codec:
    if card.codec is None:
        return PixelCodec(*card.data.range)
    weights = weights_dtype(dtype)
    loaded = component(card, card.codec.path, card.codec.class_name, AUTOENCODERS, consent)
    vae: Any = placed(loaded, device, weights, layout)

    def decoder(latents: Tensor) -> Tensor:
        with precision(dtype, device):
            images: Tensor = vae.decode(latents.to(weights).contiguous(memory_format=layout), return_dict=False)[0]
        return images

    def encoder(images: Tensor) -> Tensor:
        with precision(dtype, device):
            encoded = vae.encode(images.to(weights).contiguous(memory_format=layout))
        latents: Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        return latents

    # Each block of the encoder but the last halves the side.
    whole = (
        None if card.codec.crop is None else card.codec.latent_shape[-1] * 2 ** (len(vae.config.block_out_channels) - 1)
    )
    return LatentCodec(decoder, card.codec.scaling_factor, card.codec.crop, encoder, whole, card.codec.shift)


def _conditioner(
    card: Card, network: Any, device: torch.device, weights: torch.dtype, consent: Consent
) -> Conditioner | None:
    if card.labels is not None:
        return LabelConditioner(card.labels, device)
    if card.text is not None:
        return PromptConditioner(text_encoder(card, network, device, weights, consent))
    return None
