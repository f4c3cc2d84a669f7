"""What every noise schedule offers: native time t to scale s and noise level sigma, and back; without torch.

Convention: x_t = s(t) (x0 + sigma(t) n), n ~ N(0, I); alpha = s is the signal's coefficient and s sigma the marginal
standard deviation. x_hat = x_t / s(t) is what samplers work on. The forward SDE is dx = f(t) x dt + g(t) dw with
f = d(log s)/dt and g^2 = s^2 d(sigma^2)/dt (Karras et al. 2022, appendix B.1 and B.2, solved for f and g).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ScheduleError

FloatArray = NDArray[np.float64]
T = TypeVar("T", float, FloatArray)

# Rounding allowance at the ends of a range of sigmas, relative.
SIGMA_SLACK = 1e-9


def require(condition: bool, message: str) -> None:
    """Raise ``ScheduleError(message)`` unless ``condition``."""
    if not condition:
        raise ScheduleError(message)


def _pointwise(function: Callable[[FloatArray], FloatArray], value: T) -> T:
    """Apply ``function`` to a float64 array; a scalar in gives a float out."""
    result = np.asarray(function(np.asarray(value, dtype=np.float64)))
    return cast(T, float(result) if result.ndim == 0 else result)


class NoiseSchedule(ABC):
    """t <-> (s, sigma). Every method takes a float or a float64 array of any shape and returns the same.

    ``discrete``: t is the network's index 0..T-1 (fractions allowed). ``variance_preserving``: s^2 (1 + sigma^2) = 1.
    ``has_sde``: ``drift`` and ``diffusion_squared`` are defined.
    """

    discrete: ClassVar[bool] = False
    variance_preserving: ClassVar[bool] = False
    has_sde: ClassVar[bool] = False

    @property
    @abstractmethod
    def t_start(self) -> float:
        """Time of the largest sigma that sampling can start from."""

    @property
    @abstractmethod
    def t_end(self) -> float:
        """Smallest time that a network may be called at."""

    @property
    def sigma_max(self) -> float:
        """Sigma at ``t_start``."""
        return self.sigma(self.t_start)

    @property
    def sigma_min(self) -> float:
        """Sigma at ``t_end``."""
        return self.sigma(self.t_end)

    def sigma(self, t: T) -> T:
        """Noise level of x_hat at time ``t``, in units of the data; ScheduleError outside [0, t_start]."""
        return _pointwise(lambda at: self._sigma(self._checked(at)), t)

    def scale(self, t: T) -> T:
        """Signal coefficient s = alpha at time ``t``; ScheduleError outside [0, t_start]."""
        return _pointwise(lambda at: self._scale_of(self._sigma(self._checked(at))), t)

    def scale_of(self, sigma: T) -> T:
        """Signal coefficient s as a function of ``sigma`` >= 0, also above ``sigma_max``."""
        return _pointwise(lambda level: self._scale_of(level), sigma)

    def t_of(self, sigma: T) -> T:
        """Inverse of ``sigma(t)``; ScheduleError where no t in [0, t_start] has that sigma."""

        def inverse(level: FloatArray) -> FloatArray:
            low, high = float(self._sigma(np.zeros(()))), self.sigma_max
            inside = (level >= low * (1 - SIGMA_SLACK)) & (level <= high * (1 + SIGMA_SLACK))
            if not np.all(inside | (self.discrete & (level == 0))):
                bad = float(level[~inside].flat[0])
                raise ScheduleError(f"sigma {bad:.6g} lies outside the schedule's range [{low:.6g}, {high:.6g}]")
            return np.where(inside, np.clip(self._t_of(np.clip(level, low, high)), 0.0, self.t_start), -1.0)

        return _pointwise(inverse, sigma)

    def drift(self, t: T) -> T:
        """f(t) of the forward SDE dx = f x dt + g dw, per unit of t; ScheduleError unless ``has_sde``."""
        require(self.has_sde, f"{type(self).__name__} defines no SDE")
        return _pointwise(lambda at: self._drift(self._checked(at)), t)

    def diffusion_squared(self, t: T) -> T:
        """g(t)^2 of the forward SDE dx = f x dt + g dw, per unit of t; ScheduleError unless ``has_sde``."""
        require(self.has_sde, f"{type(self).__name__} defines no SDE")
        return _pointwise(lambda at: self._diffusion_squared(self._checked(at)), t)

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Canonical JSON-able description; ``schedule_from`` rebuilds an equal schedule from it."""

    def _checked(self, t: FloatArray) -> FloatArray:
        inside = (t >= 0) & (t <= self.t_start) | (self.discrete & (t == -1))
        if not np.all(inside):
            bad = float(t[~inside].flat[0])
            raise ScheduleError(f"time {bad!r} lies outside the schedule's range [0, {self.t_start!r}]")
        return t

    @abstractmethod
    def _sigma(self, t: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _scale_of(self, sigma: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _t_of(self, sigma: FloatArray) -> FloatArray: ...

    def _drift(self, t: FloatArray) -> FloatArray:
        raise NotImplementedError

    def _diffusion_squared(self, t: FloatArray) -> FloatArray:
        raise NotImplementedError
