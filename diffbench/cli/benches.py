"""``bench``: what diffbench itself costs."""

from __future__ import annotations

import json

import click

from diffbench.cli.group import as_json as _json
from diffbench.cli.printing import say


@click.group()
def bench() -> None:
    """Measure diffbench itself."""


@bench.command("runner")
@click.option("--model", default="ddpm-mnist", show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=128, show_default=True)
@click.option("--nfe", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--device", default="auto", show_default=True)
@_json
def bench_runner(model: str, batch_size: int, nfe: int, rounds: int, device: str, as_json: bool) -> None:
    """Time of a whole shard (sampling, quantising, features, storing) over that of its bare network calls."""
    from diffbench.runner.bench import bench_runner as measure

    measured = measure(model, batch_size, nfe, rounds, device)
    say(json.dumps(measured.to_dict()) if as_json else measured.line())
