"""Noise from (seed, sample index, purpose, step) alone: counter-based, without state.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3 and Table 2) in int64
tensor operations on the samples' own device, then Box & Muller (1958), Eq. 1 and 2, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from diffbench.errors import UsageError

Words = tuple[Tensor, Tensor, Tensor, Tensor]

# Part of every sample's identity: numbers are never reused or changed.
PURPOSES: Mapping[str, int] = {
    "start": 0,
    "step": 1,
    "churn": 2,
    "corrector": 3,
    "posterior": 4,
    "dequantize": 5,
    "probe": 6,
    "path": 7,
    "trace": 8,
    "denoise": 9,
}

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def philox4x32(counter: Sequence[Tensor], key: Sequence[Tensor]) -> Words:
    """Philox4x32-10: four 32-bit words for each counter of four words under a key of two.

    All are int64 tensors with values in [0, 2^32) and broadcast against each other; source: see the module.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # Products wrap modulo 2^64; the shift brings the sign in, and the mask takes it out again.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c2 = ((p1 >> 32) ^ (c1 ^ k0)).bitwise_and_(_MASK), ((p0 >> 32) ^ (c3 ^ k1)).bitwise_and_(_MASK)
        c1, c3 = p1.bitwise_and_(_MASK), p0.bitwise_and_(_MASK)
        k0, k1 = (k0 + _KEY_STEPS[0]) & _MASK, (k1 + _KEY_STEPS[1]) & _MASK
    return c0, c1, c2, c3


def _box_muller(words: Words) -> Tensor:
    """Words (B,n) each -> standard normals (B, 4n) in float64, interleaved; u = (w + 1/2) / 2^32."""
    w0, w1, w2, w3 = words
    radius = torch.stack((w0, w2), -1).double().add_(0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
    angle = torch.stack((w1, w3), -1).double().add_(0.5).mul_(2.0**-32 * 2 * math.pi)
    return torch.stack((radius * angle.cos(), radius * angle.sin()), -1).flatten(1)


class Noise(Protocol):
    """Where standard normals come from: :class:`NoiseSource`, or what stands in for one."""

    def normal(self, purpose: str, step: int, sigma_from: float = 0.0, sigma_to: float = 0.0) -> Tensor:
        """Standard normals (B,C,H,W) for one purpose at one step."""
        ...


class NoiseSource:
    """The noise of the samples ``indices`` (B,), each of ``shape`` (C,H,W).

    Sample i's numbers depend on (seed, i, purpose, step, element) only: they are the same on every device, in every
    batch, shard and order. UsageError unless seed and indices lie in [0, 2^32) and the shape is of positive sizes.
    """

    def __init__(
        self,
        seed: int,
        indices: Tensor | Sequence[int],
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        given = torch.as_tensor(indices, dtype=torch.int64)
        if given.ndim != 1:
            raise UsageError(f"sample indices must form a list, got shape {tuple(given.shape)}")
        values = given.tolist()
        _check_words("seed", seed)
        for extreme in (min(values), max(values)) if values else ():
            _check_words("sample index", extreme)
        self.seed = seed
        self.indices = given.to(device, non_blocking=True)
        self.shape = tuple(shape)
        if not self.shape or any(size < 1 for size in self.shape):
            raise UsageError(f"the shape of a sample must have positive sizes, got {self.shape}")
        self.device = torch.device(device)
        self.dtype = dtype
        self._elements = math.prod(self.shape)
        # A last block is cut where 4 does not divide the number of elements.
        self._blocks = torch.arange(-(-self._elements // 4), dtype=torch.int64, device=device).unsqueeze(0)

    def normal(self, purpose: str, step: int, sigma_from: float = 0.0, sigma_to: float = 0.0) -> Tensor:
        """Standard normals (B, *shape), computed in float64, rounded to float32 and given in ``dtype``.

        ``purpose`` is a name of ``PURPOSES``, ``step`` lies in [0, 2^32); the same pair gives the same numbers.
        ``sigma_from`` and ``sigma_to`` say which interval the noise is for; these independent draws don't depend on it.
        The largest magnitude is sqrt(66 ln 2) = 6.76. UsageError for another purpose or step.
        """
        normals = _box_muller(self._words(purpose, step))[:, : self._elements]
        return normals.to(torch.float32).to(self.dtype).reshape(-1, *self.shape)

    def uniform(self, purpose: str, step: int) -> Tensor:
        """Uniform numbers (B, *shape) strictly between 0 and 1, float64: (w + 1/2) / 2^32 of the same words w.

        UsageError as of ``normal``.
        """
        words = torch.stack(self._words(purpose, step), -1).flatten(1)[:, : self._elements]
        return words.double().add_(0.5).mul_(2.0**-32).reshape(-1, *self.shape)

    def _words(self, purpose: str, step: int) -> Words:
        """Four words (B, blocks) for every block of four elements."""
        if purpose not in PURPOSES:
            raise UsageError(f"unknown purpose of noise {purpose!r}: use one of {', '.join(PURPOSES)}")
        _check_words("step", step)
        counter = (self._blocks, self._word(step), self._word(PURPOSES[purpose]), self._word(0))
        return philox4x32(counter, (self._word(self.seed), self.indices.unsqueeze(1)))

    def _word(self, value: int) -> Tensor:
        return torch.full((1, 1), value, dtype=torch.int64, device=self.device)


def _check_words(name: str, value: int) -> None:
    if not 0 <= value <= _MASK:
        raise UsageError(f"{name} must lie in [0, 2^32), got {value}")
