"""What is measured of a model itself, whatever samples it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from diffbench.catalog.entries import Options


class LikelihoodOptions(Options):
    """Options of ``bits_per_dim``."""

    dequantisation: Literal["uniform", "rounding"] = Field(
        default="uniform",
        description="pixel k as a value in [k, k+1)/256 of the range (Score-SDE), or in what rounds to k/255",
    )
    probes: int = Field(default=1, ge=1, le=1000, description="random vectors of the trace's estimate")
    tolerance: float = Field(
        default=0.005, gt=0, le=1, description="bits/dim that doubling the steps may change, image by image"
    )
    t_end: float | None = Field(
        default=None, gt=0, lt=1, description="time the ODE ends at; unset: the schedule's (Score-SDE: 1e-5)"
    )


@dataclass(frozen=True)
class ModelMetric:
    """A metric with one value a model: its name in tables, title, unit, direction, source and options."""

    name: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    source: str
    options: type[Options]


LIKELIHOOD = ModelMetric(
    "bits_per_dim",
    "bits/dim",
    "bits/dim",
    "lower",
    "Song et al. 2021 (Score-SDE), Eq. 39 and 40; Theis et al. 2016, section 3.1",
    LikelihoodOptions,
)
