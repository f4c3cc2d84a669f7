"""What the catalog says of samplers, metrics and their options, as JSON-able rows."""

from __future__ import annotations

from typing import Any

from diffbench.catalog.entries import MetricEntry, Options, SamplerEntry
from diffbench.catalog.likelihood import ModelMetric


def sampler_facts(entry: SamplerEntry) -> dict[str, Any]:
    """A sampler with its default options; evaluations are None where it chooses its own steps."""
    options = entry.options()
    same = entry.same_as(options)
    return {
        "name": entry.name,
        "summary": entry.summary,
        "order": entry.order,
        "stochastic": entry.stochastic(options),
        "adaptive": entry.adaptive,
        "evaluations_per_step": None if entry.adaptive else entry.nfe(11) - entry.nfe(10),
        "nfe_at_10_steps": None if entry.adaptive else entry.nfe(10),
        "needs": sorted(entry.needs),
        "batch_coupled_on_request": entry.batch_coupled,
        "same_as": None if same is None else {"sampler": same[0], "options": same[1]},
        "options": option_facts(entry.options),
        "source": entry.source,
    }


def metric_facts(entry: MetricEntry | ModelMetric) -> dict[str, Any]:
    """A quality metric, of samples or of a model."""
    return {
        "name": entry.name,
        "title": entry.title,
        "unit": entry.unit,
        "better": entry.better,
        "source": entry.source,
        "options": option_facts(entry.options),
    }


def option_facts(model: type[Options]) -> dict[str, Any]:
    """Default, type, bounds or values, and description of every option, in JSON Schema's words."""
    properties: dict[str, dict[str, Any]] = model.model_json_schema()["properties"] if model.model_fields else {}
    return {name: {key: value for key, value in one.items() if key != "title"} for name, one in properties.items()}
