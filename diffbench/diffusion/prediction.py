"""What a network predicts: noise, data, velocity, score, flow or EDM's mixture; each to x0 and back.

With x_t = alpha x0 + sigma_tilde n (alpha = s, sigma_tilde = s sigma), the network's output estimates

- ``epsilon``: n (Ho, Jain & Abbeel 2020, Eq. 11 and 14);
- ``sample``: x0;
- ``v_prediction``: v = alpha n - sigma_tilde x0 (Salimans & Ho 2022, section 4 and appendix D);
- ``score``: the gradient of log p_t(x_t), -n / sigma_tilde (Song et al. 2021, Eq. 7 with the kernels of Eq. 29);
- ``flow``: u = dx_t/dt = alpha' x0 + sigma_tilde' n (Lipman et al. 2023, Eq. 14);
- ``edm``: (sigma x0 / sigma_data - sigma_data n) / sqrt(sigma^2 + sigma_data^2), sigma = sigma_tilde / alpha: data
  where noise is strong, noise where it is weak, of unit variance for data of variance sigma_data^2 (Karras et al.
  2022, Eq. 7 and 8 with Table 1's coefficients).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from torch import Tensor

from diffbench.diffusion.schedule import FloatArray, LinearFlow, NoiseSchedule
from diffbench.errors import ScheduleError

Prediction = Literal["epsilon", "sample", "v_prediction", "score", "flow", "edm"]
Number = Tensor | float

# The largest churn multiplies sigma by sqrt(2) (Karras et al. 2022, Algorithm 2); no sampler goes further.
LARGEST_CHURN = 2**0.5


def to_x0(
    kind: Prediction,
    output: Tensor,
    x_t: Tensor,
    alpha: Number,
    sigma_tilde: Number,
    alpha_rate: Number = -1.0,
    sigma_tilde_rate: Number = 1.0,
    sigma_data: float | None = None,
) -> Tensor:
    """Estimate x0 from a network's ``output`` at ``x_t``; all arguments broadcast.

    ``alpha_rate`` and ``sigma_tilde_rate`` are the time derivatives of alpha and sigma_tilde, which only ``flow`` uses;
    the defaults are those of the linear flow; ``sigma_data`` is for ``edm``. x0 = (x_t - sigma_tilde eps) / alpha
    = (alpha x_t - sigma_tilde v) / (alpha^2 + sigma_tilde^2) = (x_t + sigma_tilde^2 score) / alpha
    = (sigma_tilde' x_t - sigma_tilde u) / (alpha sigma_tilde' - alpha' sigma_tilde)
    = alpha sigma_data^2 x_t / w^2 + sigma_tilde sigma_data F / w, w^2 = sigma_tilde^2 + (alpha sigma_data)^2.
    ScheduleError: unknown ``kind``, ``edm`` without a ``sigma_data``.
    """
    if kind == "epsilon":
        return (x_t - sigma_tilde * output) / alpha
    if kind == "sample":
        return output
    if kind == "v_prediction":
        return (alpha * x_t - sigma_tilde * output) / (alpha**2 + sigma_tilde**2)
    if kind == "score":
        return (x_t + sigma_tilde**2 * output) / alpha
    if kind == "flow":
        determinant = alpha * sigma_tilde_rate - alpha_rate * sigma_tilde
        return (sigma_tilde_rate * x_t - sigma_tilde * output) / determinant
    if kind == "edm":
        skip, out = _edm(alpha, sigma_tilde, sigma_data)
        return skip * x_t + out * output
    raise _unknown(kind)


def from_x0(
    kind: Prediction,
    x0: Tensor,
    x_t: Tensor,
    alpha: Number,
    sigma_tilde: Number,
    alpha_rate: Number = -1.0,
    sigma_tilde_rate: Number = 1.0,
    sigma_data: float | None = None,
) -> Tensor:
    """What a network of this ``kind`` must output at ``x_t`` to mean ``x0``: the inverse of ``to_x0``."""
    if kind == "sample":
        return x0
    if kind == "edm":
        skip, out = _edm(alpha, sigma_tilde, sigma_data)
        return (x0 - skip * x_t) / out
    noise = (x_t - alpha * x0) / sigma_tilde
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return alpha * noise - sigma_tilde * x0
    if kind == "score":
        return -noise / sigma_tilde
    if kind == "flow":
        return alpha_rate * x0 + sigma_tilde_rate * noise
    raise _unknown(kind)


@dataclass(frozen=True, eq=False)
class Coefficients:
    """D(x_hat; sigma) = c_skip x_hat + c_out F(c_in x_hat, t); float64 arrays (B,), t in the schedule's time."""

    c_skip: FloatArray
    c_out: FloatArray
    c_in: FloatArray
    t: FloatArray


def _edm(alpha: Number, sigma_tilde: Number, sigma_data: float | None) -> tuple[Number, Number]:
    """The factors of x_t and F in x0."""
    data = _positive(sigma_data)
    width = (sigma_tilde**2 + (alpha * data) ** 2) ** 0.5
    return alpha * data**2 / width**2, sigma_tilde * data / width


def _positive(sigma_data: float | None) -> float:
    if sigma_data is None or not 0 < sigma_data < float("inf"):
        raise ScheduleError(f"prediction edm needs a positive sigma_data, got {sigma_data!r}")
    return sigma_data


def preconditioning(
    kind: Prediction, schedule: NoiseSchedule, sigma: FloatArray, sigma_data: float | None = None
) -> Coefficients:
    """Coefficients that turn a network F of this ``kind`` into the denoiser D at noise levels ``sigma`` (B,).

    F is called at x_t = s x_hat, so c_in = s, and at c_in = 1 / sqrt(sigma^2 + sigma_data^2) for ``edm``; the others
    are ``to_x0`` with alpha = s, sigma_tilde = s sigma (Karras et al. 2022, Eq. 7 and Table 1, generalised). Sigma must
    lie within the schedule's [sigma_min, sigma_max]. Up to sqrt(2) above it, where churn can lead, all but t follow
    sigma, and t stays at t_start, as EDM treats discrete networks.
    ScheduleError beyond that, for ``flow`` on a schedule other than ``LinearFlow``, and for ``edm`` without a positive
    ``sigma_data`` (in the data's units, as sigma).
    """
    sigma = np.asarray(sigma, dtype=np.float64)
    low, high = schedule.sigma_min * (1 - 1e-9), schedule.sigma_max * (LARGEST_CHURN + 1e-9)
    for level in sigma[~((sigma >= low) & (sigma <= high))]:
        raise ScheduleError(
            f"sigma {level:.6g} is no noise level of the network, [{schedule.sigma_min:.6g}, {schedule.sigma_max:.6g}]"
        )
    scale, t = schedule.scale_of(sigma), schedule.t_of(np.minimum(sigma, schedule.sigma_max))
    one = np.ones_like(sigma)
    if kind == "epsilon":
        return Coefficients(one, -sigma, scale, t)
    if kind == "sample":
        return Coefficients(0 * one, one, scale, t)
    if kind == "v_prediction":
        return Coefficients(1 / (1 + sigma**2), -sigma / (scale * (1 + sigma**2)), scale, t)
    if kind == "score":
        return Coefficients(one, scale * sigma**2, scale, t)
    if kind == "flow":
        if not isinstance(schedule, LinearFlow):
            raise ScheduleError(f"flow prediction needs a flow schedule, not {type(schedule).__name__}")
        return Coefficients(1 / (1 + sigma), -sigma / (1 + sigma), scale, t)
    if kind == "edm":
        data = _positive(sigma_data)
        width = np.hypot(sigma, data)
        return Coefficients(data**2 / width**2, sigma * data / width, 1 / width, t)
    raise _unknown(kind)


def _unknown(kind: str) -> ScheduleError:
    return ScheduleError(f"unknown prediction {kind!r}: use one of {', '.join(get_args(Prediction))}")
