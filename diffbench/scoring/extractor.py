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
from diffbench.scoring.mnist_features import CLASSES, FEATURE_DIM, MnistFeatures


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
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images it takes."""
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
    """A network that maps floats in [0, 1] to (features, logits), as an extractor.

    TF32 and the autotuner stay off: the same batch gives the same features on the same machine.
    """

    name: str
    sha256: str
    dim: int
    image_shape: tuple[int, int, int]
    device: torch.device
    network: nn.Module

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        """Features of a batch, (B, C, H, W) uint8 on any device.

        Raises:
            ScoringError: not uint8, another shape, or no image.
        """
        if images.dtype != torch.uint8:
            raise ScoringError(f"extractor {self.name} takes uint8 images, got {images.dtype}")
        if images.ndim != 4 or tuple(images.shape[1:]) != self.image_shape:
            raise ScoringError(
                f"extractor {self.name} takes images of shape {self.image_shape}, got {tuple(images.shape[1:])} "
                f"(batch {tuple(images.shape)})"
            )
        if len(images) == 0:
            raise ScoringError(f"extractor {self.name} got a batch of no images")
        with _reproducible():
            # A copy into fresh memory: with one channel, channels-last strides pass for contiguous, and would choose
            # other convolution kernels.
            levels = torch.empty(images.shape, dtype=torch.float32, device=self.device).copy_(images)
            features, logits = self.network(levels / 255)
        return Features(features.float().cpu(), logits.float().cpu())


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
    """Load a shipped extractor, after checking the sha256 of its weights against its config.json.

    Raises:
        UsageError: no extractor of that name.
        WeightsError: files are missing, not those of config.json, or do not fit the network.
    """
    if name not in _EMBEDDED:
        raise UsageError(f"no extractor {name!r}: known are {', '.join(_EMBEDDED)}")
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
