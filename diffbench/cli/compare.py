"""``compare``: is NEW worse than BASE?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffbench.cli.group import as_json
from diffbench.cli.printing import draw, rows_as_json, say
from diffbench.cli.self_test import run_self_test, self_test_options
from diffbench.errors import Inconclusive, Regression, UsageError

if TYPE_CHECKING:
    from diffbench.compare.verdict import Margin


@click.command(short_help="Compare two runs sample by sample, with verdicts.")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path), required=False)
@click.option("--by", metavar="AXIS", help="Rank the cells of BASE that differ in sampler, model, dtype or an option.")
@click.option("--metric", default="fid", show_default=True, metavar="METRIC", help="What --by ranks by.")
@click.option(
    "--gate",
    "gates",
    metavar="METRIC[=MARGIN]",
    multiple=True,
    help="A metric that decides, and how much worse it may be: fid=2%, kid=0.001, nfe.  "
    "[default: every quality metric but IS and memorisation, 1%; NFE exactly]",
)
@click.option("--alpha", type=click.FloatRange(0, 0.5, min_open=True), default=0.01, show_default=True,
              help="False alarms of the whole table.")  # fmt: skip
@click.option("--adjust", type=click.Choice(["holm", "bh"]), default="holm", show_default=True,
              help="holm: the chance of one false alarm; bh: their share among all alarms.")  # fmt: skip
@click.option("--fail-on", type=click.Choice(["worse", "inconclusive", "nothing"]), default="worse", show_default=True,
              help="What ends with exit code 1 (worse) or 3 (inconclusive).")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Show rows that are the same, too.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write a comment for a pull request.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML.")
@as_json
@self_test_options
def compare(
    base: Path,
    new: Path | None,
    by: str | None,
    metric: str,
    gates: tuple[str, ...],
    alpha: float,
    adjust: str,
    fail_on: str,
    everything: bool,
    markdown: Path | None,
    junit: Path | None,
    as_json: bool,
    self_test: bool,
    **of_self_test: Any,
) -> None:
    """Compare the run folders BASE and NEW: cells by meaning, samples by index.

    Sample i of both starts from the same noise, so differences are paired. Each metric is BETTER, SAME (inside the
    margin), WORSE or INCONCLUSIVE. Exit codes: 0 fine, 1 worse, 3 inconclusive (as --fail-on says), 2 the scores can't
    be compared, 4 a folder can't be read. With --by, BASE is ranked within itself: in bold the cells that can't be told
    from the best of their budget, the true best among them with a chance of 95%.
    """
    if self_test:
        if new is not None or by is not None:
            raise UsageError("--self-test samples the suite of one run again; give one folder")
        chosen = [metric for metric, _ in map(_gate, gates)]
        run_self_test(base, chosen, alpha, adjust, as_json, **of_self_test)
        return
    if by is not None:
        if new is not None:
            raise UsageError("--by compares the cells of one run; give one folder")
        _rank(base, metric, by, as_json)
        return
    if new is None:
        raise UsageError("compare takes two runs, or one and --by")
    from diffbench.compare.comparison import compare as compare_sides
    from diffbench.compare.side import RunSide
    from diffbench.report.comparison import as_junit, as_markdown, as_rows, comparison_table, headline, notes
    from diffbench.report.tables import rich_table
    from diffbench.store.atomic import write_atomically

    margins = dict(_gate(text) for text in gates) or None
    found = compare_sides(RunSide.open(base), RunSide.open(new), margins, alpha, "bh" if adjust == "bh" else "holm")
    if markdown is not None:
        write_atomically(markdown, as_markdown(found).encode())
    if junit is not None:
        write_atomically(junit, as_junit(found))
    if as_json:
        rows_as_json(as_rows(found))
    else:
        content = comparison_table(found, everything)
        if content.rows:
            draw(rich_table(content, widest=40))
        say(headline(found))
        for note in notes(found):
            say(f"- {note}")
    if found.gate == "fail" and fail_on != "nothing":
        raise Regression(f"{found.count('WORSE')} gated scores of {new} are worse than those of {base}")
    if found.gate == "inconclusive" and fail_on == "inconclusive":
        raise Inconclusive(f"not every gated score of {new} could be told from {base}")


def _rank(run: Path, metric: str, by: str, as_json: bool) -> None:
    from diffbench.compare.ranking import rank
    from diffbench.compare.side import RunSide
    from diffbench.report.comparison import ranking_rows, ranking_table
    from diffbench.report.tables import rich_table

    found = rank(RunSide.open(run), metric, by)
    if as_json:
        rows_as_json(ranking_rows(found))
    else:
        draw(rich_table(ranking_table(found), widest=34))


def _gate(text: str) -> tuple[str, Margin]:
    from diffbench.catalog import COSTS, METRICS
    from diffbench.compare.comparison import NFE
    from diffbench.compare.verdict import Margin
    from diffbench.document.words import unknown

    metric, given, size = text.partition("=")
    known = (*METRICS, *COSTS, NFE)
    if metric not in known:
        raise UsageError(f"--gate {text!r}: {unknown('metric', metric, known)}")
    if not given:
        return metric, Margin()
    try:
        margin = Margin(float(size.removesuffix("%")) / (100 if size.endswith("%") else 1), size.endswith("%"))
    except ValueError:
        margin = Margin(-1.0)
    if not 0 <= margin.size < float("inf"):
        raise UsageError(f"--gate {text!r}: {size!r} is no margin; give a number such as 0.001, or a share such as 2%")
    return metric, margin
