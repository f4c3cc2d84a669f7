"""Grids and metrics of a suite, each a bare name or a mapping with options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import InitErrorDetails

from diffbench.catalog import COSTS, GRIDS, LIKELIHOOD, METRICS
from diffbench.document.spec import Spec, fault, option_faults
from diffbench.document.words import Says, shown, unknown

Values = Annotated[tuple[Any, ...], Field(min_length=1, max_length=10_000)]


def split(value: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """A mapping whose options, everything but ``keys``, are moved under ``options``."""
    fixed = {key: item for key, item in value.items() if key in keys}
    return {**fixed, "options": {key: item for key, item in value.items() if key not in keys}}


class GridChoice(Spec):
    """A time grid by kind, with its options beside."""

    kind: Annotated[str, Says("the kind of a grid")]
    """The kind of noise levels (diffbench list grids); its options stand beside."""
    options: dict[str, Any] = Field(default={}, exclude=True)

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """A bare kind to a mapping; options split off."""
        value = {"kind": value} if isinstance(value, str) else value
        return split(value, ("kind",)) if isinstance(value, dict) else value

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """A known kind, with options that it takes."""
        kind, options = given.get("kind"), given["options"]
        if isinstance(kind, str) and kind not in GRIDS:
            yield fault(("kind",), unknown("grid", kind, GRIDS), kind)
        if not isinstance(kind, str) or kind not in GRIDS:
            return
        found = option_faults(GRIDS[kind], options, beside=("kind",))
        yield from found
        if found:
            return
        low, high, sigmas = (options.get(key) for key in ("sigma_min", "sigma_max", "sigmas"))
        if low is not None and high is not None and low >= high:
            yield fault(("sigma_min",), f"{shown(low)} is not allowed; it must be below sigma_max, {shown(high)}", low)
        for index, sigma in enumerate(sigmas or ()):
            if sigma <= 0 or (index and sigma >= sigmas[index - 1]):
                message = f"{shown(sigma)} is not allowed; sigmas are positive and decrease strictly"
                yield fault(("sigmas", index), message, sigma)


class MetricChoice(Spec):
    """A quality metric of the catalog, with all its options."""

    name: Annotated[str, Field(alias="metric"), Says("the name of a metric")]
    """The name of a metric (diffbench list metrics); its options stand beside."""
    options: dict[str, Any] = Field(default={}, exclude=True)

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """A bare name to a mapping; options split off, and completed where they are fine."""
        value = {"metric": value} if isinstance(value, str) else value
        if not isinstance(value, dict):
            return value
        value = split(value, ("metric",))
        name = value.get("metric")
        if isinstance(name, str) and name in METRICS and not option_faults(METRICS[name].options, value["options"]):
            value["options"] = METRICS[name].options.model_validate(value["options"]).model_dump()
        return value

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """A known metric, with options that it takes."""
        name = given.get("metric")
        if isinstance(name, str) and name in METRICS:
            yield from option_faults(METRICS[name].options, given["options"], beside=("metric",))
        elif name == LIKELIHOOD.name:
            message = f"{shown(name)} belongs to a model, not to a sampler; measure it by diffbench likelihood MODEL"
            yield fault(("metric",), message, name)
        elif isinstance(name, str) and name in COSTS:
            message = f"{shown(name)} is measured by the timing pass of every run; leave it out of the metrics"
            yield fault(("metric",), message, name)
        elif isinstance(name, str):
            yield fault(("metric",), unknown("metric", name, METRICS), name)
