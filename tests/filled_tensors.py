"""Tensors that are a formula of a name and a shape: weights that need not be stored, the same on every machine."""

import contextlib
import zlib
from unittest.mock import patch

import numpy as np
import torch


def uniform(name, shape):
    """Numbers in [-1, 1), float64: 32 bits of a hash of the name and the position (splitmix64)."""
    x = np.arange(int(np.prod(shape)), dtype=np.uint64) + (np.uint64(zlib.crc32(name.encode())) << np.uint64(32))
    with np.errstate(over="ignore"):
        x = x * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits = (x ^ (x >> np.uint64(31))) >> np.uint64(32)
    return torch.from_numpy(bits.astype(np.float64) / 2.0**31 - 1.0).reshape(shape)


def parameter(name, shape):
    """A weight that keeps a signal's variance, the factor of a normalisation near 1, or a small vector.

    Float64, of numbers that float32 has.
    """
    values = uniform(name, shape)
    if len(shape) > 1:
        values *= (3.0 * shape[0] / values.numel()) ** 0.5
    else:
        values = 1.0 + 0.3 * values if name.endswith("weight") else 0.1 * values
    return values.to(torch.float32).to(torch.float64)


def parameters(shapes):
    return {name: parameter(name, shape) for name, shape in shapes.items()}


def image(count, side):
    return uniform("image", (count, 3, side, side))


@contextlib.contextmanager
def in_double():
    """Everything that networks ask for in float32 (embeddings, normalisations, softmax, filters) in float64."""
    arange, tensor = torch.arange, torch.tensor

    def wide(value):
        return value.double() if value.dtype == torch.float32 else value

    with (
        patch.object(torch.Tensor, "float", torch.Tensor.double),
        patch.object(torch, "arange", lambda *a, **k: wide(arange(*a, **k))),
        patch.object(torch, "tensor", lambda *a, **k: wide(tensor(*a, **k))),
    ):
        yield
