"""Training of the digit classifier behind the features, and the statistics of the real digits in its eyes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffbench.scoring.mnist_features import MnistFeatures

from . import digits
from .loop import Recipe, train

RECIPE = Recipe(steps=2400, batch=128, lr=3e-3, warmup=150, weight_decay=0.05, ema=0.0)
DECORRELATION = 2.0


def correlation(features: Tensor) -> Tensor:
    """Return the mean squared correlation between different features in a batch.

    A classifier left to itself puts nearly all variance of its features into nine directions, one fewer than
    there are classes; holding this down makes it spend the others on how digits of one class differ.
    """
    centred = (features - features.mean(dim=0)) / (features.std(dim=0, correction=0) + 1e-4)
    matrix = centred.T @ centred / len(features)
    return (matrix - torch.diag(torch.diag(matrix))).square().mean()


def fit(recipe: Recipe, checkpoint: Path, indices: Tensor) -> MnistFeatures:
    """Train a classifier on the chosen digits."""
    torch.manual_seed(recipe.seed)
    images, labels = digits.images01()[indices], digits.labels()[indices]

    def loss(model: nn.Module, generator: torch.Generator) -> Tensor:
        pick = torch.randint(len(images), (recipe.batch,), generator=generator)
        features, logits = model(digits.distort(images[pick], generator))
        return F.cross_entropy(logits, labels[pick]) + DECORRELATION * correlation(features)

    model = MnistFeatures()
    train("mnist-features", model, loss, recipe, checkpoint)
    return model


def extract(model: MnistFeatures, batch: int = 250) -> tuple[Tensor, Tensor]:
    """Return features and logits of all digits, in order."""
    with torch.no_grad():
        parts = [model(chunk) for chunk in digits.images01().split(batch)]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def held_out_accuracy(recipe: Recipe, checkpoint: Path) -> float:
    """Train on four in five digits only and return the accuracy on the others."""
    kept, held_out = digits.split()
    model = fit(recipe, checkpoint, kept)
    correct = extract(model)[1].argmax(dim=1) == digits.labels()
    return float(correct[held_out].double().mean())
