"""Denoisers D(x_hat, sigma): the one thing that samplers call, its network form and its wrappers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from diffbench.diffusion.prediction import Prediction, preconditioning
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.errors import UsageError

Conditioning = Literal["time", "sigma", "log-sigma"]


@dataclass(frozen=True, eq=False)
class Denoised:
    """``x0`` (B,C,H,W): the posterior mean of the data; ``log_variance``: of the reverse step, if it is learned."""

    x0: Tensor
    log_variance: Tensor | None = None


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
    if sigma.dtype != torch.float64 or sigma.device.type != "cpu" or sigma.shape != x_hat.shape[:1]:
        shape = tuple(sigma.shape)
        raise UsageError(f"sigma must be float64 on the CPU, one a sample; got {sigma.dtype} {shape} on {sigma.device}")


class NetworkDenoiser:
    """A network F(x, time) as a denoiser: D = c_skip x_hat + c_out F(c_in x_hat, time), see ``preconditioning``.

    ``network`` takes x (B,C,H,W) in ``dtype`` and the time (B,) in float32 (float64 if that is ``dtype``), and returns
    a tensor shaped like x. Its time is ``time_scale`` times what ``conditioning`` names: ``time`` t (scale 1 for
    indices, 999 for Score-SDE's VP networks), ``sigma`` itself (scale 1 for Score-SDE's VE networks, which take the
    logarithm inside), or ``log-sigma``, the natural logarithm of sigma (scale 1/4 for EDM's networks). Only F runs in
    ``dtype``; the combination is done in x_hat's dtype. ``sigma_data`` is for the prediction ``edm``. UsageError for
    arguments that no ``Denoiser`` takes, and for an output of another shape; ScheduleError for sigmas that the
    schedule lacks.
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
    ) -> None:
        self.network = network
        self.schedule = schedule
        self.prediction: Prediction = prediction
        self.time_scale = time_scale
        self.dtype = dtype
        self.conditioning: Conditioning = conditioning
        self.sigma_data = sigma_data

    def __call__(self, x_hat: Tensor, sigma: Tensor) -> Denoised:
        """Denoise a batch with one call of the network."""
        check_arguments(x_hat, sigma)
        level = sigma.numpy()
        c = preconditioning(self.prediction, self.schedule, level, self.sigma_data)
        seen = c.t if self.conditioning == "time" else level if self.conditioning == "sigma" else np.log(level)
        time = seen * self.time_scale
        # One copy for all coefficients, queued behind the device's work instead of waiting for it.
        packed = torch.from_numpy(np.stack([c.c_skip, c.c_out, c.c_in, time])).to(x_hat.device, non_blocking=True)
        c_skip, c_out, c_in = packed[:3].to(x_hat.dtype).view(3, -1, *[1] * (x_hat.ndim - 1))
        time_dtype = torch.float64 if self.dtype == torch.float64 else torch.float32
        output = self.network((c_in * x_hat).to(self.dtype), packed[3].to(time_dtype))
        if output.shape != x_hat.shape:
            raise UsageError(f"the network returned shape {tuple(output.shape)} for input {tuple(x_hat.shape)}")
        return Denoised(c_skip * x_hat + c_out * output.to(x_hat.dtype))


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
        """Denoise a batch and clamp it; NaN stays NaN."""
        denoised = self.denoiser(x_hat, sigma)
        return replace(denoised, x0=denoised.x0.clamp(self.low, self.high))


class Counted:
    """Another denoiser, counting its ``calls`` and the ``samples_evaluated`` in them; a call that fails counts too."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.reset()

    def reset(self) -> None:
        """Set both counters to zero."""
        self.calls = 0
        self.samples_evaluated = 0

    def __call__(self, x_hat: Tensor, sigma: Tensor) -> Denoised:
        """Denoise a batch and count it."""
        self.calls += 1
        self.samples_evaluated += x_hat.shape[0]
        return self.denoiser(x_hat, sigma)
