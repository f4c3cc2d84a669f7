"""Time grids: which noise levels a sampler visits; float64 numpy, importable without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from diffbench.catalog import GRIDS, PRESETS
from diffbench.diffusion.continuous import VE, LinearFlow
from diffbench.diffusion.schedule_base import SIGMA_SLACK, FloatArray, NoiseSchedule, require
from diffbench.errors import ScheduleError

Final = Literal["denoise", "sigma_min"]


@dataclass(frozen=True, eq=False)
class TimeGrid:
    """Times ``t``, noise levels ``sigma`` and signal coefficients ``scale``, each (N+1,) float64 and read-only.

    The denoiser is evaluated at the first N; the last is the landing point: sigma 0 and scale 1 with ``final`` =
    ``denoise`` (t is then -1 on a discrete schedule and nominally 0 otherwise), a positive sigma with ``sigma_min``.
    ScheduleError unless sigma decreases strictly, ends where ``final`` says and has at least two points.
    """

    t: FloatArray
    sigma: FloatArray
    scale: FloatArray
    kind: str
    final: Final

    def __post_init__(self) -> None:
        shape = self.sigma.shape
        require(len(shape) == 1 and shape[0] >= 2, f"grid {self.kind}: needs at least 1 step")
        require(self.t.shape == shape == self.scale.shape, f"grid {self.kind}: t, sigma and scale differ in length")
        require(bool(np.all(np.isfinite(self.sigma))), f"grid {self.kind}: sigma must be finite")
        for i in np.flatnonzero(np.diff(self.sigma) >= 0):
            raise ScheduleError(
                f"grid {self.kind}: sigma must decrease strictly, but points {i} and {i + 1} of {shape[0]} are "
                f"{self.sigma[i]:.6g} (t = {self.t[i]:.6g}) and {self.sigma[i + 1]:.6g} (t = {self.t[i + 1]:.6g})"
            )
        last = float(self.sigma[-1])
        lands = last == 0 if self.final == "denoise" else last > 0
        require(lands, f"grid {self.kind}: {self.final} can't end at sigma {last:.6g}")
        for name in ("t", "sigma", "scale"):
            own = np.array(getattr(self, name), dtype=np.float64)
            own.setflags(write=False)
            object.__setattr__(self, name, own)

    @property
    def steps(self) -> int:
        """N, the number of steps."""
        return len(self.sigma) - 1

    def to_dict(self) -> dict[str, list[float]]:
        """The realised points, exactly: ``{"t": [...], "sigma": [...]}``; scale follows from the schedule."""
        return {"t": self.t.tolist(), "sigma": self.sigma.tolist()}


def default_grid(schedule: NoiseSchedule) -> str:
    """Name of the grid that a model of this schedule is compared on: karras for VE, trailing for all others."""
    return "karras" if isinstance(schedule, VE) else "trailing"


def time_grid(
    schedule: NoiseSchedule, steps: int, kind: str = "trailing", final: Final = "denoise", **options: Any
) -> TimeGrid:
    """Build the grid of ``steps`` = N >= 1 steps.

    ``final`` = ``denoise`` places N points and lands on sigma 0; ``sigma_min`` places N + 1 and lands on the last.
    With n points placed, i = 0..n-1, T the discrete schedule's length and [t_end, t_start] the continuous one's range:

    - ``trailing``: round(T - i T/n) - 1 (Lin et al. 2024, Table 2); continuous: t_start (1 - i/n), at least t_end;
    - ``leading``: (n - 1 - i) floor(T/n) (Song, Meng & Ermon 2021, appendix D.2, "linear"); discrete only;
    - ``ldm``: ``leading`` plus 1 (Rombach et al. 2022, their code's DDIM sampler); discrete only. With ``sigma_min`` it
      lands on index 0 after as many points, as in that code, whose last alpha_bar is that of index 0;
    - ``linspace``: round((T - 1)(1 - i/(n-1))); continuous: evenly from t_start to t_end;
    - ``quadratic``: floor(((1 - i/(n-1)) sqrt(0.8 T))^2) (same appendix); continuous: sqrt(t) evenly from
      sqrt(t_start) to sqrt(t_end). ``distinct``: points that coincide count once, so that there may be fewer than n;
    - ``time``: t^(1/rho) evenly from t_start to t_end, without rounding: rho 1 uniform, 2 quadratic;
    - ``karras``, ``polynomial``: sigma^(1/rho) evenly from sigma_max to sigma_min (Karras et al. 2022, Eq. 5);
    - ``log-snr``: log sigma evenly from sigma_max to sigma_min (Lu et al. 2022, DPM-Solver, section 3.3);
    - ``exponential``: log sigma = log sigma_min + (1 - i/(n-1))^rho log(sigma_max / sigma_min) (k-diffusion's
      get_sigmas_polyexponential);
    - ``explicit``: the n given sigmas;
    - a name of ``catalog.PRESETS``: the grid of a paper, one of the above with its options.

    A single point (n = 1) is always t_start (``sigma_max`` where that is an option). The options are those of
    ``catalog.GRIDS``; sigmas must lie within the schedule's [sigma_min, sigma_max]. ScheduleError for anything else,
    for more points than a discrete spacing has, and for points that coincide.
    """
    require(isinstance(steps, int) and steps >= 1, f"grid {kind}: needs at least 1 step, got {steps!r}")
    require(final in ("denoise", "sigma_min"), f"grid {kind}: final must be denoise or sigma_min, got {final!r}")
    checked = _checked_options(kind, options)
    name = kind
    if kind in PRESETS:
        kind, checked = PRESETS[kind][0], _checked_options(PRESETS[kind][0], dict(PRESETS[kind][1]))
    discrete_only = kind in ("leading", "ldm")
    require(not discrete_only or schedule.discrete, f"grid {name}: is defined on discrete schedules only")
    points = steps if final == "denoise" or kind == "ldm" else steps + 1
    if kind in _IN_SIGMA:
        with np.errstate(all="ignore"):  # an extreme rho; what it leads to is refused below
            sigma = _IN_SIGMA[kind](schedule, points, checked)
        sigma = _within(schedule, name, sigma)
        t, scale = schedule.t_of(sigma), schedule.scale_of(sigma)
    else:
        require(
            not schedule.discrete or points <= schedule.t_start + 1,
            f"grid {name}: {points} points do not fit into {schedule.t_start + 1:.0f} indices",
        )
        with np.errstate(all="ignore"):
            t = _IN_TIME[kind](schedule, points, checked) if points > 1 else np.array([schedule.t_start])
        if kind == "ldm" and final == "sigma_min":
            t = np.append(t, 0.0)
        require(bool(np.all(np.isfinite(t))), f"grid {name}: these options give times that are not finite")
        sigma, scale = schedule.sigma(t), schedule.scale(t)
    if final == "denoise":
        landing = -1.0 if schedule.discrete else 0.0
        t, sigma, scale = np.append(t, landing), np.append(sigma, 0.0), np.append(scale, 1.0)
    return TimeGrid(t, sigma, scale, name, final)


def _checked_options(kind: str, options: dict[str, Any]) -> Any:
    if kind not in GRIDS:
        raise ScheduleError(f"unknown grid {kind!r}: use one of {', '.join(GRIDS)}")
    try:
        return GRIDS[kind](**options)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ScheduleError(f"grid {kind}: {where}: {problem['msg']}") from None


def _within(schedule: NoiseSchedule, kind: str, sigma: FloatArray) -> FloatArray:
    low, high = schedule.sigma_min, schedule.sigma_max
    require(bool(np.all(np.isfinite(sigma))), f"grid {kind}: these options give sigmas that are not finite")
    for level in sigma[(sigma < low * (1 - SIGMA_SLACK)) | (sigma > high * (1 + SIGMA_SLACK))]:
        raise ScheduleError(f"grid {kind}: sigma {level:.6g} lies outside the model's range [{low:.6g}, {high:.6g}]")
    return sigma


def _trailing(schedule: NoiseSchedule, n: int, options: Any) -> FloatArray:
    if schedule.discrete:
        # arange, as diffusers has it: it decides how ties round. Rounding can also give it a point too many.
        length = schedule.t_start + 1
        return np.round(np.arange(length, 0.0, -length / n)[:n]) - 1
    return np.maximum(schedule.t_start * (np.arange(n, 0.0, -1.0) / n), schedule.t_end)


def _shifted(schedule: NoiseSchedule, n: int, options: Any) -> FloatArray:
    """Esser et al. 2024, Eq. 23, of the times 1, (n - 1) / n, ... 1 / n; the first ends where the schedule does."""
    require(isinstance(schedule, LinearFlow), f"grid shifted: is of flows, not {type(schedule).__name__}")
    u = np.arange(n, 0.0, -1.0) / n
    return np.asarray(np.clip(options.shift * u / (1 + (options.shift - 1) * u), schedule.t_end, schedule.t_start))


def _leading(schedule: NoiseSchedule, n: int, options: Any) -> FloatArray:
    return np.arange(n, dtype=np.float64)[::-1] * ((schedule.t_start + 1) // n)


def _ldm(schedule: NoiseSchedule, n: int, options: Any) -> FloatArray:
    points = _leading(schedule, n, options) + 1
    require(points[0] <= schedule.t_start, f"grid ldm: {n} points begin at index {points[0]:.0f}, which there is not")
    return points


def _linspace(schedule: NoiseSchedule, n: int, options: Any) -> FloatArray:
    if schedule.discrete:
        return np.round(np.linspace(0.0, schedule.t_start, n))[::-1].copy()
    return np.linspace(schedule.t_start, schedule.t_end, n)


def _quadratic(schedule: NoiseSchedule, n: int, options: Any) -> FloatArray:
    if schedule.discrete:
        points = np.floor(np.linspace(0.0, np.sqrt(0.8 * (schedule.t_start + 1)), n) ** 2)
        return (np.unique(points) if options.distinct else points)[::-1].copy()
    roots = np.linspace(np.sqrt(schedule.t_start), np.sqrt(schedule.t_end), n)
    return np.clip(roots**2, schedule.t_end, schedule.t_start)


def _time(schedule: NoiseSchedule, n: int, options: Any) -> FloatArray:
    start, end = schedule.t_start, schedule.t_end if options.t_end is None else options.t_end
    require(
        schedule.t_end <= end < start, f"grid time: t_end must lie within [{schedule.t_end:g}, {start:g}), got {end:g}"
    )
    power = 1 / options.rho
    roots = np.linspace(np.float64(start) ** power, np.float64(end) ** power, n)
    return _exact_ends(roots**options.rho, start, end)


def _ends(schedule: NoiseSchedule, options: Any) -> tuple[float, float]:
    high = schedule.sigma_max if options.sigma_max is None else options.sigma_max
    low = schedule.sigma_min if options.sigma_min is None else options.sigma_min
    require(low < high, f"sigma_min must be below sigma_max, got {low:.6g} and {high:.6g}")
    return high, low


def _karras(schedule: NoiseSchedule, n: int, options: Any) -> FloatArray:
    high, low = _ends(schedule, options)
    power = 1 / options.rho
    roots = np.linspace(np.float64(high) ** power, np.float64(low) ** power, n)
    return _exact_ends(roots**options.rho, high, low)


def _log_snr(schedule: NoiseSchedule, n: int, options: Any) -> FloatArray:
    high, low = _ends(schedule, options)
    return _exact_ends(np.exp(np.linspace(np.log(high), np.log(low), n)), high, low)


def _exponential(schedule: NoiseSchedule, n: int, options: Any) -> FloatArray:
    high, low = _ends(schedule, options)
    ramp = np.linspace(1.0, 0.0, n) ** options.rho
    return _exact_ends(low * np.exp(ramp * np.log(high / low)), high, low)


def _exact_ends(points: FloatArray, high: float, low: float) -> FloatArray:
    points[-1] = low
    points[0] = high
    return points


def _explicit(schedule: NoiseSchedule, n: int, options: Any) -> FloatArray:
    given = options.sigmas
    require(len(given) == n, f"grid explicit: {n} sigmas are needed for these steps, got {len(given)}")
    return np.array(given, dtype=np.float64)


_IN_TIME: dict[str, Callable[[NoiseSchedule, int, Any], FloatArray]] = {
    "trailing": _trailing,
    "leading": _leading,
    "ldm": _ldm,
    "linspace": _linspace,
    "quadratic": _quadratic,
    "time": _time,
    "shifted": _shifted,
}
_IN_SIGMA: dict[str, Callable[[NoiseSchedule, int, Any], FloatArray]] = {
    "karras": _karras,
    "polynomial": _karras,
    "exponential": _exponential,
    "log-snr": _log_snr,
    "explicit": _explicit,
}
