"""Between images in [-1, 1] and the sampler's x0: nothing for pixel models, an autoencoder for latent ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.nn.functional import pad

from diffbench.errors import CardError


class Codec(Protocol):
    """x0 as the denoiser knows it, to images (B,C,H,W) in [-1, 1] up to over- and undershoot."""

    def decode(self, x0: Tensor) -> Tensor:
        """Images (B,C,H,W), float32."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """x0 of images (B,C,H,W) in [-1, 1], float32: the other way round, as far as there is one."""
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

    def encode(self, images: Tensor) -> Tensor:
        """x0 (B,C,H,W) from images of the same shape."""
        if (self.low, self.high) == (-1.0, 1.0):
            return images.float()
        return ((images + 1) * ((self.high - self.low) / 2) + self.low).float()


@dataclass(frozen=True)
class LatentCodec:
    """An autoencoder's decoder on x0 / scaling_factor + shift (Rombach et al. 2022, appendix G), cropped to ``crop``.

    ``decoder`` maps latents (B,c,h,w) of its own dtype to images (B,C,H,W) in [-1, 1]; ``encoder``, if there is one,
    the other way: to the mean of the posterior (KL), or to what is not yet quantised (VQ). ``whole`` is the side of the
    images that the autoencoder itself takes; cropped ones get a black frame.
    """

    decoder: Callable[[Tensor], Tensor]
    scaling_factor: float
    crop: int | None
    encoder: Callable[[Tensor], Tensor] | None = None
    whole: int | None = None
    shift: float = 0.0

    def decode(self, x0: Tensor) -> Tensor:
        """Images (B,C,crop,crop), or (B,C,H,W) without a crop."""
        images = self.decoder(self._latents(x0)).float()
        if self.crop is None:
            return images
        top, left = ((side - self.crop) // 2 for side in images.shape[-2:])
        return images[..., top : top + self.crop, left : left + self.crop]

    def encode(self, images: Tensor) -> Tensor:
        """x0 (B,c,h,w), scaled, from images (B,C,crop,crop). CardError without an encoder."""
        if self.encoder is None:
            raise CardError("this codec has no encoder: images can't be made latents")
        if self.whole is not None and self.whole != images.shape[-1]:
            frame = self.whole - images.shape[-1]
            images = pad(images, (frame // 2, frame - frame // 2) * 2, value=-1.0)
        return (self.encoder(images).float() - self.shift) * self.scaling_factor

    def _latents(self, x0: Tensor) -> Tensor:
        latents = x0 / self.scaling_factor
        return latents + self.shift if self.shift else latents
