"""Estimates of the data that need no network, from the data's mean and variances: what a network's D is held against.

With x_hat = x0 + sigma n, the linear estimate of least squared error is mean + C (C + sigma^2 I)^-1 (x_hat - mean) for
data of covariance C (Wiener's filter; Bishop 2006, Eq. 2.116); with the diagonal of C alone it shrinks
each element by v / (v + sigma^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffbench.diffusion.prediction import Prediction, preconditioning
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.errors import ScoringError

# What a network may miss of its target, in its target's root mean square. The shipped networks miss 1 to 1.6% where
# sigma is largest; a target misread is missed by 100%.
RESOLUTION = 0.03
_FEWEST = 8


def squared_error(estimate: Tensor, x0: Tensor) -> Tensor:
    """Mean over elements of (estimate - x0)^2, a number a sample: (B,) float64."""
    return (estimate.double() - x0.double()).square().flatten(1).mean(1)


@dataclass(frozen=True, eq=False)
class LinearEstimates:
    """Mean, variances and principal axes of data (C,H,W) with D = CHW elements, float64.

    Attributes:
        mean: (C,H,W).
        variance: of each element, (C,H,W).
        axes: (D,r), orthonormal.
        along: variance along each axis, (r,).
        rest: variance of each direction at right angles to all axes.
    """

    mean: Tensor
    variance: Tensor
    axes: Tensor
    along: Tensor
    rest: float

    @classmethod
    def of(cls, data: Tensor) -> LinearEstimates:
        """From data (m,C,H,W). ScoringError for fewer than eight.

        The axes are the principal ones of every second datum and the variances along them those of the others, so that
        few data don't make the small ones too small (sample splitting, as of Lam 2016). With fewer data than elements
        the axes span their half's data, and what is left is of one variance.
        """
        if len(data) < _FEWEST:
            raise ScoringError(f"moments of {len(data)} images: at least {_FEWEST} are needed")
        rows = data.double().flatten(1)
        mean = rows.mean(0)
        axes = _principal_axes(rows[::2])
        other = rows[1::2] - mean
        along = (other @ axes).square().mean(0)
        left = rows.shape[1] - axes.shape[1]
        rest = float(other.square().sum(1).mean() - along.sum()) / left if left else 0.0
        shape = data.shape[1:]
        return cls(mean.view(shape), rows.var(0, correction=1).view(shape), axes, along, max(rest, 0.0))

    @property
    def std(self) -> float:
        """Root of the mean variance of an element."""
        return math.sqrt(float(self.variance.mean()))

    @property
    def square(self) -> float:
        """Mean square of an element, E|x0|^2 / D."""
        return float(self.variance.mean() + self.mean.square().mean())

    def moved(self, scale: float, shift: float) -> LinearEstimates:
        """Those of ``scale`` x0 + ``shift``."""
        mean, square = self.mean * scale + shift, scale**2
        return LinearEstimates(mean, self.variance * square, self.axes, self.along * square, self.rest * square)

    def shrunk(self, x_hat: Tensor, sigma: float) -> Tensor:
        """Each element's best linear estimate from itself, (B,C,H,W) float64; sigma > 0."""
        return self.mean + self.variance / (self.variance + sigma**2) * (x_hat.double() - self.mean)

    def linear(self, x_hat: Tensor, sigma: float) -> Tensor:
        """The best linear estimate from all elements, (B,C,H,W) float64; sigma > 0."""
        apart = (x_hat.double() - self.mean).flatten(1)
        common = self.rest / (self.rest + sigma**2)
        gains = self.along / (self.along + sigma**2) - common
        moved = common * apart + (apart @ self.axes * gains) @ self.axes.T
        return self.mean + moved.view(x_hat.shape)


def _principal_axes(rows: Tensor) -> Tensor:
    """Orthonormal principal axes (D,r) of rows (m,D), r = min(D, m - 1)."""
    apart = rows - rows.mean(0)
    count, size = apart.shape
    axes: Tensor
    if size < count:
        axes = torch.linalg.eigh(apart.T @ apart).eigenvectors
    else:
        axes = torch.linalg.qr(apart.T @ torch.linalg.eigh(apart @ apart.T).eigenvectors[:, 1:]).Q
    return axes


def target_power(
    kind: Prediction, schedule: NoiseSchedule, sigma: FloatArray, square: float, sigma_data: float | None = None
) -> FloatArray:
    """Mean square of what a network of this ``kind`` has to add to c_skip x_hat, in the data's unit: (B,).

    E|x0 - c_skip x_hat|^2 / D = (1 - c_skip)^2 E|x0|^2 / D + c_skip^2 sigma^2, with ``square`` = E|x0|^2 / D: sigma^2
    for a network that predicts the noise, ``square`` for one that predicts the data. An output that misses its target
    by a share q of its root mean square misses x0 by q^2 times this. ScheduleError as of ``preconditioning``.
    """
    skip = preconditioning(kind, schedule, sigma, sigma_data).c_skip
    power: FloatArray = (1 - skip) ** 2 * square + skip**2 * sigma**2
    return power
