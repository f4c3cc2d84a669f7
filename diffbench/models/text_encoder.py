"""Prompts to the states of a text encoder, as latent diffusion's networks take them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from diffbench.errors import CardError, one_line
from diffbench.models.card import Card
from diffbench.models.components import ENCODERS, component, placed
from diffbench.models.consent import Consent
from diffbench.models.verify import verify_files

# A tokenizer's class follows from that of the encoder, so that no file of the checkpoint can name another.
_TOKENIZERS = {"CLIPTextModel": "CLIPTokenizer", "LDMBertModel": "BertTokenizer"}

# Parts of a pipeline of several encoders that checkpoints may leave out.
_OPTIONAL = ("text_encoder_3", "tokenizer_3", "image_encoder", "feature_extractor")

Encode = Callable[[Sequence[str]], dict[str, Tensor]]


def text_encoder(card: Card, network: Any, device: torch.device, dtype: torch.dtype, consent: Consent) -> Encode:
    """Texts (P) to the arguments of ``network``, a class of diffusers, in rows of P.

    Of one encoder: its last states (P, tokens, width), after its final normalisation, padding included (Rombach et al.
    2022, section 3.3 and appendix C). Of several: what the card's pipeline of diffusers makes of them.

    Raises CardError for a class that is not supported or a tokenizer that can't be read, WeightsError for altered
    files.
    """
    text = card.text
    assert text is not None
    if text.pipeline is not None:
        return _several(card, network, device, dtype)
    assert text.encoder is not None
    loaded = component(card, text.encoder.path, text.encoder.class_name, ENCODERS, consent)
    encoder: Any = placed(loaded, device, dtype, torch.contiguous_format)
    tokenizer = _tokenizer(card)

    @torch.inference_mode()
    def encode(prompts: Sequence[str]) -> dict[str, Tensor]:
        padded = {"padding": "max_length", "max_length": text.length, "truncation": True, "return_tensors": "pt"}
        tokens = tokenizer(list(prompts), **padded).input_ids.to(device)
        return {"encoder_hidden_states": encoder(tokens)[0]}

    return encode


def _several(card: Card, network: Any, device: torch.device, dtype: torch.dtype) -> Encode:
    """Several encoders together (Esser et al. 2024, section 4 and appendix B), each of which may be missing."""
    assert card.text is not None and card.text.pipeline is not None
    for part in ("text_encoder", "tokenizer"):
        verify_files(card, part)
    length = card.text.length
    try:
        pipeline_class = getattr(import_module("diffusers"), card.text.pipeline)
        import_module("diffusers.utils.logging").disable_progress_bar()
        given = {"transformer": network, "vae": None, "torch_dtype": dtype}
        given |= {part: None for part in _OPTIONAL if not (card.directory / part).is_dir()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names of arguments that the two packages changed
            pipeline = pipeline_class.from_pretrained(
                card.directory, **given, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
            )
        pipeline.to(device)
    except Exception as error:  # of diffusers' and transformers' own; it says what
        raise CardError(f"{card.directory}: its text encoders can't be read: {one_line(error)}") from None

    @torch.inference_mode()
    def encode(prompts: Sequence[str]) -> dict[str, Tensor]:
        texts = list(prompts)
        told = {"device": device, "do_classifier_free_guidance": False, "max_sequence_length": length}
        states, _, pooled, _ = pipeline.encode_prompt(texts, None, None, **told)
        return {"encoder_hidden_states": states, "pooled_projections": pooled}

    return encode


def _tokenizer(card: Card) -> Any:
    assert card.text is not None and card.text.tokenizer is not None and card.text.encoder is not None
    folder = card.text.tokenizer
    verify_files(card, f"{folder}/")
    name = _TOKENIZERS[card.text.encoder.class_name]
    try:
        tokenizer = getattr(import_module("transformers"), name)
        return tokenizer.from_pretrained(card.directory / folder, local_files_only=True)
    except Exception as error:  # of transformers' own; it says what
        raise CardError(f"{card.directory / folder}: no {name} can be read there: {one_line(error)}") from None
