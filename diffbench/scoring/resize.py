"""Resize protocols by name: from images of any size to what an extractor sees. The largest source of unlike FIDs.

All take float32 levels 0 to 255, (B, C, H, W), and return float32 levels, not rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

Resize = Callable[[Tensor, int], Tensor]


def tf1(images: Tensor, size: int) -> Tensor:
    """Bilinear as in TensorFlow 1, as the Inception graph of 2015 did itself: pixel i at i H / size, no antialiasing.

    As torch-fidelity has it, to the last bit: columns first, then rows.
    """
    across = _between(images, 3, size)
    return _between(across, 2, size)


def _between(images: Tensor, dim: int, size: int) -> Tensor:
    count = images.shape[dim]
    place = torch.arange(size, dtype=torch.float32, device=images.device) * torch.tensor(count / size)
    low = place.long()
    share = place - low.float()
    share = share if dim == 3 else share.view(-1, 1)
    first = images.index_select(dim, low)
    second = images.index_select(dim, (low + 1).clamp_max(count - 1))
    return first + (second - first) * share


def clean(images: Tensor, size: int) -> Tensor:
    """Pillow's bicubic with antialiasing, channel by channel in float32, clamped to 0 to 255: Parmar et al. 2022.

    On the CPU, whatever the device.
    """
    out = np.empty((*images.shape[:2], size, size), np.float32)
    levels = images.cpu().numpy().astype(np.float32, copy=False)
    for index in np.ndindex(*levels.shape[:2]):
        channel = Image.fromarray(levels[index], mode="F").resize((size, size), Image.Resampling.BICUBIC)
        out[index] = np.asarray(channel).clip(0, 255)
    return torch.from_numpy(out).to(images.device)


def pillow_bicubic(images: Tensor, size: int) -> Tensor:
    """Pillow's bicubic with antialiasing on 8-bit images, rounded to whole levels: as DINOv2 and CLIP are used.

    On the CPU, whatever the device.
    """
    out = np.empty((*images.shape[:2], size, size), np.float32)
    levels = images.cpu().round().to(torch.uint8).numpy()
    for index in np.ndindex(*levels.shape[:2]):
        channel = Image.fromarray(levels[index]).resize((size, size), Image.Resampling.BICUBIC)
        out[index] = np.asarray(channel)
    return torch.from_numpy(out).to(images.device)


def legacy(images: Tensor, size: int) -> Tensor:
    """Bilinear with half-pixel centres and no antialiasing: clean-fid's ``legacy_pytorch``."""
    return interpolate(images, size=(size, size), mode="bilinear", align_corners=False, antialias=False)


def pytorch_fid(images: Tensor, size: int) -> Tensor:
    """As ``legacy``, with levels as pytorch-fid scales them: 2 (l / 255) - 1 where the others take (l - 128) / 128.

    Its features are 0.4 % away from those of ``legacy``.
    """
    return legacy(images, size) * (128 / 127.5)


RESIZES: Mapping[str, Resize] = {"tf1": tf1, "clean": clean, "legacy": legacy, "pytorch-fid": pytorch_fid}
