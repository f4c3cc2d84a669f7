"""The Inception network of 2015 that published FIDs and Inception scores see: torch-fidelity's, made fast.

Features are those of its last pooling (2048), logits those without the bias of the last layer (1008), as torch-fidelity
and the original code take them for the Inception score.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from diffbench.errors import UsageError, WeightsError
from diffbench.scoring.resize import RESIZES, Resize

SIZE, FEATURES, CLASSES = 299, 2048, 1008

_BODY = (
    "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 MaxPool_1 Conv2d_3b_1x1 Conv2d_4a_3x3 MaxPool_2 "
    "Mixed_5b Mixed_5c Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c AvgPool"
).split()


class Inception(nn.Module):
    """Levels 0 to 255, (B, 1 or 3, H, W) float32, to features (B, 2048) and logits (B, 1008).

    Grey images are repeated to three channels. Batch normalisation is folded into the convolutions, and memory is laid
    out channels last: the same function to rounding (within 1e-4 of torch-fidelity's), in half the time on a CPU.
    """

    def __init__(self, network: Any, resize: Resize) -> None:
        super().__init__()
        for block in list(network.modules()):
            if isinstance(getattr(block, "bn", None), nn.BatchNorm2d):
                _fold(block)
        self.body = nn.Sequential(*(getattr(network, name) for name in _BODY))
        self.last = nn.Parameter(network.fc.weight.detach().clone(), requires_grad=False)
        self.resize = resize
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits."""
        levels = self.resize(images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images, SIZE)
        scaled = ((levels - 128) / 128).contiguous(memory_format=torch.channels_last)
        features = self.body(scaled).flatten(1)
        return features, features @ self.last.T


def _fold(block: Any) -> None:
    """One convolution in place of a convolution and its batch normalisation."""
    conv, bn = block.conv, block.bn
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    conv.weight, conv.bias = weight, bias
    block.bn = nn.Identity()


def load_inception(content: bytes, path: Path, resize: str = "tf1", compiled: bool = False) -> Inception:
    """The network with the weights of a checked file's ``content``.

    The file is read as tensors alone (``weights_only``); what the library then loads is written here.

    Raises:
        WeightsError: the content is no state dict of this network.
        UsageError: an unknown resize protocol, or torch-fidelity is not installed.
    """
    if resize not in RESIZES:
        raise UsageError(f"no resize protocol {resize!r}: known are {', '.join(RESIZES)}")
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise UsageError(f"inception-v3-compat needs torch-fidelity ({error})") from None
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError("no dictionary of tensors")
        with tempfile.TemporaryDirectory() as folder:
            safe = Path(folder) / "weights.pth"
            torch.save(dict(state), safe)
            network = FeatureExtractorInceptionV3(
                "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(safe)
            )
    except Exception as error:  # unpickling and loading fail in many ways
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path}: no weights of this Inception network ({first})") from None
    made = Inception(network, RESIZES[resize]).eval().requires_grad_(False)
    if compiled:
        made.body.compile()
    return made
