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


GRIDS: Mapping[str, type[Options]] = {
    "trailing": NoOptions,
    "leading": NoOptions,
    "linspace": NoOptions,
    "quadratic": NoOptions,
    "karras": KarrasOptions,
    "log-snr": SigmaRangeOptions,
    "explicit": ExplicitOptions,
}
