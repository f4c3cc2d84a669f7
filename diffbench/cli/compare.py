"""``compare``: is NEW worse than BASE? ``baseline``: what is needed of BASE to tell, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from diffbench.cli import completion
from diffbench.cli.gating import Outputs, conclude, near
from diffbench.cli.group import allowing, as_json, run_argument
from diffbench.cli.printing import draw, rows_as_json, say
from diffbench.cli.self_test import run_self_test, self_test_options
from diffbench.errors import UsageError

if TYPE_CHECKING:
    from diffbench.models.consent import Consent
    from diffbench.suite.gates import Comparing, FailOn, Margin


@click.command(short_help="Compare two runs sample by sample, with verdicts.")
@click.argument("base", type=click.Path(path_type=Path), shell_complete=completion.runs)
@click.argument("new", type=click.Path(path_type=Path), required=False, shell_complete=completion.runs)
@click.option("--by", metavar="AXIS", help="Rank the cells of BASE that differ in sampler, model, dtype or an option.")
@click.option("--metric", default="fid", show_default=True, metavar="METRIC", help="What --by ranks by.")
@click.option(
    "--gate",
    "gates",
    metavar="METRIC[=MARGIN]",
    multiple=True,
    help="A metric that decides, and how much worse it may be: fid=2%, kid=0.001, nfe.  "
    "[default: the suite's; else every quality metric but IS and memorisation, 1%, and NFE exactly]",
)
@click.option("--alpha", type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
              help="False alarms of the whole table.  [default: the suite's, else 0.01]")  # fmt: skip
@click.option("--adjust", type=click.Choice(["holm", "bh"]),
              help="holm (default): the chance of one false alarm; bh: their share among all.")  # fmt: skip
@click.option("--fail-on", type=click.Choice(["worse", "inconclusive", "nothing"]),
              help="What ends with exit code 1 or 3.  [default: the suite's, else worse]")  # fmt: skip
@click.option("--extend", type=click.IntRange(min=2), metavar="N",
              help="Buy samples for inconclusive cells, doubling them up to N on both sides.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Show rows that are the same, too.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write a comment for a pull request.")
@click.option(
    "--html", type=click.Path(path_type=Path), help="Write a page with pairs of the images that changed most."
)
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML.")
@allowing
@as_json
@self_test_options
def compare(
    base: Path,
    new: Path | None,
    by: str | None,
    metric: str,
    gates: tuple[str, ...],
    alpha: float | None,
    adjust: str | None,
    fail_on: FailOn | None,
    extend: int | None,
    everything: bool,
    markdown: Path | None,
    html: Path | None,
    junit: Path | None,
    as_json: bool,
    self_test: bool,
    consent: Consent,
    **of_self_test: Any,
) -> None:
    """Compare BASE (a run folder or a baseline file) and the run folder NEW: cells by meaning, samples by index.

    Sample i of both starts from the same noise, so differences are paired. Each metric is BETTER, SAME (inside the
    margin), WORSE or INCONCLUSIVE. A single folder is compared with the baseline of its suite (`compare: {baseline:
    …}`), whose gates hold unless --gate says otherwise. Exit codes: 0 fine, 1 worse, 3 something is missing on either
    side, can't be tested, or is inconclusive (with --fail-on inconclusive), 2 the scores can't be compared, 4 a
    baseline or a folder is missing or can't be read. With --by, BASE is ranked within itself: in bold the cells that
    can't be told from the best of their budget, the true best among them with a chance of 95%.
    """
    if self_test:
        if new is not None or by is not None:
            raise UsageError("--self-test samples the suite of one run again; give one folder")
        chosen = [metric for metric, _ in map(_gate, gates)]
        run_self_test(
            base, chosen, 0.01 if alpha is None else alpha, adjust or "holm", as_json, consent=consent, **of_self_test
        )
        return
    if by is not None:
        if new is not None:
            raise UsageError("--by compares the cells of one run; give one folder")
        _rank(base, metric, by, as_json)
        return
    from diffbench.comparison.baseline import open_side
    from diffbench.comparison.compare import compare as compare_sides
    from diffbench.comparison.side import RunSide

    run = base if new is None else new
    if run.is_file():
        raise UsageError(f"{run} is a file: a baseline goes first, and the run that is judged is a folder")
    wanted = _wanted(run)
    if new is None:
        if wanted is None:
            raise UsageError(f"compare takes two runs, one and --by, or one whose suite has a baseline; {run} has none")
        base = near(wanted.baseline)
    margins = dict(_gate(text) for text in gates) or (wanted.margins if wanted else None)
    alpha = alpha if alpha is not None else wanted.alpha if wanted else 0.01
    shared = adjust or (wanted.adjust if wanted else "holm")
    adjusted: Literal["holm", "bh"] = "bh" if shared == "bh" else "holm"
    sides = open_side(base), RunSide.open(run)
    if extend is None:
        found = compare_sides(*sides, margins, alpha, adjusted)
    elif not isinstance(sides[0], RunSide):
        raise UsageError(f"--extend samples both sides, and {base} is a baseline file; give the run folder")
    else:
        from diffbench.runner.extend import extend as more

        found = more(sides[0], sides[1], extend, margins, alpha, adjusted, consent=consent)
    fails = fail_on or (wanted.fail_on if wanted else "worse")
    conclude(found, sides, Outputs(everything, as_json, markdown, html, junit), fails)


def _wanted(run: Path) -> Comparing | None:
    """What the run's suite says of comparing, if it says anything."""
    from diffbench.suite.read import read_comparing

    path = run / "suite.yaml"
    return read_comparing(path) if path.is_file() else None


