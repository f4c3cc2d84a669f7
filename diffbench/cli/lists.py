"""``list``: what a suite can name."""

from __future__ import annotations

from typing import Any

import click

from diffbench.cli.group import as_json as _json
from diffbench.cli.printing import show


@click.group("list")
def list_() -> None:
    """What a suite can name."""


@list_.command("samplers")
@_json
def list_samplers(as_json: bool) -> None:
    """Samplers, with order, randomness and source."""
    from diffbench.catalog import SAMPLERS

    rows = [
        {
            "name": entry.name,
            "summary": entry.summary,
            "order": entry.order,
            "stochastic": entry.stochastic(entry.options()),
            "nfe_at_10_steps": entry.nfe(10),
            "needs": sorted(entry.needs),
            "options": {name: field.default for name, field in entry.options.model_fields.items()},
            "source": entry.source,
        }
        for entry in SAMPLERS.values()
    ]
    show(rows, as_json, ("name", "summary", "source"))


@list_.command("metrics")
@_json
def list_metrics(as_json: bool) -> None:
    """Quality metrics and costs."""
    from diffbench.catalog import COSTS, METRICS

    rows: list[dict[str, Any]] = [
        {"name": m.name, "title": m.title, "unit": m.unit, "better": m.better, "source": m.source}
        for m in METRICS.values()
    ]
    rows += [
        {"name": name, "title": name.replace("_", " "), "unit": unit, "better": better, "source": "the timing pass"}
        for name, (unit, better) in COSTS.items()
    ]
    show(rows, as_json, ("name", "better", "source"))


@list_.command("models")
@_json
def list_models(as_json: bool) -> None:
    """Models that come with diffbench."""
    from diffbench.models.card import load_card, shipped_models

    cards = [load_card(name) for name in shipped_models()]
    rows = [
        {"name": card.name, "family": card.family, "prediction": card.prediction, "schedule": card.schedule["kind"]}
        for card in cards
    ]
    show(rows, as_json, ("name", "family", "prediction", "schedule"))


@list_.command("suites")
@_json
def list_suites(as_json: bool) -> None:
    """Suites that come with diffbench."""
    from diffbench import shipped

    rows = [{"name": path.stem, "path": str(path)} for path in sorted(shipped.suites().glob("*.yaml"))]
    show(rows, as_json, ("name", "path"))
