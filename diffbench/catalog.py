"""What can be named in a suite: data only, importable without torch.

A sampler is one ``SamplerEntry`` here and one class in ``diffbench/samplers``; a metric is one ``MetricEntry`` here
and one file in ``diffbench/scoring``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from diffbench.errors import UsageError

Final = Literal["denoise", "sigma_min"]


class Options(BaseModel):
    """Options of a sampler or metric: unknown keys are errors, values are never coerced silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NoOptions(Options):
    """A sampler or metric without options."""


class DDIMOptions(Options):
    """Options of ``ddim``."""

    eta: float = Field(default=0.0, ge=0.0, le=1.0, description="0: the deterministic ODE; 1: ancestral sampling")


class DDPMOptions(Options):
    """Options of ``ddpm``."""

    variance: Literal["fixed_small", "fixed_large"] = Field(
        default="fixed_small", description="posterior variance: beta-tilde (fixed_small) or beta (fixed_large)"
    )


class HeunOptions(Options):
    """Options of ``heun``, named as in EDM's Algorithm 2; the defaults are the deterministic Algorithm 1."""

    s_churn: float = Field(default=0.0, ge=0.0)
    s_min: float = Field(default=0.0, ge=0.0)
    s_max: float = Field(default=1e9, gt=0.0, description="upper end of the churned sigmas")
    s_noise: float = Field(default=1.0, gt=0.0)


def one_per_step(steps: int, final: Final) -> int:
    """Evaluations of a method that calls the denoiser once a step."""
    return steps


def two_but_last(steps: int, final: Final) -> int:
    """Evaluations of a two-stage method whose last step, onto sigma = 0, needs only the first stage."""
    return 2 * steps - 1 if final == "denoise" else 2 * steps


@dataclass(frozen=True)
class SamplerEntry:
    """What is known of a sampler before it is imported.

    ``needs`` lists what a model's noise schedule must offer: ``sde`` (drift and diffusion in native time) or
    ``variance_preserving`` (s^2 (1 + sigma^2) = 1). ``same_as`` maps options to an equivalent (sampler, options), for
    samplers that coincide update for update.
    """

    name: str
    target: str
    summary: str
    source: str
    order: int | None
    stochastic: Callable[[Any], bool]
    options: type[Options] = NoOptions
    evaluations: Callable[[int, Final], int] = one_per_step
    needs: frozenset[str] = frozenset()
    batch_coupled: bool = False
    same_as: Callable[[Any], tuple[str, dict[str, Any]] | None] = field(default=lambda options: None)

    def nfe(self, steps: int, final: Final = "denoise") -> int:
        """Denoiser evaluations per sample that ``steps`` steps cost."""
        return self.evaluations(steps, final)

    def steps_within(self, budget: int, final: Final = "denoise") -> int | None:
        """The most steps whose evaluations fit into ``budget``; None if not even one does."""
        if self.nfe(1, final) > budget:
            return None
        steps = 1
        while self.nfe(steps + 1, final) <= budget:
            steps += 1
        return steps


def _ddpm_same_as(options: DDPMOptions) -> tuple[str, dict[str, Any]] | None:
    return ("ddim", {"eta": 1.0}) if options.variance == "fixed_small" else None


_SAMPLERS = (
    SamplerEntry(
        name="ddim",
        target="diffbench.samplers.ddim:DDIM",
        summary="Euler steps of the probability-flow ODE in sigma, plus eta-scaled noise",
        source="Song, Meng & Ermon 2021 (DDIM), Eq. 12 and 16",
        order=1,
        stochastic=lambda options: options.eta > 0,
        options=DDIMOptions,
    ),
    SamplerEntry(
        name="ddpm",
        target="diffbench.samplers.ddpm:DDPM",
        summary="ancestral sampling of the discrete reverse chain",
        source="Ho, Jain & Abbeel 2020 (DDPM), Algorithm 2; variances of section 3.2",
        order=None,
        stochastic=lambda options: True,
        options=DDPMOptions,
        same_as=_ddpm_same_as,
    ),
    SamplerEntry(
        name="heun",
        target="diffbench.samplers.heun:Heun",
        summary="second-order Heun steps in sigma, with optional churn",
        source="Karras et al. 2022 (EDM), Algorithms 1 and 2",
        order=2,
        stochastic=lambda options: options.s_churn > 0,
        options=HeunOptions,
        evaluations=two_but_last,
    ),
    SamplerEntry(
        name="dpmpp-2m",
        target="diffbench.samplers.dpmpp:DPMSolverPP2M",
        summary="second-order multistep exponential integrator on the denoised estimate",
        source="Lu et al. 2022 (DPM-Solver++), Algorithm 2",
        order=2,
        stochastic=lambda options: False,
    ),
    SamplerEntry(
        name="euler-maruyama",
        target="diffbench.samplers.euler_maruyama:EulerMaruyama",
        summary="Euler-Maruyama on the reverse-time SDE in the family's own time",
        source="Song et al. 2021 (Score-SDE), Eq. 6 and appendix D",
        order=None,
        stochastic=lambda options: True,
        needs=frozenset({"sde"}),
    ),
)


