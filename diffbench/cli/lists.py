"""``list``: what a suite can name."""

from __future__ import annotations

from typing import Any

import click

from diffbench.cli.group import as_json as _json
from diffbench.cli.printing import rows_as_json, say, show
from diffbench.errors import UsageError


@click.group("list", invoke_without_command=True)
@_json
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """What a suite can name; alone, what can be listed."""
    if context.invoked_subcommand is not None:
        if as_json:
            raise UsageError(f"--json goes last: diffbench list {context.invoked_subcommand} --json")
        return
    rows = [{"list": name, "of": one.get_short_help_str(100)} for name, one in sorted(list_.commands.items())]
    if as_json:
        rows_as_json(rows)
        return
    for row in rows:
        say(f"diffbench list {row['list']:<11} {row['of']}")


@list_.command("samplers")
@_json
def list_samplers(as_json: bool) -> None:
    """Samplers: order as ODE solvers, randomness, evaluations a step, source; all for their default options."""
    from diffbench.catalog import SAMPLERS
    from diffbench.catalog.facts import sampler_facts

    rows = [sampler_facts(entry) for entry in SAMPLERS.values()]
    if as_json:
        show(rows, True, ())
        return
    short = [
        {
            "name": row["name"],
            "order": row["order"] or "–",
            "noise": "yes" if row["stochastic"] else "no",
            "NFE/step": "own" if row["adaptive"] else f"{row['evaluations_per_step']:g}",
            "summary": row["summary"],
        }
        for row in rows
    ]
    show(short, False, ("name", "order", "noise", "NFE/step", "summary"))


@list_.command("grids")
@_json
def list_grids(as_json: bool) -> None:
    """Kinds of noise levels, and the presets of papers."""
    from diffbench.catalog import GRIDS, PRESETS
    from diffbench.catalog.facts import option_facts

    rows: list[dict[str, Any]] = []
    for name, options in GRIDS.items():
        kind, fixed = PRESETS.get(name, (None, {}))
        preset = None if kind is None else {"kind": kind, "options": dict(fixed)}
        rows.append({"name": name, "options": option_facts(options), "preset_of": preset})
    if as_json:
        show(rows, True, ())
        return
    for row in rows:
        preset = row["preset_of"]
        row["options"] = ", ".join(row["options"])
        row["the same as"] = "" if preset is None else _grid(preset["kind"], preset["options"])
    show(rows, False, ("name", "options", "the same as"))


def _grid(kind: str, options: dict[str, float]) -> str:
    return kind + (f"({', '.join(f'{key}={value:g}' for key, value in options.items())})" if options else "")


@list_.command("metrics")
@_json
def list_metrics(as_json: bool) -> None:
    """Quality metrics and costs; bits_per_dim is a model's own, by diffbench likelihood."""
    from diffbench.catalog import COSTS, LIKELIHOOD, METRICS
    from diffbench.catalog.facts import metric_facts

    rows = [*map(metric_facts, METRICS.values()), metric_facts(LIKELIHOOD)]
    rows += [
        {"name": name, "title": name.replace("_", " "), "unit": unit, "better": better, "source": "the timing pass"}
        for name, (unit, better) in COSTS.items()
    ]
    show(rows, as_json, ("name", "better", "source"))


@list_.command("extractors")
@_json
def list_extractors(as_json: bool) -> None:
    """Networks in whose eyes images are compared, and where their weights are."""
    from diffbench.errors import WeightsError
    from diffbench.scoring.known import BACKBONES, find_backbone, known_extractors
    from diffbench.scoring.weights import FILES, base_name, find_weights

    rows = []
    for name in known_extractors():
        place: str | None = "in the package"
        try:
            if name in BACKBONES:
                place = str(find_backbone(name))
            elif base_name(name) in FILES:
                place = str(find_weights(name)[0])
        except WeightsError:
            place = None
        rows.append({"name": name, "weights": place})
    if not as_json:
        rows = [{**row, "weights": row["weights"] or "not on this machine"} for row in rows]
    show(rows, as_json, ("name", "weights"))


@list_.command("models")
@_json
def list_models(as_json: bool) -> None:
    """Models that come with diffbench, and published ones whose cards do."""
    from diffbench import shipped

    rows = [
        {
            "name": name,
            **{key: card[key] for key in ("family", "prediction")},
            "schedule": card["schedule"]["kind"],
            "files": "to fetch" if card.get("checkpoint") else "in the package",
        }
        for name, card in shipped.cards().items()
    ]
    show(rows, as_json, ("name", "family", "prediction", "schedule", "files"))


@list_.command("suites")
@_json
def list_suites(as_json: bool) -> None:
    """Suites that come with diffbench."""
    from diffbench import shipped

    rows = [{"name": name, "path": str(shipped.suites() / f"{name}.yaml")} for name in shipped.suite_names()]
    show(rows, as_json, ("name", "path"))
