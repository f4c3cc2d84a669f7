"""Quality metrics and costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from diffbench.catalog.entries import MetricEntry, Options


class ISOptions(Options):
    """Options of ``is``."""

    splits: int = Field(default=1, ge=1, description="the literature's 10 needs thousands of samples")
    seed: int = Field(default=2020, ge=0, lt=2**32, description="of the shuffle before splitting")


class SolverErrorOptions(Options):
    """Options of ``solver_error`` and ``solver_error_features``."""

    reference_steps: int = Field(default=512, ge=2, le=10_000, description="steps of the converged solution")


_METRICS = (
    MetricEntry(
        "fid",
        "diffbench.scoring.fid:fid",
        "FID",
        None,
        "lower",
        "features",
        "Heusel et al. 2017, Eq. 6",
        moments_suffice=True,
    ),
    MetricEntry(
        "is",
        "diffbench.scoring.inception_score:inception_score",
        "IS",
        None,
        "higher",
        "logits",
        "Salimans et al. 2016, section 4",
        ISOptions,
    ),
    MetricEntry(
        "kid", "diffbench.scoring.kid:kid", "KID", None, "lower", "features", "Binkowski et al. 2018, section 4"
    ),
    MetricEntry(
        "solver_error",
        "diffbench.scoring.solver_error:solver_error",
        "solver error",
        None,
        "lower",
        "x0",
        "RMSE of each sample to the converged solution of the same ODE",
        SolverErrorOptions,
    ),
    MetricEntry(
        "solver_error_features",
        "diffbench.scoring.solver_error:solver_error",
        "solver error in features",
        None,
        "lower",
        "seen",
        "RMSE of each sample's features to those of the converged solution",
        SolverErrorOptions,
    ),
)

METRICS: Mapping[str, MetricEntry] = {entry.name: entry for entry in _METRICS}

COSTS: Mapping[str, tuple[str, Literal["lower", "higher"]]] = {
    "seconds_per_image": ("s", "lower"),
    "images_per_second": ("1/s", "higher"),
    "peak_memory_mb": ("MB", "lower"),
}
