"""``cache``: why a cell's samples are or are not there, and what can be freed."""

from __future__ import annotations

from pathlib import Path

import click

from diffbench.cli import completion
from diffbench.cli.group import as_json, run_argument
from diffbench.cli.printing import rows_as_json, say


@click.group()
def cache() -> None:
    """Explain and clean up what runs store."""


@cache.command()
@click.argument("cell")
@click.option(
    "--run",
    "run_folder",
    metavar="RUN",
    type=click.Path(path_type=Path),
    shell_complete=completion.runs,
    help="Run folder.  [default: the one under runs/ that has the cell]",
)
@as_json
def why(cell: str, run_folder: Path | None, as_json: bool) -> None:
    """Say what is stored of CELL, what is missing, why, and which stored cell comes closest.

    CELL is an id, the beginning of one, or a name such as ddpm-mnist/ddim/nfe=10.
    """
    from diffbench.status.explain import explain

    told = explain(cell, run_folder)
    if as_json:
        rows_as_json([{"cell": cell, "told": told}])
        return
    for line in told:
        say(line)


@cache.command()
@run_argument
@click.option("--features", is_flag=True, help="Also free the features of cells that are complete and scored.")
@click.option("--orphans", is_flag=True, help="Also delete cells that the run's suite no longer has.")
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@as_json
def gc(run_folder: Path, features: bool, orphans: bool, dry_run: bool, as_json: bool) -> None:
    """Free disk space of RUN.

    The rule: what is of no use goes always (temporary files older than an hour; shards that are
    damaged, that other code made, or that a longer one has replaced). Features of cells that are complete and whose
    scores are all stored go with --features: images, scores and intervals stay, a new metric or more samples will
    sample those cells again. Cells that the suite in the run folder does not have go with --orphans.
    """
    from diffbench.document.words import counted
    from diffbench.runner.gc import free
    from diffbench.status.show import size

    freed = free(run_folder, features=features, orphans=orphans, dry_run=dry_run)
    if as_json:
        rows_as_json([{"what": what, "files": count, "bytes": total, "freed": not dry_run}
                      for what, (count, total) in freed.items()])  # fmt: skip
        return
    word = "would be freed" if dry_run else "freed"
    for what, (count, total) in freed.items():
        say(f"{what}: {counted(count, 'file')}, {size(total)} {word}")
    if not freed:
        say("nothing to free")
