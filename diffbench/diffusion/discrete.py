"""The discrete diffusion of DDPM and its relatives, indices 0..T-1, with fractional indices between; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from diffbench.diffusion.schedule_base import FloatArray, NoiseSchedule, require

BetaKind = Literal["linear", "scaled_linear", "cosine"]

# Largest beta of the cosine schedule, and the offset that keeps its first one from vanishing.
COSINE_LARGEST_BETA = 0.999
COSINE_OFFSET = 0.008


@dataclass(frozen=True)
class DiscreteDDPM(NoiseSchedule):
    """Discrete chain of T = ``steps`` betas: s = sqrt(alpha_bar), sigma = sqrt((1 - alpha_bar) / alpha_bar).

    t is the index 0..T-1 of alpha_bar_t = prod_{i<=t} (1 - beta_i); index 0 has had one noising step, and the data
    themselves (sigma 0, s 1) are t = -1. Between indices log sigma is linear in t and s = 1 / sqrt(1 + sigma^2).

    - ``linear``: beta evenly spaced from ``beta_start`` to ``beta_end`` (Ho, Jain & Abbeel 2020, section 4);
    - ``scaled_linear``: sqrt(beta) evenly spaced (Rombach et al. 2022, whose code calls it "linear");
    - ``cosine``: alpha_bar(u) = cos^2(pi/2 (u + 0.008) / 1.008), u = i/T, beta <= 0.999 (Nichol & Dhariwal 2021,
      Eq. 17); no ``beta_start`` or ``beta_end``.

    Source of s and sigma: Ho, Jain & Abbeel 2020 (DDPM), Eq. 4. ScheduleError for betas outside (0, 1) or T < 1.
    """

    beta_kind: BetaKind
    beta_start: float | None
    beta_end: float | None
    steps: int
    discrete: ClassVar[bool] = True
    variance_preserving: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self.beta_kind in get_args(BetaKind), f"unknown betas {self.beta_kind!r}: use {get_args(BetaKind)}")
        require(self.steps >= 1, f"need at least 1 step, got {self.steps!r}")
        if self.beta_kind == "cosine":
            require(self.beta_start is None and self.beta_end is None, "cosine betas take no beta_start or beta_end")
        else:
            low, high = self.beta_start, self.beta_end
            fine = low is not None and high is not None and 0 < low <= high < 1
            require(fine, f"need 0 < beta_start <= beta_end < 1, got {low!r} and {high!r}")

    @classmethod
    def from_betas(
        cls, kind: BetaKind, beta_start: float | None = None, beta_end: float | None = None, steps: int = 1000
    ) -> DiscreteDDPM:
        """Build the schedule from the name of its betas."""
        return cls(kind, beta_start, beta_end, steps)

    @property
    def t_start(self) -> float:
        """The last index, T - 1."""
        return float(self.steps - 1)

    @property
    def t_end(self) -> float:
        """The first index, 0."""
        return 0.0

    @cached_property
    def betas(self) -> FloatArray:
        """Betas (T,), read-only."""
        if self.beta_kind == "cosine":
            angle = (np.arange(self.steps + 1) / self.steps + COSINE_OFFSET) / (1 + COSINE_OFFSET) * (np.pi / 2)
            alpha_bar = np.cos(angle) ** 2
            return _read_only(np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], COSINE_LARGEST_BETA))
        low, high = float(self.beta_start or 0), float(self.beta_end or 0)
        if self.beta_kind == "linear":
            return _read_only(np.linspace(low, high, self.steps))
        return _read_only(np.linspace(low**0.5, high**0.5, self.steps) ** 2)

    @cached_property
    def _log_alphas_cumprod(self) -> FloatArray:
        return _read_only(np.cumsum(np.log1p(-self.betas)))

    @cached_property
    def alphas_cumprod(self) -> FloatArray:
        """alpha_bar (T,), read-only."""
        return _read_only(np.exp(self._log_alphas_cumprod))

    @cached_property
    def _sigmas(self) -> FloatArray:
        return _read_only(np.sqrt(np.expm1(-self._log_alphas_cumprod)))

    @cached_property
    def _log_sigmas(self) -> FloatArray:
        return _read_only(np.log(self._sigmas))

    def _sigma(self, t: FloatArray) -> FloatArray:
        index = np.maximum(np.rint(t), 0).astype(np.int64)
        between = np.exp(np.interp(t, np.arange(self.steps), self._log_sigmas))
        return np.where(t < 0, 0.0, np.where(t == index, self._sigmas[index], between))

    def _scale_of(self, sigma: FloatArray) -> FloatArray:
        return 1 / np.hypot(1.0, sigma)

    def _t_of(self, sigma: FloatArray) -> FloatArray:
        t = np.interp(np.log(sigma), self._log_sigmas, np.arange(self.steps, dtype=np.float64))
        # A sigma of the table must give its index exactly, also where log rounds differently for a vector.
        nearest = np.rint(t)
        return np.where(np.abs(t - nearest) < 1e-9, nearest, t)

    def to_dict(self) -> dict[str, Any]:
        """``{kind, betas, steps}``, and ``beta_start``, ``beta_end`` unless the betas are ``cosine``."""
        ends = {} if self.beta_kind == "cosine" else {"beta_start": self.beta_start, "beta_end": self.beta_end}
        return {"kind": "ddpm", "betas": self.beta_kind, **ends, "steps": self.steps}


def _read_only(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array
