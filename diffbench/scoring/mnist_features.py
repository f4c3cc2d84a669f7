"""The digit classifier whose penultimate layer serves as the feature space for MNIST-sized images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FEATURE_DIM = 64
CLASSES = 10


def _block(channels_in: int, channels_out: int) -> list[nn.Module]:
    """Return convolution, batch normalisation and activation as a list of layers."""
    return [
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]


class MnistFeatures(nn.Module):
    """A small convolutional digit classifier that also returns its penultimate features.

    The features are taken before the last activation, so they are signed and have no mass piled up at zero;
    a batch normalisation without gain or offset gives each of them about unit variance on (distorted) digits.
    In evaluation mode (batch normalisation with stored statistics, no dropout) every image is treated on its
    own: the result does not depend on what else is in the batch, nor on the size of the batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(1, 24),
            *_block(24, 32),
            nn.MaxPool2d(2),
            *_block(32, 48),
            *_block(48, 64),
            nn.MaxPool2d(2),
            *_block(64, 96),
            nn.Conv2d(96, 32, kernel_size=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),
        )
        self.penultimate = nn.Sequential(
            nn.Linear(32 * 7 * 7, FEATURE_DIM, bias=False), nn.BatchNorm1d(FEATURE_DIM, affine=False)
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Dropout(0.2), nn.Linear(FEATURE_DIM, CLASSES))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(features, logits)``, of shapes (B, 64) and (B, 10).

        ``x`` holds grey images as floats of shape (B, 1, 28, 28), black 0 and white 1.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != (1, 28, 28):
            raise ValueError(f"expected images of shape (B, 1, 28, 28), got {tuple(x.shape)}")
        features = self.penultimate(self.body(x.to(torch.float32) * 2 - 1))
        return features, self.head(features)