def _rank(run: Path, metric: str, by: str, as_json: bool) -> None:
    from diffbench.comparison.ranking import rank
    from diffbench.comparison.side import RunSide
    from diffbench.report.comparison import ranking_rows, ranking_table
    from diffbench.report.tables import rich_table

    found = rank(RunSide.open(run), metric, by)
    if as_json:
        rows_as_json(ranking_rows(found))
    else:
        draw(rich_table(ranking_table(found)))


def _gate(text: str) -> tuple[str, Margin]:
    from diffbench.document.words import unknown
    from diffbench.suite.gates import EXACT, GATED, NFE, Margin

    metric, given, size = text.partition("=")
    if metric not in GATED:
        raise UsageError(f"--gate {text!r}: {unknown('metric', metric, GATED)}")
    if metric == NFE and size not in ("", EXACT):
        raise UsageError(f"--gate {text!r}: evaluations are {EXACT}; give --gate {NFE}")
    try:
        return metric, Margin.read(size) if given and metric != NFE else Margin()
    except ValueError as error:
        raise UsageError(f"--gate {text!r}: {error}") from None


@click.command(short_help="Store a run's scores in one small file, to compare with.")
@run_argument
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file, replaced if it is there.")
@click.option("--images", type=click.IntRange(0, 1000), default=8, show_default=True, help="Kept images of each cell.")
@as_json
def baseline(run_folder: Path, out: Path, images: int, as_json: bool) -> None:
    """Store what a comparison needs of RUN in one file, small enough to commit.

    It holds the results table, the values per sample of every score, some images of every cell, and what networks and
    samplers answered to the probe: `diffbench compare FILE NEW` says the same as with the run folder.
    """
    from diffbench.comparison.baseline import write_baseline
    from diffbench.comparison.side import RunSide
    from diffbench.document.words import counted

    side = RunSide.open(run_folder)
    size = write_baseline(side, out, images)
    missing = [row for row in side.rows if row["status"] in ("incomplete", "failed")]
    cells = len({row["cell"] for row in side.rows})
    if as_json:
        rows_as_json([{"path": str(out), "bytes": size, "cells": cells, "rows_missing": len(missing)}])
        return
    say(f"{out}: {size / 1e6:.2f} MB, {counted(cells, 'cell')}")
    if missing:
        say(f"{counted(len(missing), 'row')} of it are incomplete or failed: nothing can be compared with them")
