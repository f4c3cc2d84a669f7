"""DINOv2 and CLIP as extractors, by transformers (the extra ``hub``), from safetensors on this machine alone.

Nothing is downloaded, no code of a repository is run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from diffbench.errors import UsageError, WeightsError
from diffbench.scoring.known import BACKBONES, Backbone, find_backbone
from diffbench.scoring.resize import pillow_bicubic


class Normalised(nn.Module):
    """Levels 0 to 255, (B, 1 or 3, H, W), to the network's features (B, d) and no logits (B, 0)."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, backbone: Backbone, size: int) -> None:
        super().__init__()
        self.network, self.size, self.resize, self.output = network, size, backbone.resize, backbone.output
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and no logits."""
        levels = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        if self.resize == "bicubic":
            resized = interpolate(levels, size=(self.size, self.size), mode="bicubic", align_corners=False)
        else:
            resized = pillow_bicubic(levels, self.size)
        pixels = (resized / 255 - self.mean) / self.std
        features: Tensor = getattr(self.network(pixel_values=pixels), self.output)
        return features, features.new_zeros((len(features), 0))


def load_backbone(name: str, folder: Path) -> tuple[Normalised, int, str]:
    """The network, its number of features, and the sha256 of its weights.

    Raises:
        UsageError: transformers is not installed.
        WeightsError: the files do not fit the class.
    """
    try:
        import transformers
    except ImportError:
        raise UsageError(f"{name} needs transformers: pip install 'diffbench[hub]'") from None
    backbone = BACKBONES[name]
    network, sha256 = _pretrained(getattr(transformers, backbone.kind), folder)
    config = getattr(network.config, "vision_config", network.config)
    # Dinov2's own size is that of its training; the paper's images have 224.
    size = 224 if backbone.kind == "Dinov2Model" else int(config.image_size)
    dim = int(network.config.projection_dim if backbone.output == "image_embeds" else config.hidden_size)
    return Normalised(network.eval().requires_grad_(False), backbone, size), dim, sha256


def embed_prompts(name: str, sha256: str, prompts: list[str], device: torch.device) -> NDArray[np.float32]:
    """Embeddings (n, d) of prompts by the text network of the same CLIP, whose file has this ``sha256``.

    Longer ones are cut at the network's longest.

    Raises:
        UsageError: an extractor without a text network.
        WeightsError: the folder has none, or other weights.
    """
    if name not in BACKBONES or BACKBONES[name].output != "image_embeds":
        texts = [known for known, backbone in BACKBONES.items() if backbone.output == "image_embeds"]
        raise UsageError(f"prompts need an extractor that reads text: {' or '.join(texts)}, not {name}")
    import transformers

    folder = find_backbone(name)
    network, found = _pretrained(transformers.CLIPTextModelWithProjection, folder)
    if found != sha256:
        raise WeightsError(f"{folder}: its weights have changed since the images were seen")
    try:
        tokenizer: Any = transformers.CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # transformers fails in many ways
        raise WeightsError(f"{folder}: no tokenizer of CLIP ({_first_line(error)})") from None
    network = network.eval().to(device)
    longest = int(getattr(network.config, "text_config", network.config).max_position_embeddings)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(prompts), 64):
            given = tokenizer(
                prompts[start : start + 64], padding="max_length", truncation=True, max_length=longest,
                return_tensors="pt",
            ).to(device)  # fmt: skip
            parts.append(network(**given).text_embeds.float().cpu().numpy())
    return np.concatenate(parts)


def _pretrained(kind: Any, folder: Path) -> tuple[Any, str]:
    """A network of a class of transformers, all of whose weights are in the folder's file, and the sha256 of that.

    Raises WeightsError. Left to itself, the library fills what is missing, or of another shape, with random numbers.
    """
    import transformers

    path, logging = folder / "model.safetensors", cast(Any, transformers.logging)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        network, report = kind.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:  # transformers fails in many ways
        raise WeightsError(f"{folder}: no weights of {kind.__name__} ({_first_line(error)})") from None
    if wrong := sorted(map(str, (*report["missing_keys"], *report["mismatched_keys"]))):
        raise WeightsError(f"{path}: lacks {len(wrong)} weights of {kind.__name__}, or has others: {wrong[0]}")
    return network, sha256


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
