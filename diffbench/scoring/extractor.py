"""Images to features and logits: the networks in whose eyes images are compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from diffbench import shipped
from diffbench.errors import ScoringError, UsageError, WeightsError
from diffbench.scoring.known import BACKBONES, INCEPTION_RESIZES, find_backbone, installed, known_extractors
from diffbench.scoring.mnist_features import CLASSES, FEATURE_DIM, MnistFeatures
from diffbench.scoring.transformers_extractor import load_backbone
from diffbench.scoring.weights import INCEPTION, base_name, find_weights


@dataclass(frozen=True, eq=False)
class Features:
    """What an extractor sees in a batch: on the CPU, float32.

    Attributes:
        features: (B, d).
        logits: (B, K), before the softmax.
    """

    features: Tensor
    logits: Tensor


class Extractor(Protocol):
    """Maps uint8 images (B, C, H, W) to features; the caller decides on the batches, and they are not split."""

    @property
    def name(self) -> str:
        """What references and signatures call it."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of its weights."""
        ...

    @property
    def dim(self) -> int:
        """Number of features d."""
        ...

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(C, H, W) of the images it takes; None: any size, grey or RGB."""
        ...

    @property
    def resize(self) -> str:
        """The protocol by which it resizes images (``scoring/resize.py``); ``none`` if it does not."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def __call__(self, images: Tensor) -> Features:
        """Features of a batch, (B, C, H, W) uint8 on any device."""
        ...


@dataclass(frozen=True, eq=False)
class NetworkExtractor:
    """A network that maps float32 levels, divided by ``scale``, to (features, logits), as an extractor.

    TF32 and the autotuner stay off: the same batch gives the same features on the same machine.
    """

    name: str
    sha256: str
    dim: int
    image_shape: tuple[int, int, int] | None
    device: torch.device
    network: nn.Module
    resize: str = "none"
    scale: float = 255.0

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        """Features of a batch, (B, C, H, W) uint8 on any device.

        Raises:
            ScoringError: not uint8, another shape, or no image.
        """
        if images.dtype != torch.uint8:
            raise ScoringError(f"extractor {self.name} takes uint8 images, got {images.dtype}")
        if images.ndim != 4 or not takes(self, tuple(images.shape[1:])):
            wanted = "(1 or 3, H, W)" if self.image_shape is None else str(self.image_shape)
            raise ScoringError(
                f"extractor {self.name} takes images of shape {wanted}, got {tuple(images.shape[1:])} "
                f"(batch {tuple(images.shape)})"
            )
        if len(images) == 0:
            raise ScoringError(f"extractor {self.name} got a batch of no images")
        with _reproducible():
            # A copy into fresh memory: with one channel, channels-last strides pass for contiguous, and would choose
            # other convolution kernels.
            levels = torch.empty(images.shape, dtype=torch.float32, device=self.device).copy_(images)
            features, logits = self.network(levels / self.scale if self.scale != 1 else levels)
        return Features(features.float().cpu(), logits.float().cpu())


def takes(extractor: Extractor, shape: tuple[int, ...]) -> bool:
    """Whether an extractor takes images of this (C, H, W)."""
    if extractor.image_shape is not None:
        return shape == tuple(extractor.image_shape)
    return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= 1


def _reproducible() -> AbstractContextManager[Any]:
    flags: AbstractContextManager[Any] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags


@dataclass(frozen=True)
class _Embedded:
    """A network whose class is part of diffbench and whose weights are shipped."""

    build: Callable[[], nn.Module]
    dim: int
    classes: int
    image_shape: tuple[int, int, int]


_EMBEDDED = {"mnist-features": _Embedded(MnistFeatures, FEATURE_DIM, CLASSES, (1, 28, 28))}


def load_extractor(name: str, device: str | torch.device = "cpu") -> Extractor:
    """Load an extractor by name, after checking the sha256 of its weights.

    An installed package adds its own by the entry-point group ``diffbench.extractors``: a function of the device that
    returns an :class:`Extractor`.

    Raises:
        UsageError: no extractor of that name.
        WeightsError: files are missing, not the ones they should be, or do not fit the network.
    """
    if name in _EMBEDDED:
        return _embedded(name, device)
    if base_name(name) == INCEPTION and (name == INCEPTION or name.partition(":")[2] in INCEPTION_RESIZES):
        path, sha256 = find_weights(name)
        return inception_extractor(path, sha256, name, device)
    if name in BACKBONES:
        return backbone_extractor(name, find_backbone(name), device)
    if (point := installed().get(name)) is not None:
        made: Extractor = point.load()(torch.device(device))
        return made
    raise UsageError(f"no extractor {name!r}: known are {', '.join(known_extractors())}")


def inception_extractor(
    path: Path, sha256: str, name: str = INCEPTION, device: str | torch.device = "cpu", compiled: bool = False
) -> Extractor:
    """Inception with the weights of a file whose sha256 is stated. Raises WeightsError, UsageError."""
    from diffbench.scoring.inception import FEATURES, load_inception

    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: can't be read: {error.strerror or error}") from None
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise WeightsError(f"{path}: sha256 is {found}, not {sha256}")
    resize = name.partition(":")[2] or "tf1"
    network = load_inception(content, path, resize, compiled).to(device)
    return NetworkExtractor(name, sha256, FEATURES, None, torch.device(device), network, resize, 1.0)


def backbone_extractor(name: str, folder: Path, device: str | torch.device = "cpu") -> Extractor:
    """DINOv2 or CLIP from a folder. Raises UsageError, WeightsError."""
    network, dim, sha256 = load_backbone(name, folder)
    resize = BACKBONES[name].resize
    return NetworkExtractor(name, sha256, dim, None, torch.device(device), network.to(device), resize, 1.0)


def _embedded(name: str, device: str | torch.device) -> Extractor:
    embedded = _EMBEDDED[name]
    folder = shipped.reference_models() / name
    weights, sha256 = _verified(folder / "config.json", folder / "model.safetensors")
    network = embedded.build()
    try:
        network.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(f"{folder / 'model.safetensors'}: does not fit {type(network).__name__}: {first}") from None
    network.eval().requires_grad_(False).to(device)
    return NetworkExtractor(name, sha256, embedded.dim, embedded.image_shape, torch.device(device), network)


def _verified(config: Path, weights: Path) -> tuple[bytes, str]:
    """Return the bytes of the weights and their sha256 if it is the one that the config states."""
    try:
        stated = json.loads(config.read_text(encoding="utf-8"))["sha256"]
        content = weights.read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{config.parent}: can't be read: {type(error).__name__}: {error}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != stated:
        raise WeightsError(f"{weights}: sha256 is {sha256}, but {config.name} says {stated}")
    return content, sha256
