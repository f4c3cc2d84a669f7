"""The command line: parse, call, print. Modules that need torch are imported by the commands that need them."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from diffbench import __version__
from diffbench.errors import CellFailed, DiffbenchError, IncompleteRun


def main() -> None:
    """Run the command line; every error is one clear line on stderr and an exit code."""
    # Read when torch is first imported. By default, threads that wait spin for milliseconds, which beside another job
    # costs most of the machine: a network's call took 21 ms an image on two cores, 3.4 ms with a short spin, and the
    # same 1.4 ms as by default on a quiet machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _leave("interrupted", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DiffbenchError as error:
        _leave(str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        _leave("interrupted", 130)
    except Exception as error:
        if os.environ.get("DIFFBENCH_DEBUG"):
            raise
        _leave(f"internal error: {type(error).__name__}: {error} (DIFFBENCH_DEBUG=1 shows where)", 4)


def _leave(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="diffbench")
def cli() -> None:
    """Benchmark diffusion samplers: quality against cost, with intervals."""


_only = click.option("--only", metavar="RULE", help="Cells to take, as in 'model=ddpm-mnist,sampler=ddim,nfe<=20'.")
_set = click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change a value of the suite.")
_json = click.option("--json", "as_json", is_flag=True, help="Print rows as one JSON array on stdout.")


@cli.command()
@click.argument("suite")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/<suite name>]")
@click.option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:<index>.")
@_only
@_set
@click.option("--smoke", is_flag=True, help="A tiny version of the suite, in seconds: does it all work?")
@_json
@click.option("--quiet", is_flag=True, help="No progress.")
def run(
    suite: str,
    out: Path | None,
    device: str | None,
    only: str | None,
    overrides: tuple[str, ...],
    smoke: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run SUITE (a YAML file, or the name of a shipped suite such as quickstart).

    The same command resumes an interrupted run; finished samples are never made twice.
    """
    from diffbench.suite.read import find_suite, read_suite

    spec = read_suite(find_suite(suite), (*overrides, *(_SMOKE if smoke else ())))
    if smoke and out is None:
        out = Path("runs") / f"{spec.name}-smoke"

    from diffbench import results
    from diffbench.report.page import draw
    from diffbench.report.tables import terminal_table
    from diffbench.runner.engine import execute

    summary = execute(spec, out, device, only, quiet)
    if summary.sampled or _older(summary.folder / "report.html", summary.folder / results.PARQUET):
        draw(summary.folder)
    table = results.read(summary.folder)
    if as_json:
        click.echo(json.dumps(results.rows(table), allow_nan=False))
    else:
        _print(terminal_table(table))
        if all(cell.skip for cell in summary.cells):
            click.echo("Every cell was skipped; the report says why.")
        elif not summary.sampled:
            click.echo("Every shard was there already; nothing was sampled.")
        click.echo(f"Report: {summary.folder / 'report.html'}   table: {summary.folder / results.PARQUET}")
    if summary.failed:
        reasons = "; ".join(sorted(set(summary.failed.values())))
        raise CellFailed(f"{len(summary.failed)} of {len(summary.cells)} cells failed: {reasons}")
    if (table["status"] == "incomplete").any():
        raise IncompleteRun("some cells are incomplete; the same command goes on with them")


def _older(page: Path, source: Path) -> bool:
    """Whether a page is missing or was written before its source."""
    return not page.exists() or page.stat().st_mtime_ns < source.stat().st_mtime_ns


_SMOKE = ("samples=16", "timing.seconds=5", "timing.batch_size=2", "run.keep.samples=16")


@cli.command()
@click.argument("suite")
@_only
@_set
def validate(suite: str, only: str | None, overrides: tuple[str, ...]) -> None:
    """Check SUITE without running anything."""
    from diffbench.suite.plan import plan
    from diffbench.suite.read import find_suite, read_suite

    cells = plan(read_suite(find_suite(suite), overrides), only)
    skipped = Counter(cell.skip for cell in cells if cell.skip is not None)
    left_out = f", {skipped.total()} of them skipped" if skipped else ""
    click.echo(f"{suite}: fine; {len(cells)} cell{'s' * (len(cells) != 1)}{left_out}")
    for reason, count in skipped.items():
        click.echo(f"  {count} skipped: {reason}")


@cli.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
def report(run_folder: Path) -> None:
    """Draw the figures, tables and pages of RUN again, from its files."""
    from diffbench.report.page import draw

    for path in draw(run_folder):
        click.echo(path)


@cli.group("list")
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
    _show(rows, as_json, ("name", "summary", "source"))


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
    _show(rows, as_json, ("name", "better", "source"))


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
    _show(rows, as_json, ("name", "family", "prediction", "schedule"))


@list_.command("suites")
@_json
def list_suites(as_json: bool) -> None:
    """Suites that come with diffbench."""
    from diffbench import shipped

    rows = [{"name": path.stem, "path": str(path)} for path in sorted(shipped.suites().glob("*.yaml"))]
    _show(rows, as_json, ("name", "path"))


@cli.group()
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
    click.echo(json.dumps(measured.to_dict()) if as_json else measured.line())


def _show(rows: list[dict[str, Any]], as_json: bool, columns: tuple[str, ...]) -> None:
    if as_json:
        click.echo(json.dumps(rows, allow_nan=False))
        return
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    _print(table)


def _print(renderable: Any) -> None:
    from rich.console import Console

    console = Console()
    Console(width=None if console.is_terminal else 100, markup=False, highlight=False).print(renderable)
