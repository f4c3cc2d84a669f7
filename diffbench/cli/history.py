"""``history``: many runs in one frame and one figure."""

from __future__ import annotations

from pathlib import Path

import click

from diffbench.cli import completion
from diffbench.cli.group import as_json, only
from diffbench.cli.printing import draw, rows_as_json, say

MOST_ROWS = 40


@click.command(short_help="Many runs: scores over time, spread of trainings.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path),
                shell_complete=completion.runs)  # fmt: skip
@click.option("--metric", "metrics", metavar="METRIC", multiple=True,
              help="A metric to take; may be repeated.  [default: all of quality, and seconds per image]")  # fmt: skip
@only
@click.option("--sort", type=click.Choice(["given", "time"]), default="given", show_default=True,
              help="Order of the runs: as given, or by when they were sampled.")  # fmt: skip
@click.option("--replicates", metavar="MODELS", multiple=True,
              help="Models that are trainings of one recipe with other seeds: 'ours-seed*'; repeatable.")  # fmt: skip
@click.option("--replicate-runs", metavar="RUNS", multiple=True,
              help="Runs by name, as in 'seed*': the same model in each of them is another training.")  # fmt: skip
@click.option("--alpha", type=click.FloatRange(0, 0.5, min_open=True), default=0.01, show_default=True,
              help="False alarms among all steps.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help=f"Show more than the clearest {MOST_ROWS} rows.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("history"), show_default=True,
              help="Folder for tables and figures.")  # fmt: skip
@as_json
def history(
    runs: tuple[Path, ...],
    metrics: tuple[str, ...],
    only: str | None,
    sort: str,
    replicates: tuple[str, ...],
    replicate_runs: tuple[str, ...],
    alpha: float,
    everything: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Join the run folders RUN... by what their cells mean, and follow every score from run to run.

    A step is the paired difference to the run before, and real where Holm's test over all steps says so. Scores of
    different things (another n, reference, extractor) are never joined. Trainings of one recipe with other seeds can be
    grouped: what differs between them is shown beside the sampling error.
    """
    from diffbench.comparison.history import history as collect
    from diffbench.comparison.history_rows import as_rows, spread_rows
    from diffbench.comparison.replicates import replicates as group
    from diffbench.comparison.runs import open_runs
    from diffbench.report import history_tables as tables
    from diffbench.report.history_page import write_history
    from diffbench.report.tables import rich_table

    found = collect(open_runs(runs, "time" if sort == "time" else "given"), metrics, only, alpha)
    recipes = group(found, replicates, replicate_runs)
    written = write_history(found, recipes, out)
    if as_json:
        rows_as_json([*as_rows(found), *spread_rows(found, recipes)])
        return
    most = None if everything else MOST_ROWS
    draw(rich_table(tables.history_table(found, most, narrow=True)))
    if most is not None and len(found.series) > most:
        say(f"and {len(found.series) - most} more scores (--all)")
    if recipes:
        say("")
        draw(rich_table(tables.spread_table(found, recipes)))
    for note in (*tables.notes(found), *(tables.spread_notes(recipes) if recipes else ())):
        say(f"- {note}")
    say(f"Written to {out}: {', '.join(path.name for path in written)}")
