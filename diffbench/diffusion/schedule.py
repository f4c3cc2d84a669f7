"""Noise schedules by name; float64 numpy throughout, importable without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from diffbench.diffusion.continuous import VE, VP, LinearFlow, SubVP
from diffbench.diffusion.discrete import BetaKind, DiscreteDDPM
from diffbench.diffusion.schedule_base import FloatArray, NoiseSchedule
from diffbench.errors import ScheduleError

__all__ = [
    "VE",
    "VP",
    "BetaKind",
    "DiscreteDDPM",
    "FloatArray",
    "LinearFlow",
    "NoiseSchedule",
    "SubVP",
    "schedule_from",
]


def schedule_from(spec: Mapping[str, Any]) -> NoiseSchedule:
    """Build a schedule from a card's ``schedule:`` mapping.

    ``kind`` and the keys of that kind: ``ddpm`` (betas, steps, and beta_start, beta_end unless cosine), ``vp`` and
    ``subvp`` (beta_min, beta_max), ``ve`` (sigma_min, sigma_max), ``flow``. No key has a default, except ``t_end``, the
    smallest time that the network may be called at, of the continuous ones. ScheduleError names the bad key.
    """
    kind = spec.get("kind")
    if not isinstance(kind, str) or kind not in _BUILDERS:
        raise ScheduleError(f"unknown schedule kind {kind!r}: use one of {', '.join(_BUILDERS)}")
    values = {key: value for key, value in spec.items() if key != "kind"}
    if kind == "ddpm":
        return _ddpm(values)
    required, build = _BUILDERS[kind]
    _check_keys(kind, values, required, {"t_end"})
    return build(**{_FIELDS.get(key, key): _number(kind, key, value) for key, value in values.items()})


def _ddpm(values: dict[str, Any]) -> NoiseSchedule:
    ends = set() if values.get("betas") == "cosine" else {"beta_start", "beta_end"}
    _check_keys("ddpm", values, {"betas", "steps"} | ends, set())
    steps = values["steps"]
    if not isinstance(steps, int) or isinstance(steps, bool):
        raise ScheduleError(f"schedule ddpm: steps must be an integer, got {steps!r}")
    low, high = (_number("ddpm", key, values[key]) if key in values else None for key in ("beta_start", "beta_end"))
    return DiscreteDDPM(values["betas"], low, high, steps)


_BUILDERS: Mapping[str, tuple[set[str], Callable[..., NoiseSchedule]]] = {
    "ddpm": (set(), DiscreteDDPM),
    "vp": ({"beta_min", "beta_max"}, VP),
    "subvp": ({"beta_min", "beta_max"}, SubVP),
    "ve": ({"sigma_min", "sigma_max"}, VE),
    "flow": (set(), LinearFlow),
}
_FIELDS = {"sigma_min": "low", "sigma_max": "high"}


def _check_keys(kind: str, values: Mapping[str, Any], required: set[str], optional: set[str]) -> None:
    for key in sorted(required - values.keys()):
        raise ScheduleError(f"schedule {kind}: missing key {key!r}")
    for key in sorted(values.keys() - required - optional, key=str):
        raise ScheduleError(f"schedule {kind}: unknown key {key!r}")


def _number(kind: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ScheduleError(f"schedule {kind}: {key} must be a number, got {value!r}")
    return float(value)
