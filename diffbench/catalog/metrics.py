"""Quality metrics and costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from diffbench.catalog.entries import MetricEntry, NoOptions, Options


class ISOptions(Options):
    """Options of ``is``."""

    splits: int = Field(default=1, ge=1, description="the literature's 10 needs thousands of samples")
    seed: int = Field(default=2020, ge=0, lt=2**32, description="of the shuffle before splitting")


class SolverErrorOptions(Options):
    """Options of ``solver_error`` and ``solver_error_features``."""

    reference_steps: int = Field(default=512, ge=2, le=10_000, description="steps of the converged solution")


class NeighboursOptions(Options):
    """Options of ``precision`` and ``recall``."""

    k: int = Field(default=3, ge=1, le=20, description="nearest neighbours that a ball reaches to")


class DensityOptions(Options):
    """Options of ``density`` and ``coverage``."""

    k: int = Field(default=5, ge=1, le=20, description="nearest neighbours that a ball reaches to")


def _of_features(
    name: str,
    target: str,
    title: str,
    better: Literal["lower", "higher"],
    source: str,
    options: type[Options] = NoOptions,
    moments_suffice: bool = False,
) -> MetricEntry:
    return MetricEntry(
        name, f"diffbench.scoring.{target}", title, None, better, "features", source, options, moments_suffice
    )


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
    _of_features(
        "fid_infinity",
        "fid_infinity:fid_infinity",
        "FID∞",
        "lower",
        "Quenouille 1956 (jackknife); the bias: Chong & Forsyth 2020",
        moments_suffice=True,
    ),
    _of_features(
        "precision",
        "precision_recall:precision",
        "precision",
        "higher",
        "Kynkäänniemi et al. 2019, Eq. 2",
        NeighboursOptions,
    ),
    _of_features(
        "recall", "precision_recall:recall", "recall", "higher", "Kynkäänniemi et al. 2019, Eq. 3", NeighboursOptions
    ),
    _of_features(
        "density", "density_coverage:density", "density", "higher", "Naeem et al. 2020, Eq. 3", DensityOptions
    ),
    _of_features(
        "coverage", "density_coverage:coverage", "coverage", "higher", "Naeem et al. 2020, Eq. 4", DensityOptions
    ),
    _of_features(
        "memorisation",
        "memorisation:memorisation",
        "memorisation",
        "lower",
        "1 - authenticity of Alaa et al. 2022, section 3.3",
    ),
    _of_features("cmmd", "cmmd:cmmd", "CMMD", "lower", "Jayasumana et al. 2024, unbiased; on CLIP's features"),
    _of_features(
        "cmmd_compat", "cmmd:cmmd_compat", "CMMD (biased)", "lower", "Jayasumana et al. 2024, as in the authors' code"
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
