"""Schedules in continuous time: the VP, sub-VP and VE SDEs and the linear flow; float64, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from diffbench.diffusion.schedule_base import FloatArray, NoiseSchedule, require


@dataclass(frozen=True)
class _LinearBeta(NoiseSchedule):
    """beta(t) = beta_min + (beta_max - beta_min) t on t in [0, 1]; B(t) is its integral from 0; s = exp(-B/2)."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_end: float = 1e-3
    has_sde: ClassVar[bool] = True
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        require(
            0 < self.beta_min <= self.beta_max < np.inf,
            f"need 0 < beta_min <= beta_max, got {self.beta_min!r} and {self.beta_max!r}",
        )
        require(0 < self.t_end < 1, f"need 0 < t_end < 1, got {self.t_end!r}")

    @property
    def t_start(self) -> float:
        """The SDE's end: 1."""
        return 1.0

    def _beta(self, t: FloatArray) -> FloatArray:
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def _integral(self, t: FloatArray) -> FloatArray:
        return t * (self.beta_min + 0.5 * (self.beta_max - self.beta_min) * t)

    def _time(self, integral: FloatArray) -> FloatArray:
        # (sqrt(b^2 + 2 d B) - b) / d, multiplied out so that small B loses no digits and d may be 0.
        root = np.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * integral)
        return 2 * integral / (root + self.beta_min)

    def _drift(self, t: FloatArray) -> FloatArray:
        return -0.5 * self._beta(t)

    def to_dict(self) -> dict[str, Any]:
        """``{kind, beta_min, beta_max, t_end}``."""
        return {"kind": self.kind, "beta_min": self.beta_min, "beta_max": self.beta_max, "t_end": self.t_end}


@dataclass(frozen=True)
class VP(_LinearBeta):
    """Variance-preserving SDE: s = exp(-B/2), sigma = sqrt(exp(B) - 1), f = -beta/2, g^2 = beta.

    Source: Song et al. 2021 (Score-SDE), Eq. 11 and 29, appendix C; sigma as in Karras et al. 2022, Table 1.
    """

    variance_preserving: ClassVar[bool] = True
    kind: ClassVar[str] = "vp"

    def _sigma(self, t: FloatArray) -> FloatArray:
        return np.sqrt(np.expm1(self._integral(t)))

    def _scale_of(self, sigma: FloatArray) -> FloatArray:
        return 1 / np.hypot(1.0, sigma)

    def _t_of(self, sigma: FloatArray) -> FloatArray:
        return self._time(np.log1p(sigma**2))

    def _diffusion_squared(self, t: FloatArray) -> FloatArray:
        return self._beta(t)


@dataclass(frozen=True)
class SubVP(_LinearBeta):
    """Sub-VP SDE: s = exp(-B/2), s sigma = 1 - exp(-B), so sigma = 2 sinh(B/2); f = -beta/2.

    g^2 = beta (1 - exp(-2B)). Source: Song et al. 2021 (Score-SDE), Eq. 12 and 29.
    """

    kind: ClassVar[str] = "subvp"

    def _sigma(self, t: FloatArray) -> FloatArray:
        return 2 * np.sinh(0.5 * self._integral(t))

    def _scale_of(self, sigma: FloatArray) -> FloatArray:
        return np.exp(-np.arcsinh(0.5 * sigma))

    def _t_of(self, sigma: FloatArray) -> FloatArray:
        return self._time(2 * np.arcsinh(0.5 * sigma))

    def _diffusion_squared(self, t: FloatArray) -> FloatArray:
        return -self._beta(t) * np.expm1(-2 * self._integral(t))


@dataclass(frozen=True)
class VE(NoiseSchedule):
    """Variance-exploding SDE: s = 1, sigma = low (high / low)^t, f = 0, g^2 = 2 sigma^2 ln(high / low).

    ``low`` = sigma(0) and ``high`` = sigma(1) are in units of the data. Source: Song et al. 2021 (Score-SDE), Eq. 9
    and appendix C.
    """

    low: float = 0.01
    high: float = 50.0
    t_end: float = 1e-5
    has_sde: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(0 < self.low < self.high < np.inf, f"need 0 < sigma_min < sigma_max, got {self.low!r}, {self.high!r}")
        require(0 < self.t_end < 1, f"need 0 < t_end < 1, got {self.t_end!r}")

    @property
    def t_start(self) -> float:
        """The SDE's end: 1."""
        return 1.0

    @property
    def _log_ratio(self) -> float:
        return float(np.log(self.high / self.low))

    def _sigma(self, t: FloatArray) -> FloatArray:
        return self.low * (self.high / self.low) ** t

    def _scale_of(self, sigma: FloatArray) -> FloatArray:
        return np.ones_like(sigma)

    def _t_of(self, sigma: FloatArray) -> FloatArray:
        return np.log(sigma / self.low) / self._log_ratio

    def _drift(self, t: FloatArray) -> FloatArray:
        return np.zeros_like(t)

    def _diffusion_squared(self, t: FloatArray) -> FloatArray:
        return 2 * self._log_ratio * self._sigma(t) ** 2

    def to_dict(self) -> dict[str, Any]:
        """``{kind, sigma_min, sigma_max, t_end}``."""
        return {"kind": "ve", "sigma_min": self.low, "sigma_max": self.high, "t_end": self.t_end}


@dataclass(frozen=True)
class LinearFlow(NoiseSchedule):
    """Linear interpolation x_t = (1 - t) x0 + t n: s = 1 - t, sigma = t / (1 - t); t = 1 is pure noise.

    sigma is infinite at t = 1, so t_start is the time of sigma = 1e4. Source: Lipman et al. 2023 (Flow Matching),
    Eq. 20 to 22 with sigma_min = 0 and time reversed; Liu et al. 2023 (Rectified Flow), Eq. 1.
    """

    t_end: float = 1e-3
    LARGEST_SIGMA: ClassVar[float] = 1e4

    def __post_init__(self) -> None:
        require(0 < self.t_end < self.t_start, f"need 0 < t_end < {self.t_start!r}, got {self.t_end!r}")

    @property
    def t_start(self) -> float:
        """Time of sigma = 1e4."""
        return self.LARGEST_SIGMA / (1 + self.LARGEST_SIGMA)

    def _sigma(self, t: FloatArray) -> FloatArray:
        return t / (1 - t)

    def _scale_of(self, sigma: FloatArray) -> FloatArray:
        return 1 / (1 + sigma)

    def _t_of(self, sigma: FloatArray) -> FloatArray:
        return sigma / (1 + sigma)

    def to_dict(self) -> dict[str, Any]:
        """``{kind, t_end}``."""
        return {"kind": "flow", "t_end": self.t_end}