class Samplers(Mapping[str, SamplerEntry]):
    """The samplers by name: the built-in ones, those of installed packages, and those lent by :meth:`using`.

    A package adds its own by the entry-point group ``diffbench.samplers``: each entry point names a ``SamplerEntry``.
    Built-in names can't be taken over.
    """

    def __init__(self, entries: tuple[SamplerEntry, ...]) -> None:
        self._built_in = {entry.name: entry for entry in entries}
        self._lent: dict[str, SamplerEntry] = {}

    @cached_property
    def _installed(self) -> dict[str, SamplerEntry]:
        found = (point.load() for point in entry_points(group="diffbench.samplers"))
        return {entry.name: entry for entry in found if entry.name not in self._built_in}

    @property
    def _all(self) -> dict[str, SamplerEntry]:
        return {**self._built_in, **self._installed, **self._lent}

    def __getitem__(self, name: str) -> SamplerEntry:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def built_in(self, name: str) -> bool:
        """Whether a sampler comes with diffbench."""
        return name in self._built_in

    @contextmanager
    def using(self, entries: Iterable[SamplerEntry]) -> Iterator[None]:
        """Lend entries for the time of a ``with`` block. Raises UsageError for a name that exists."""
        mine = {entry.name: entry for entry in entries}
        if taken := mine.keys() & self._all.keys():
            raise UsageError(f"there is a sampler named {min(taken)!r} already")
        self._lent.update(mine)
        try:
            yield
        finally:
            for name in mine:
                del self._lent[name]


SAMPLERS = Samplers(_SAMPLERS)


class ISOptions(Options):
    """Options of ``is``."""

    splits: int = Field(default=1, ge=1, description="the literature's 10 needs thousands of samples")
    seed: int = Field(default=2020, ge=0, lt=2**32, description="of the shuffle before splitting")


class SolverErrorOptions(Options):
    """Options of ``solver_error`` and ``solver_error_features``."""

    reference_steps: int = Field(default=256, ge=2, le=10_000, description="Heun steps of the converged solution")


@dataclass(frozen=True)
class MetricEntry:
    """What is known of a metric before it is imported.

    ``better`` says which direction is good, ``uses`` what the metric is computed from: ``features`` (against the
    reference's), ``logits`` (alone), or the cell's ``x0`` or ``seen`` features sample by sample against a converged
    solution from the same noise, which the run makes (``needs_solution``).
    """

    name: str
    target: str
    title: str
    unit: str | None
    better: Literal["lower", "higher"]
    uses: Literal["features", "logits", "x0", "seen"]
    source: str
    options: type[Options] = NoOptions

    @property
    def needs_solution(self) -> bool:
        """Whether the metric compares each sample with a converged solution of the same ODE."""
        return self.uses in ("x0", "seen")


_METRICS = (
    MetricEntry("fid", "diffbench.scoring.fid:fid", "FID", None, "lower", "features", "Heusel et al. 2017, Eq. 6"),
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


# Kinds of time grids; diffbench/diffusion/grid.py holds the formulas.
GRIDS: Mapping[str, type[Options]] = {
    "trailing": NoOptions,
    "leading": NoOptions,
    "linspace": NoOptions,
    "quadratic": NoOptions,
    "karras": KarrasOptions,
    "log-snr": SigmaRangeOptions,
    "explicit": ExplicitOptions,
}


def load(target: str) -> Any:
    """Import ``module:attribute`` as written in an entry."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
