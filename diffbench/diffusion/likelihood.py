"""Log-likelihood of data under the probability-flow ODE of a denoiser, and its bits/dim for 8-bit images.

In x_hat = x_t / s and u = log sigma the ODE is dx_hat/du = x_hat - D(x_hat; sigma), whatever the schedule (Karras et
al. 2022, Eq. 1), and d log p / du = -(d - tr dD/dx_hat) along it (Song et al. 2021 (Score-SDE), Eq. 39; Chen et al.
2018 (Neural ODE), theorem 1). Integrated from sigma_min, where x_hat is the data, to sigma_max, where x_hat has the
distribution that sampling starts from, this gives the density of what the model makes when it stops at sigma_min.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from diffbench.diffusion.denoiser import Denoiser
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.errors import ScoringError, UsageError

Dequantisation = Literal["uniform", "rounding"]

FIRST_STEPS, MOST_STEPS = 16, 512
# The ODE is solved for x_hat / sqrt(sigma^2 + 1/4), which stays of order one, as sigma_data = 1/2 does in EDM.
_DATA_SCALE = 0.5


@dataclass(frozen=True, eq=False)
class LogDensity:
    """What the ODE says of a batch, all (B,) on the CPU.

    ``nats``: log-density of the data, float64. ``change``: by how much the last doubling of the steps moved it, which
    is several times the error that is left. ``nfe``: evaluations of the denoiser, int64, those of all passes.
    """

    nats: Tensor
    change: Tensor
    nfe: Tensor


def prior_scale(schedule: NoiseSchedule) -> float:
    """Standard deviation of x_hat where sampling starts: 1 / s, or sigma_max where the signal does not shrink.

    Song et al. 2021 (Score-SDE), appendix C: N(0, I) in x_t for VP and sub-VP, N(0, sigma_max^2 I) for VE.
    """
    scale = schedule.scale(schedule.t_start)
    return schedule.sigma_max if scale == 1.0 else 1.0 / scale


def log_density(
    denoiser: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    noise: NoiseSource | None,
    tolerance: float,
    probes: int = 1,
    first_steps: int = FIRST_STEPS,
    most_steps: int = MOST_STEPS,
) -> LogDensity:
    """Log-density in nats of ``x`` (B,C,H,W), in units of the denoiser's data.

    Fourth-order Runge-Kutta with equal steps in log sigma; the steps are doubled, image by image, until that moves the
    log-density by at most ``tolerance`` nats, or until ``most_steps`` (see ``LogDensity.change``). The trace is
    Hutchinson's unbiased estimate, the mean of v^T (dD/dx_hat) v over ``probes`` vectors v of random signs, the same
    all along the path (Hutchinson 1990; Grathwohl et al. 2019 (FFJORD), section 3.1), drawn from ``noise`` (purpose
    ``trace``, step = number of the probe); without ``noise`` it is exact, at d derivatives an evaluation. An image's
    result depends on itself, the seed and its sample index only, but for the network's own rounding.

    Raises:
        UsageError: no probe, a tolerance that is not positive, or a denoiser that can't be differentiated.
        ScoringError: a log-density is not finite; names the sample.
    """
    if probes < 1 or not tolerance > 0:
        raise UsageError(f"need at least 1 probe and a positive tolerance, got {probes!r} and {tolerance!r}")
    with torch.inference_mode(False):
        x = x.detach().clone().double()
        signs = None if noise is None else torch.stack([_signs(noise, probe) for probe in range(probes)]).to(x)
        known = _one_pass(denoiser, x, schedule, signs, first_steps)
        nats, change = known, torch.full_like(known, torch.inf)
        nfe = torch.full(known.shape, 4 * first_steps, dtype=torch.int64)
        rows, steps = torch.arange(len(x)), first_steps
        while len(rows) and 2 * steps <= most_steps:
            steps *= 2
            at = rows.to(x.device)
            found = _one_pass(denoiser, x[at], schedule, None if signs is None else signs[:, at], steps)
            _refuse(rows[~(found.isfinite() | nats[rows].isfinite())], noise)  # once may be too large a step
            change[rows], nats[rows] = found - nats[rows], found
            nfe[rows] += 4 * steps
            rows = rows[~(change[rows].abs() <= tolerance)]
    _refuse((~nats.isfinite()).nonzero().flatten(), noise)
    return LogDensity(nats, change, nfe)


def _signs(noise: NoiseSource, probe: int) -> Tensor:
    """Independent signs (B,C,H,W), +1 or -1."""
    return torch.where(noise.uniform("trace", probe) < 0.5, -1.0, 1.0)


def _refuse(lost: Tensor, noise: NoiseSource | None) -> None:
    if len(lost):
        bad = int(lost[0]) if noise is None else int(noise.indices[lost[0]])
        raise ScoringError(f"sample {bad}: its log-likelihood is not finite (NaN or infinity in the denoised estimate)")


def _one_pass(denoiser: Denoiser, x: Tensor, schedule: NoiseSchedule, signs: Tensor | None, steps: int) -> Tensor:
    """Log-density (B,) on the CPU with ``steps`` steps of the classical Runge-Kutta method (Kutta 1901)."""
    low, high = schedule.sigma_min, schedule.sigma_max
    ends = np.log(low), np.log(high)
    levels = np.exp(np.linspace(*ends, 2 * steps + 1)).clip(low, high).tolist()
    size = float(ends[1] - ends[0]) / steps
    y, gained = x / math.hypot(levels[0], _DATA_SCALE), x.new_zeros(len(x))
    for i in range(0, 2 * steps, 2):
        begin, middle, end = levels[i : i + 3]
        k1, g1 = _slope(denoiser, y, begin, signs)
        k2, g2 = _slope(denoiser, y + size / 2 * k1, middle, signs)
        k3, g3 = _slope(denoiser, y + size / 2 * k2, middle, signs)
        k4, g4 = _slope(denoiser, y + size * k3, end, signs)
        y = y + size / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        gained = gained + size / 6 * (g1 + 2 * g2 + 2 * g3 + g4)
    start = (y * (math.hypot(levels[-1], _DATA_SCALE) / prior_scale(schedule))).flatten(1)
    normaliser = start.shape[1] * (0.5 * math.log(2 * math.pi) + math.log(prior_scale(schedule)))
    return (gained - 0.5 * start.square().sum(1) - normaliser).cpu()


def _slope(denoiser: Denoiser, y: Tensor, level: float, signs: Tensor | None) -> tuple[Tensor, Tensor]:
    """dy/du (B,C,H,W), y = x_hat / w with w^2 = sigma^2 + 1/4, and the divergence of dx_hat/du (B,)."""
    width, sigma = math.hypot(level, _DATA_SCALE), torch.full((len(y),), level, dtype=torch.float64)
    with torch.enable_grad():
        x_hat = (y * width).requires_grad_()
        x0 = denoiser(x_hat, sigma).x0
    if not x0.requires_grad:
        raise UsageError("the denoiser can't be differentiated: it runs under no_grad or inference_mode")
    trace = _trace(x0, x_hat, signs)
    change = (x_hat.detach() - x0.detach()) / width - y * (level / width) ** 2
    return change, math.prod(y.shape[1:]) - trace


def _trace(x0: Tensor, x_hat: Tensor, signs: Tensor | None) -> Tensor:
    """Trace (B,) of dx0/dx_hat: by the signs (K,B,C,H,W), or from every diagonal element."""
    if signs is None:
        size = math.prod(x_hat.shape[1:])
        units = torch.eye(size, dtype=x_hat.dtype, device=x_hat.device).view(size, 1, *x_hat.shape[1:])
        signs, share = units.expand(size, *x_hat.shape), 1.0
    else:
        share = 1 / len(signs)
    found = x_hat.new_zeros(len(x_hat))
    for direction in signs:
        (pulled,) = torch.autograd.grad(x0, x_hat, direction, retain_graph=True)
        found = found + share * (pulled * direction).flatten(1).sum(1)
    return found


def dequantise(
    pixels: Tensor, noise: NoiseSource, low: float, high: float, how: Dequantisation = "uniform", draw: int = 0
) -> Tensor:
    """8-bit ``pixels`` (B,C,H,W) as float64 in [``low``, ``high``], with noise u ~ U(0, 1) in every one.

    ``uniform``: (pixel + u) / 256 of the range, as Score-SDE's code has it. ``rounding``: (pixel + u - 1/2) / 255 of
    it, the values that round to the pixel. The noise is ``noise``'s, purpose ``dequantize``, step ``draw``. The mean of
    log-densities at such values, in units of a pixel, bounds the log-probability of the 8-bit image from below (Theis
    et al. 2016, section 3.1). UsageError unless the pixels are uint8.
    """
    if pixels.dtype != torch.uint8:
        raise UsageError(f"only 8-bit pixels are dequantised, got {pixels.dtype}")
    u = noise.uniform("dequantize", draw)
    bins, shift = _BINS[how], 0.0 if how == "uniform" else 0.5
    return low + (pixels.to(u.device).double() + u - shift) * ((high - low) / bins)


_BINS = {"uniform": 256, "rounding": 255}


def bits_per_dim(nats: Tensor, elements: int, low: float, high: float, how: Dequantisation = "uniform") -> Tensor:
    """Bits/dim (B,) from log-densities of ``elements`` values in [``low``, ``high``]: -log2 p / d + log2(bins / range).

    The second term turns the density of values into that of pixels, each (high - low) / bins wide: 7 for 256 in
    [-1, 1], 8 in [0, 1] (the offset of Score-SDE's ``likelihood.py``).
    """
    return -nats / (elements * math.log(2)) + math.log2(_BINS[how] / (high - low))
