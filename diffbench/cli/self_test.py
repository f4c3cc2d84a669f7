"""``compare --self-test``: its options, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffbench.cli.group import options
from diffbench.cli.printing import rows_as_json, say, show
from diffbench.errors import Regression

if TYPE_CHECKING:
    from diffbench.runner.self_test import SelfTest

self_test_options = options(
    click.option("--self-test", "self_test", is_flag=True,
                 help="Sample the suite of BASE again with another seed: does compare alarm where nothing differs?"),
    click.option("--suites", type=click.IntRange(1, 100_000), default=200, show_default=True,
                 help="--self-test: suites without a difference."),
    click.option("--seconds", type=click.FloatRange(0, min_open=True), default=600.0, show_default=True,
                 help="--self-test: time box of these suites, sampling apart."),
    click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="--self-test: the other seed.  [default: next one]"),
    click.option("--out", type=click.Path(path_type=Path),
                 help="--self-test: folder of the other run.  [default: BASE-selftest-SEED]"),
    click.option("--device", metavar="DEVICE", help="--self-test: auto, cpu, cuda or cuda:<index>."),
)  # fmt: skip


def run_self_test(run: Path, gates: list[str], alpha: float, adjust: str, as_json: bool, **options: Any) -> None:
    """Run it, print what it found, and raise Regression if compare alarms too often."""
    from diffbench.runner.self_test import self_test

    found = self_test(
        run, gates=gates, alpha=alpha, adjust="bh" if adjust == "bh" else "holm", quiet=as_json,
        tell=lambda line: say(line, err=True), **options,
    )  # fmt: skip
    if as_json:
        rows_as_json([{**vars(rate), "fine": rate.fine} for rate in found.rates])
    else:
        _show(found, alpha)
    if not found.fine:
        rate = found.rates[0]
        said = f"{found.told_apart} scores of two runs of one suite are told apart"
        if not rate.fine:
            said = f"{max(rate.worse, rate.better):.1%} of suites without a difference alarm, bound {rate.bound:.1%}"
        raise Regression(f"{found.run}: {said}; its verdicts can't be trusted at {alpha:g}")


def _show(found: SelfTest, alpha: float) -> None:
    columns = ("scores", "a suite", "suites", "WORSE", "BETTER", "bound", "spread / error")
    rows = [
        (rate.name, rate.scores, rate.suites, f"{rate.worse:.1%}", f"{rate.better:.1%}", f"{rate.bound:.1%}",
         "–" if rate.spread is None else f"{rate.spread:.2f}")
        for rate in found.rates
    ]  # fmt: skip
    show([dict(zip(columns, row, strict=True)) for row in rows], False, columns)
    gated = sum(row.gated for row in found.direct.rows)
    say(f"- {found.run} and {found.again} as they are: {found.told_apart} of {gated} gated scores told apart")
    say("- WORSE, BETTER: share of suites with one at a margin of 0, each a false alarm; bound: "
        f"{alpha:g} and two binomial standard errors")  # fmt: skip
    say("- spread / error: of the differences, by what the standard errors say; above 1 they are too small")
    if found.cells < found.planned:
        say(f"- {found.cells} of {found.planned} cells: more do not fit the time box (--seconds)")
    for note in found.notes:
        say(f"- {note}")
    say("Fine." if found.fine else "Not fine.")
