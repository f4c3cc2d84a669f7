"""Denoisers D(x_hat, sigma): the one thing that samplers call, its network form and its wrappers."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from diffbench.diffusion.prediction import Prediction, preconditioning
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.errors import UsageError

Conditioning = Literal["time", "sigma", "log-sigma"]

# Noise levels whose coefficients a network's denoiser keeps: more than any grid has.
_LEVELS_KEPT = 4096


@dataclass(frozen=True, eq=False)
class Denoised:
    """``x0`` (B,C,H,W): the posterior mean of the data.

    ``variance_position`` (B,C,H,W), from networks that predict it: where the log-variance of an ancestral step lies
    between those of the posterior, beta-tilde (-1), and of the forward step, beta (1), which are the sampler's to
    know; in the network's dtype, and not clamped.
    """

    x0: Tensor
    variance_position: Tensor | None = None


class Denoiser(Protocol):
    """D(x_hat, sigma) = E[x0 | x_hat], x_hat = x0 + sigma n.

    ``x_hat`` (B,C,H,W) is float32 or float64 on any device; ``sigma`` (B,) is a float64 CPU tensor, so that
    coefficients are worked out on the host and the device is never waited for. x0 has x_hat's dtype and device, and
    sample i depends on x_hat[i] and sigma[i] alone.
    """

    def __call__(self, x_hat: Tensor, sigma: Tensor) -> Denoised:
        """Denoise a batch."""
        ...


def check_arguments(x_hat: Tensor, sigma: Tensor) -> None:
    """Raise UsageError unless the two are what ``Denoiser`` says."""
    if x_hat.dtype not in (torch.float32, torch.float64):
        raise UsageError(f"x_hat must be float32 or float64, got {x_hat.dtype}")
    if sigma.dtype != torch.float64 or not sigma.is_cpu or sigma.shape != x_hat.shape[:1]:
        shape = tuple(sigma.shape)
        raise UsageError(f"sigma must be float64 on the CPU, one a sample; got {sigma.dtype} {shape} on {sigma.device}")


class NetworkDenoiser:
    """A network F(x, time) as a denoiser: D = c_skip x_hat + c_out F(c_in x_hat, time), see ``preconditioning``.

    ``network`` takes x (B,C,H,W) in ``dtype`` and the time (B,) in float32 (float64 if that is ``dtype``), and returns
    a tensor shaped like x; with ``learned_variance`` (B,2C,H,W), the second half being ``Denoised``'s
    ``variance_position`` (the code of Nichol & Dhariwal 2021 calls it LEARNED_RANGE). Its time is ``time_scale`` times
    what ``conditioning`` names: ``time`` t (scale 1 for indices, 999 for Score-SDE's VP networks), ``sigma`` itself
    (scale 1 for Score-SDE's VE networks, which take the logarithm inside), or ``log-sigma``, the natural logarithm of
    sigma (scale 1/4 for EDM's networks). Only F runs in ``dtype``; the combination is done in x_hat's dtype.
    ``sigma_data`` is for the prediction ``edm``. The coefficients are worked out in float64, once for each noise level
    that a whole batch is at. UsageError for arguments that no ``Denoiser`` takes, and for an output of another shape;
    ScheduleError for sigmas that the schedule lacks.
    """

    def __init__(
        self,
        network: Callable[[Tensor, Tensor], Tensor],
        schedule: NoiseSchedule,
        prediction: Prediction,
        time_scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
        conditioning: Conditioning = "time",
        sigma_data: float | None = None,
        learned_variance: bool = False,
    ) -> None:
        if conditioning not in get_args(Conditioning):
            raise UsageError(f"unknown conditioning {conditioning!r}: use one of {', '.join(get_args(Conditioning))}")
        self.network = network
        self.dtype = dtype
        self.learned_variance = learned_variance

        def rows(level: FloatArray) -> FloatArray:
            c = preconditioning(prediction, schedule, level, sigma_data)
            seen = c.t if conditioning == "time" else level if conditioning == "sigma" else np.log(level)
            return np.stack([c.c_skip, c.c_out, c.c_in, seen * time_scale])

        @lru_cache(_LEVELS_KEPT)
        @torch.inference_mode(False)  # they may be wanted for gradients later
        def row(level: float) -> tuple[Tensor | None, Tensor, Tensor, float]:
            c_skip, c_out, c_in, time = torch.from_numpy(rows(np.array([level]))[:, 0])
            return None if c_skip == 1 else c_skip, c_out, c_in, float(time)

        self._rows, self._row = rows, row

    def calling(self, network: Callable[[Tensor, Tensor], Tensor]) -> NetworkDenoiser:
        """The same denoiser of another network, such as one that was told a label; coefficients are kept for both."""
        other = copy(self)
        other.network = network
        return other

    def __call__(self, x_hat: Tensor, sigma: Tensor) -> Denoised:
        """Denoise a batch with one call of the network."""
        check_arguments(x_hat, sigma)
        c_skip, c_out, c_in, time = self._coefficients(x_hat, sigma)
        output = self.network(_cast(x_hat * c_in, self.dtype), time)
        returned, position = output, None
        if self.learned_variance:
            output, position = returned.tensor_split(2, dim=1)
        if output.shape != x_hat.shape or (position is not None and position.shape != x_hat.shape):
            raise UsageError(f"the network returned shape {tuple(returned.shape)} for input {tuple(x_hat.shape)}")
        x0 = _cast(output, x_hat.dtype) * c_out
        skipped = x_hat if c_skip is None else x_hat * c_skip
        # x0 is laid out in memory as x_hat, whatever the network's output is.
        x0 = x0.add_(skipped) if x0.stride() == skipped.stride() else skipped + x0
        return Denoised(x0, position)

    def _coefficients(self, x_hat: Tensor, sigma: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        """c_skip (None: 1), c_out, c_in, of no dimension at one level for all, else (B,1,1,1); the network's time (B,).

        PyTorch rounds a number of no dimension on the host to x_hat's dtype before it multiplies, on any device, so
        that a sample gets the same bits either way. The device is never waited for.
        """
        time_dtype = torch.float64 if self.dtype == torch.float64 else torch.float32
        levels = sigma.tolist()
        if levels and levels.count(levels[0]) == len(levels):
            c_skip, c_out, c_in, time = self._row(levels[0])
            return c_skip, c_out, c_in, torch.full((len(levels),), time, dtype=time_dtype, device=x_hat.device)
        # One copy for all coefficients, queued behind the device's work.
        packed = torch.from_numpy(self._rows(sigma.numpy())).to(x_hat.device, non_blocking=True)
        factors = packed[:3].to(x_hat.dtype).view(3, -1, *[1] * (x_hat.ndim - 1))
        return factors[0], factors[1], factors[2], packed[3].to(time_dtype)


def _cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """``x.to(dtype)``, which costs a microsecond even where there is nothing to do."""
    return x if x.dtype == dtype else x.to(dtype)


class Clipped:
    """Another denoiser with x0 clamped to [``low``, ``high``] (Ho, Jain & Abbeel 2020's code: the range of the data).

    Every sampler then derives its noise estimate from the clipped x0. UsageError unless low < high.
    """

    def __init__(self, denoiser: Denoiser, low: float, high: float) -> None:
        if not low < high:
            raise UsageError(f"clip range needs low < high, got {low!r} and {high!r}")
        self.denoiser = denoiser
        self.low = low
        self.high = high

    def __call__(self, x_hat: Tensor, sigma: Tensor) -> Denoised:
        """Denoise a batch and clamp it; what is not finite becomes NaN, so that no clip hides it."""
        denoised = self.denoiser(x_hat, sigma)
        # Zero times a finite number adds nothing, times infinity or NaN it adds NaN.
        clamped = denoised.x0.clamp(self.low, self.high).add_(denoised.x0 * 0)
        return Denoised(clamped, denoised.variance_position)


class Counted:
    """Another denoiser, counting its ``calls`` and the ``samples_evaluated`` in them; a call that fails counts too."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.reset()

    @property
    def network_evaluations(self) -> int:
        """Samples times calls of the network itself: more than ``samples_evaluated`` where guidance calls it twice."""
        inner = self.denoiser
        while not hasattr(inner, "network_evaluations") and hasattr(inner, "denoiser"):
            inner = inner.denoiser
        return int(getattr(inner, "network_evaluations", self.samples_evaluated))

    def reset(self) -> None:
        """Set both counters to zero."""
        self.calls = 0
        self.samples_evaluated = 0

    def __call__(self, x_hat: Tensor, sigma: Tensor) -> Denoised:
        """Denoise a batch and count it."""
        self.calls += 1
        self.samples_evaluated += x_hat.shape[0]
        return self.denoiser(x_hat, sigma)
