"""``bench``: what diffbench itself costs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from diffbench.cli.group import as_json as _json
from diffbench.cli.printing import say, show


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


@bench.command("store")
@click.option("--suite", default="quickstart", show_default=True)
@click.option("--only", metavar="RULE", default="sampler=ddim", show_default=True)
@click.option("--device", default="auto", show_default=True)
@_json
def bench_store(suite: str, only: str, device: str, as_json: bool) -> None:
    """Time to store and check a shard over the time to sample it, at a suite's own shard size."""
    from diffbench.runner.bench_store import bench_store as measure

    rows = [cost.to_dict() for cost in measure(suite, only, device)]
    if not as_json:
        rows = [{**row, **{key: f"{row[key]:.4f}" for key in row if key.endswith("seconds")}} for row in rows]
        rows = [{**row, "share": f"{row['share']:.2%}"} for row in rows]
    show(rows, as_json, ("cell", "samples", "sampling_seconds", "write_seconds", "check_seconds", "share"))


@bench.command("resume")
@click.option("--shards", type=click.IntRange(min=1), default=100_000, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@_json
def bench_resume(shards: int, device: str, as_json: bool) -> None:
    """Time and memory of resuming a run of many shards, one of which is missing; they are made by script first."""
    from diffbench.runner.bench_store import bench_resume as measure

    row = measure(shards, device).to_dict()
    if not as_json:
        row |= {"seconds": f"{row['seconds']:.2f}", "peak_memory_mb": f"{row['peak_memory_mb']:.0f}"}
    show([row], as_json, ("shards", "cells", "seconds", "peak_memory_mb"))


@bench.command("report")
@click.option("--cells", type=click.IntRange(min=1), default=500, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Make the run folder here, to look at it.")
@_json
def bench_report(cells: int, out: Path | None, as_json: bool) -> None:
    """Time to draw the report of a made-up run of many cells with samples and trajectories, and the page's size."""
    from diffbench.report.bench import bench_report as measure

    row = measure(cells, out).to_dict()
    if not as_json:
        row |= {key: f"{row[key]:.1f}" for key in row if key != "cells"}
    show([row], as_json, ("cells", "seconds", "cpu_seconds", "page_megabytes", "folder_megabytes"))


@bench.command("samplers")
@click.option("--steps", type=click.IntRange(min=2), default=20, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=41, show_default=True)
@_json
def bench_samplers(steps: int, rounds: int, as_json: bool) -> None:
    """Time of a step beside the diffusers scheduler of the same method: batch (64, 1, 28, 28), one CPU thread."""
    from diffbench.runner.bench_samplers import HEADER
    from diffbench.runner.bench_samplers import bench_samplers as measure

    costs = measure(steps, rounds)
    if as_json:
        show([cost.to_dict() for cost in costs], True, ())
        return
    for line in (HEADER, *(cost.line() for cost in costs)):
        say(line)


@bench.command("scoring")
@click.option("--compile", "compiled", is_flag=True, help="Inception through torch.compile, too (minutes).")
@click.option("--images", type=click.IntRange(min=64), default=64, show_default=True, help="Images a round.")
@click.option("--dimension", type=click.IntRange(min=8), default=2048, show_default=True)
@_json
def bench_scoring(compiled: bool, images: int, dimension: int, as_json: bool) -> None:
    """Extraction and FID beside torch-fidelity and scipy: same process, same random weights, in turn; medians."""
    from diffbench.runner.bench_scoring import bench_extraction, bench_fid, bench_memory

    timed = bench_extraction(images, compiled=compiled) + bench_fid(dimension, 3 * dimension)
    memory = bench_memory()
    if as_json:
        show(timed + memory, True, ())
        return
    lines = [
        {**row, "ms": f"{row['ms']:.1f}", "per second": f"{row['per second']:.2f}", "ratio": f"{row['ratio']:.2f}",
         "apart": f"{row['apart']:.1e}"}
        for row in timed
    ]  # fmt: skip
    show(lines, False, ("what", "ms", "per second", "ratio", "apart"))
    say("ratio: extraction, images a second over torch-fidelity's; FID, seconds over ours. apart: largest difference,")
    say("relative to the largest feature, or to tr S + tr S_r")
    show([{**row, "peak MB": f"{row['peak MB']:.1f}"} for row in memory], False, ("what", "peak MB"))


@bench.command("pipeline")
@click.option("--steps", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=21, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--device", default="auto", show_default=True)
@_json
def bench_pipeline(steps: int, rounds: int, batch_size: int, device: str, as_json: bool) -> None:
    """Sampling tiny pipelines of diffusers through diffbench beside the pipelines themselves, in turn."""
    from diffbench.runner.bench_pipeline import bench_pipeline as measure

    rows = [cost.to_dict() for cost in measure(steps, rounds, batch_size, device)]
    if not as_json:
        rows = [{**row, "ms": f"{row['ms']:.1f}", "pipeline_ms": f"{row['pipeline_ms']:.1f}"} for row in rows]
        rows = [{**row, "ratio": f"{row['ratio']:.2f}"} for row in rows]
    show(rows, as_json, ("pipeline", "sampler", "ms", "pipeline_ms", "ratio"))
