"""``show``: what a name means, on one screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffbench.cli import completion
from diffbench.cli.group import as_json as _json
from diffbench.cli.printing import draw, rows_as_json, say, show_pairs
from diffbench.cli.printing import show as show_table
from diffbench.inert import printable

if TYPE_CHECKING:
    from diffbench.report.findings import Best


@click.command(short_help="Say what a sampler, metric, model, suite or run is.")
@click.argument("name", metavar="CARD|SAMPLER|METRIC|SUITE|RUN", shell_complete=completion.named)
@_json
def show(name: str, as_json: bool) -> None:
    """Say what a name of `diffbench list` means, or what a folder or file holds: a model's card, a suite, a run.

    Of a run: what is sampled, on what, and the best sampler of every model and budget.
    """
    from rich.text import Text

    from diffbench.status.describe import describe

    found = describe(name)
    best = None if found.folder is None else _best(found.folder)
    if as_json:
        rows_as_json([{**found.to_dict(), **({} if best is None else {"best": _best_rows(*best)})}])
        return
    summary = f": {printable(found.summary)}" if found.summary else ""
    draw(Text.assemble((f"{found.kind} {printable(found.name)}", "bold"), summary))
    say("")
    show_pairs(found.lines)
    if found.options:
        say("")
        show_table([dict(zip(_OPTIONS, one, strict=True)) for one in found.options], False, _OPTIONS)
    if best is not None:
        from diffbench.report.tables import best_table, rich_table

        say("")
        draw(rich_table(best_table(*best)))


_OPTIONS = ("option", "default", "allowed", "what it does")


def _best(folder: Path) -> tuple[list[Best], str] | None:
    """The best sampler of every model and budget, and by which metric; None of a run without scores."""
    from diffbench import results
    from diffbench.report.findings import best_per_budget
    from diffbench.report.folder import open_run
    from diffbench.report.frame import main_metric

    if not (folder / results.PARQUET).is_file():
        return None
    run = open_run(folder)
    metric = main_metric(run.cells)
    return None if metric is None else (best_per_budget(run.cells, metric, run.worse), metric)


def _best_rows(found: list[Best], metric: str) -> list[dict[str, Any]]:
    return [
        {"model": one.model, "budget": one.budget, "sampler": one.cell.series, "metric": metric,
         "value": one.cell.value(metric), "not_told_apart": [cell.series for cell in one.ties],
         "not_tested": [cell.series for cell in one.untested]}
        for one in found
    ]  # fmt: skip
