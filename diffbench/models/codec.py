"""What turns the sampler's x0 into images in [-1, 1]: nothing for pixel models, a decoder for latent ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Codec(Protocol):
    """x0 as the denoiser knows it, to images (B,C,H,W) in [-1, 1] up to over- and undershoot."""

    def decode(self, x0: Tensor) -> Tensor:
        """Images (B,C,H,W), float32."""
        ...


@dataclass(frozen=True)
class PixelCodec:
    """Pixels in the data range [low, high], mapped linearly to [-1, 1]."""

    low: float
    high: float

    def decode(self, x0: Tensor) -> Tensor:
        """Images (B,C,H,W) from x0 of the same shape."""
        if (self.low, self.high) == (-1.0, 1.0):
            return x0.float()
        return ((x0 - self.low) * (2 / (self.high - self.low)) - 1).float()


@dataclass(frozen=True)
class LatentCodec:
    """An autoencoder's decoder on x0 / scaling_factor (Rombach et al. 2022, appendix G), centre-cropped to ``crop``.

    ``decoder`` maps latents (B,c,h,w) of its own dtype to images (B,C,H,W) in [-1, 1].
    """

    decoder: Callable[[Tensor], Tensor]
    scaling_factor: float
    crop: int | None

    def decode(self, x0: Tensor) -> Tensor:
        """Images (B,C,crop,crop), or (B,C,H,W) without a crop."""
        images = self.decoder(x0 / self.scaling_factor).float()
        if self.crop is None:
            return images
        top, left = ((side - self.crop) // 2 for side in images.shape[-2:])
        return images[..., top : top + self.crop, left : left + self.crop]
