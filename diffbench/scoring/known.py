"""Which extractors there are, and where those made by others lie; read without torch.

Networks of transformers lie in a folder of their name (``config.json``, ``model.safetensors``) under
``$DIFFBENCH_WEIGHTS``, or in the cache of the Hugging Face hub. Nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from diffbench import shipped
from diffbench.errors import WeightsError
from diffbench.scoring.weights import INCEPTION

GROUP = "diffbench.extractors"
EMBEDDED = ("mnist-features",)
"""Those whose weights come with diffbench."""
INCEPTION_RESIZES = ("tf1", "clean", "legacy", "pytorch-fid")
"""How images get to Inception's size; the first without being named."""


@dataclass(frozen=True)
class Backbone:
    """What is known of a network before it is loaded: its repository, class, output, and how images get to it."""

    repository: str
    kind: str
    output: str
    resize: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

BACKBONES: Mapping[str, Backbone] = {
    # Stein et al. 2023 and their dgm-eval: the class token after the last norm, images by Pillow's bicubic.
    "dinov2-vitl14": Backbone("facebook/dinov2-large", "Dinov2Model", "pooler_output", "pillow-bicubic", *_IMAGENET),
    "clip-vitb32": Backbone(
        "openai/clip-vit-base-patch32", "CLIPVisionModelWithProjection", "image_embeds", "pillow-bicubic", *_CLIP
    ),
    # Jayasumana et al. 2024: torch's bicubic without antialiasing, as in their code's port.
    "clip-vitl14-336": Backbone(
        "openai/clip-vit-large-patch14-336", "CLIPVisionModelWithProjection", "image_embeds", "bicubic", *_CLIP
    ),
}


def installed() -> dict[str, EntryPoint]:
    """The extractors of installed packages, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def known_extractors() -> list[str]:
    """Names of all extractors: the embedded, those whose weights lie elsewhere, and those of installed packages."""
    inception = [INCEPTION, *(f"{INCEPTION}:{resize}" for resize in INCEPTION_RESIZES[1:])]
    return [*EMBEDDED, *inception, *BACKBONES, *installed()]


def refused_shape(name: str, shape: tuple[int, int, int]) -> str | None:
    """Why a known extractor can't take images of this (C, H, W); None if it can, or if only loading it would tell."""
    if name in EMBEDDED:
        wanted = tuple(shipped.extractor_config(name).get("image_shape", shape))
        fine, takes = shape == wanted, " x ".join(map(str, wanted))
    else:
        fine, takes = shape[0] in (1, 3) or name in installed(), "1 or 3 channels"
    return None if fine else f"{name} takes images of {takes}, not of {' x '.join(map(str, shape))}"


def find_backbone(name: str) -> Path:
    """The folder of a network's files. Raises WeightsError: nowhere on this machine; it says where they should be."""
    backbone = BACKBONES[name]
    own = os.environ.get("DIFFBENCH_WEIGHTS")
    if own and (Path(own) / name / "model.safetensors").is_file():
        return Path(own) / name
    try:
        from huggingface_hub import constants

        if not Path(constants.HF_HUB_CACHE, f"models--{backbone.repository.replace('/', '--')}").is_dir():
            raise FileNotFoundError  # what follows takes a second to import
        from huggingface_hub import snapshot_download

        found = Path(snapshot_download(backbone.repository, local_files_only=True))
        if (found / "model.safetensors").is_file():
            return found
    except Exception as error:  # not installed, not cached; both say the same to us
        del error
    places = f"{own}/{name}/" if own else f"a folder {name}/ of $DIFFBENCH_WEIGHTS"
    raise WeightsError(
        f"{name} needs config.json and model.safetensors of {backbone.repository} in {places}, or in the cache of the "
        "Hugging Face hub"
    )
