"""Prompts to the states of a text encoder, as latent diffusion's networks take them."""

from __future__ import annotations

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


def text_encoder(
    card: Card, device: torch.device, dtype: torch.dtype, consent: Consent
) -> Callable[[Sequence[str]], Tensor]:
    """Texts (P) to (P, tokens, width): the encoder's last states, after its final normalisation, padding included.

    Rombach et al. 2022, section 3.3 and appendix C. Raises CardError for a class that is not supported or a tokenizer
    that can't be read, WeightsError for altered files.
    """
    text = card.text
    assert text is not None
    loaded = component(card, text.encoder.path, text.encoder.class_name, ENCODERS, consent)
    network: Any = placed(loaded, device, dtype, torch.contiguous_format)
    tokenizer = _tokenizer(card)

    @torch.inference_mode()
    def encode(prompts: Sequence[str]) -> Tensor:
        padded = {"padding": "max_length", "max_length": text.length, "truncation": True, "return_tensors": "pt"}
        tokens = tokenizer(list(prompts), **padded).input_ids.to(device)
        states: Tensor = network(tokens)[0]
        return states

    return encode


def _tokenizer(card: Card) -> Any:
    assert card.text is not None
    folder = card.text.tokenizer
    verify_files(card, f"{folder}/")
    name = _TOKENIZERS[card.text.encoder.class_name]
    try:
        tokenizer = getattr(import_module("transformers"), name)
        return tokenizer.from_pretrained(card.directory / folder, local_files_only=True)
    except Exception as error:  # of transformers' own; it says what
        raise CardError(f"{card.directory / folder}: no {name} can be read there: {one_line(error)}") from None
