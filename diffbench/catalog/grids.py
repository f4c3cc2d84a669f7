"""Kinds of time grids and their options; diffbench/diffusion/grid.py holds the formulas."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from diffbench.catalog.entries import NoOptions, Options


class SigmaRangeOptions(Options):
    """Ends of a grid given in sigma; None takes the schedule's own end."""

    sigma_min: float | None = Field(default=None, gt=0.0, description="smallest evaluated sigma")
    sigma_max: float | None = Field(default=None, gt=0.0, description="first sigma")


class KarrasOptions(SigmaRangeOptions):
    """Options of the ``karras`` grid (EDM, Eq. 5)."""

    rho: float = Field(default=7.0, gt=0.0)


class ExplicitOptions(Options):
    """Options of the ``explicit`` grid: the evaluated sigmas, strictly decreasing."""

    sigmas: tuple[float, ...] = Field(min_length=1)


class ExponentialOptions(SigmaRangeOptions):
    """Options of the ``exponential`` grid; rho 1 is ``log-snr``."""

    rho: float = Field(default=1.0, gt=0.0)


class TimeOptions(Options):
    """Options of the ``time`` grid: rho 1 is uniform, 2 quadratic."""

    rho: float = Field(default=1.0, gt=0.0)
    t_end: float | None = Field(default=None, ge=0.0, description="last evaluated time; None: the schedule's own")


class ShiftedOptions(Options):
    """Options of the ``shifted`` grid of flows."""

    shift: float = Field(default=1.0, gt=0.0, description="above 1: more points where noise is strong; 1 is trailing")


class QuadraticOptions(Options):
    """Options of the ``quadratic`` grid."""

    distinct: bool = Field(default=False, description="points that coincide count once: fewer steps than asked for")


# The grids that papers sample their own methods on: name -> kind, options.
PRESETS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "ddim-linear": ("leading", {}),  # Song, Meng & Ermon 2021, appendix D.2
    "ddim-quadratic": ("quadratic", {"distinct": True}),  # the same, for CIFAR-10; theirs has steps of no length
    "iddpm": ("linspace", {}),  # Nichol & Dhariwal 2021, section 4
    "score-sde": ("linspace", {}),  # Song et al. 2021, appendix C: from t = 1 to epsilon; their code's linspace
    "pndm": ("leading", {}),  # Liu et al. 2022: their code's uniform steps
    "edm": ("karras", {"rho": 7.0}),  # Karras et al. 2022, Eq. 5, with the model's own ends
    "dpm-solver": ("log-snr", {}),  # Lu et al. 2022, section 3.3
    "unipc": ("log-snr", {}),  # Zhao et al. 2023: skip_type logSNR in their code's sample.sh
    "deis": ("time", {"rho": 2.0}),  # Zhang & Chen 2023: ts_phase t, ts_order 2 in their README
}

GRIDS: Mapping[str, type[Options]] = {
    "trailing": NoOptions,
    "leading": NoOptions,
    "linspace": NoOptions,
    "ldm": NoOptions,
    "quadratic": QuadraticOptions,
    "time": TimeOptions,
    "shifted": ShiftedOptions,
    "karras": KarrasOptions,
    "polynomial": KarrasOptions,
    "log-snr": SigmaRangeOptions,
    "exponential": ExponentialOptions,
    "explicit": ExplicitOptions,
    **dict.fromkeys(PRESETS, NoOptions),
}
