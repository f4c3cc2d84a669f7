"""What an entry of the catalog says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Final = Literal["denoise", "sigma_min"]


class Options(BaseModel):
    """Options of a sampler or metric: unknown keys are errors, values are never coerced silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NoOptions(Options):
    """A sampler or metric without options."""


def not_above(s_min: float, s_max: float) -> None:
    """ValueError if the ends of a range of sigmas, which then would be empty, are the wrong way round."""
    if s_min > s_max:
        raise ValueError(f"s_min must not be above s_max, got {s_min:g} and {s_max:g}")


def one_per_step(steps: int, final: Final, options: Any) -> int:
    """Evaluations of a method that calls the denoiser once a step."""
    return steps


@dataclass(frozen=True)
class SamplerEntry:
    """What is known of a sampler before it is imported.

    ``order`` is that of the method as a solver of the probability-flow ODE under its default options, ``order_with``
    under any; first and last steps may be of lower order, which shows as the number of steps grows. ``evaluations``
    maps (steps, final, options) to denoiser evaluations per sample. ``needs`` lists what a model must offer: ``sde``
    (drift and diffusion in native time), ``variance_preserving`` (s^2 (1 + sigma^2) = 1) or ``learned_variance`` (a
    network that predicts the variance of a step); ``needs_with`` says it for options that need more. ``adaptive``: the
    number of evaluations follows from tolerances, sample by sample. ``batch_coupled``: an option ``coupled`` makes
    samples depend on their batch. ``same_as`` maps options to an equivalent (sampler, options), for samplers that
    coincide update for update. ``scheduler``: the class of diffusers that this is; it brings its own grid.
    ``fewest``: with fewer steps, the last onto sigma = 0, the method would be that last step alone. ``target`` is
    ``module:attribute``, or what makes the sampler itself; then ``code`` stands for its code in the ids of its cells.
    """

    name: str
    target: str | Callable[..., Any]
    summary: str
    source: str
    order: int | None
    stochastic: Callable[[Any], bool]
    options: type[Options] = NoOptions
    evaluations: Callable[[int, Final, Any], int] = one_per_step
    needs: frozenset[str] = frozenset()
    batch_coupled: bool = False
    same_as: Callable[[Any], tuple[str, dict[str, Any]] | None] = field(default=lambda options: None)
    order_with: Callable[[Any], int | None] | None = None
    needs_with: Callable[[Any], frozenset[str]] | None = None
    adaptive: bool = False
    fewest: int = 1
    scheduler: str | None = None
    code: str | None = None

    def order_of(self, options: Any) -> int | None:
        """Order with these options (an instance of ``options``)."""
        return self.order if self.order_with is None else self.order_with(options)

    def needs_of(self, options: Any) -> frozenset[str]:
        """What a model must offer for these options (an instance of ``options``)."""
        return self.needs if self.needs_with is None else self.needs_with(options)

    def nfe(self, steps: int, final: Final = "denoise", options: Any = None) -> int:
        """Denoiser evaluations per sample that ``steps`` steps cost; ``options`` None: the defaults.

        For an ``adaptive`` sampler the least that they can cost.
        """
        return self.evaluations(steps, final, self.options() if options is None else options)

    def fewest_steps(self, final: Final) -> int:
        """The fewest steps that are this method and not only the step onto sigma = 0."""
        return self.fewest if final == "denoise" else 1

    def steps_within(self, budget: int, final: Final = "denoise", options: Any = None) -> int | None:
        """The most steps whose evaluations fit into ``budget``; None if not even the fewest do."""
        steps = self.fewest_steps(final)
        if self.nfe(steps, final, options) > budget:
            return None
        while self.nfe(steps + 1, final, options) <= budget:
            steps += 1
        return steps


@dataclass(frozen=True)
class MetricEntry:
    """What is known of a metric before it is imported.

    ``better`` says which direction is good, ``uses`` what the metric is computed from: ``features`` (against the
    reference's; ``moments_suffice``: their mean and covariance are enough), ``logits`` (alone), or the cell's ``x0`` or
    ``seen`` features sample by sample against a converged solution from the same noise, which the run makes
    (``needs_solution``).
    """

    name: str
    target: str
    title: str
    unit: str | None
    better: Literal["lower", "higher"]
    uses: Literal["features", "logits", "x0", "seen"]
    source: str
    options: type[Options] = NoOptions
    moments_suffice: bool = False

    @property
    def needs_solution(self) -> bool:
        """Whether the metric compares each sample with a converged solution of the same ODE."""
        return self.uses in ("x0", "seen")

    @property
    def needs_extractor(self) -> bool:
        """Whether the metric sees samples through a feature extractor only."""
        return self.uses != "x0"


def load(target: str | Callable[..., Any]) -> Any:
    """Import ``module:attribute`` as written in an entry; an object is taken as it is."""
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
