"""``run``, ``merge`` and ``report``: what writes a run folder."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbench.cli import completion
from diffbench.cli.expecting import require_met, tell_expected, with_expectations
from diffbench.cli.gating import end, hold, near, tell
from diffbench.cli.group import allowing, as_json, only, overrides, suite_argument
from diffbench.cli.printing import draw, rows_as_json, say
from diffbench.errors import CellFailed, IncompleteRun, UsageError

if TYPE_CHECKING:
    from diffbench.comparison.compare import Comparison
    from diffbench.models.consent import Consent
    from diffbench.runner.engine import RunSummary
    from diffbench.status.stored import Part
    from diffbench.suite.gates import Comparing
    from diffbench.suite.spec import Suite

_SMOKE_STEPS = 64
_SMOKE_SAMPLES, _SMOKE_SECONDS = 16, 5.0


@click.command(short_help="Sample, time and score a suite, and report; again: resume.")
@suite_argument
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/<suite name>]")
@click.option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:<index>.")
@only
@overrides
@click.option("--smoke", is_flag=True, help="A tiny version of the suite, a few samples a cell: does it all work?")
@click.option("--force", is_flag=True, help="Make the samples again, whatever is stored and whatever code made it.")
@click.option(
    "--shard",
    "part",
    metavar="I/N",
    help="Sample only part I of N (counted from 0 or from 1), for job arrays; the command without it finishes the run.",
)
@click.option("--no-compare", is_flag=True, help="Do not compare with the suite's baseline.")
@allowing
@as_json
@click.option("--quiet", is_flag=True, help="No progress.")
def run(
    suite: str,
    out: Path | None,
    device: str | None,
    only: str | None,
    overrides: tuple[str, ...],
    smoke: bool,
    force: bool,
    part: str | None,
    no_compare: bool,
    as_json: bool,
    quiet: bool,
    consent: Consent,
) -> None:
    """Run SUITE (a YAML file, or the name of a shipped suite such as quickstart).

    The same command resumes an interrupted run; finished samples are never made twice. A suite that names a baseline is
    compared with it (exit code 1 if worse; see diffbench compare), into comparison.md and comparison.html. Scores that
    it expects are put beside those measured (exit code 1 if a verified one is missed), also into expectations.csv.
    """
    from diffbench.suite.read import find_suite, read_suite

    path = find_suite(suite)
    spec = read_suite(path, overrides)
    spec = read_suite(path, (*overrides, *_smaller(spec))) if smoke else spec
    if smoke and out is None:
        out = Path("runs") / f"{spec.name}-smoke"
    spec = _coarsely_solved(spec) if smoke else spec
    own_part = None if part is None else _part(part)
    comparing = None if no_compare or smoke or own_part else spec.compare
    if comparing is not None:
        _require_baseline(comparing, out or Path("runs") / spec.name)

    from diffbench.runner.engine import execute

    summary = execute(spec, out, device, only, quiet, force=force, part=own_part, consent=consent)
    incomplete, found = False, None
    if summary.scored:
        incomplete = _show_results(summary, as_json)
        found = None if comparing is None else hold(summary.folder, comparing)
        if found is not None:
            _show_comparison(found, summary.folder, as_json)
    elif as_json:
        rows_as_json([{"part": str(own_part), "folder": str(summary.folder), "shards_sampled": summary.sampled}])
    else:
        say(f"Part {own_part}: {summary.sampled} shards sampled now. When all parts are done, the same command without")
        say(f"--shard (or diffbench merge, for folders of their own) finishes {summary.folder}.")
    if summary.failed:
        reasons = "; ".join(sorted(set(summary.failed.values())))
        raise CellFailed(f"{len(summary.failed)} of {len(summary.cells)} cells failed: {reasons}")
    if incomplete:
        raise IncompleteRun("some cells are incomplete; the same command goes on with them")
    if summary.scored:
        require_met(summary.folder)
    if found is not None and comparing is not None:
        end(found, comparing.fail_on)


def _require_baseline(comparing: Comparing, out: Path) -> None:
    """Before hours are spent. Raises StoreError, or UsageError for a run that would be held to itself."""
    from diffbench.comparison.baseline import open_side

    if Path(comparing.baseline).resolve() == out.resolve():
        raise UsageError(f"compare.baseline is the run's own folder, {out}; give another --out")
    open_side(near(comparing.baseline))


def _show_comparison(found: Comparison, folder: Path, as_json: bool) -> None:
    if not as_json:
        say(f"Compared with {found.base}: {folder / 'comparison.html'}, {folder / 'comparison.md'}")
        tell(found)


def _smaller(spec: Suite) -> tuple[str, ...]:
    """Overrides that leave a few samples a cell and a few seconds of timing."""
    samples, seconds = min(_SMOKE_SAMPLES, spec.samples.n), min(_SMOKE_SECONDS, spec.timing.limit(0.0))
    return (f"samples={samples}", f"timing.seconds={seconds:g}", "timing.batch_size=2", f"run.keep.samples={samples}")


def _coarsely_solved(spec: Suite) -> Suite:
    """The suite with converged solutions that take seconds, for metrics that need one."""
    metrics = []
    for metric in spec.metrics:
        coarse = {
            key: min(value, _SMOKE_STEPS) if key == "reference_steps" else value
            for key, value in metric.options.items()
        }
        metrics.append(metric.model_copy(update={"options": coarse}))
    return spec.model_copy(update={"metrics": tuple(metrics)})


def _show_results(summary: RunSummary, as_json: bool) -> bool:
    """Draw what is out of date and print the table; returns whether cells are incomplete."""
    from diffbench import results
    from diffbench.report.folder import RunFolder
    from diffbench.report.frame import cells
    from diffbench.report.gaps import unscored
    from diffbench.report.page import draw as draw_report
    from diffbench.report.tables import terminal_table
    from diffbench.store.manifest import damaged_derived, write_manifest

    page, source = summary.folder / "report.html", summary.folder / results.PARQUET
    older = any(_older(page, path) for path in (source, summary.folder / "suite.yaml"))
    if summary.sampled or older or any(damaged_derived(summary.folder)):
        drawn = draw_report(summary.folder)
        write_manifest(summary.folder, only=[path.relative_to(summary.folder).as_posix() for path in drawn])
    table = results.read(summary.folder)
    if as_json:
        rows_as_json(with_expectations(results.rows(table), summary.folder))
    else:
        draw(terminal_table(table, RunFolder(summary.folder, []).worse))
        for sentence in unscored(cells(table)):
            say(sentence)
        if not all(cell.skip for cell in summary.cells) and not summary.sampled and not summary.failed:
            say("Every shard was there already; nothing was sampled.")
        tell_expected(summary.folder)
        say(f"Report: {summary.folder / 'report.html'}   table: {summary.folder / results.PARQUET}")
    return bool((table["status"] == "incomplete").any())


def _part(text: str) -> Part:
    from diffbench.status.stored import Part

    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if match is None or int(match[2]) < 1 or int(match[1]) > int(match[2]):
        raise UsageError(f"--shard {text!r}: expected I/N with I from 0 to N - 1, or from 1 to N, such as 3/32")
    return Part(int(match[1]), int(match[2]))


def _older(page: Path, source: Path) -> bool:
    """Whether a page is missing or was written before its source."""
    return not page.exists() or page.stat().st_mtime_ns < source.stat().st_mtime_ns


@click.command(short_help="Bring parts of a run together in one folder.")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path),
                shell_complete=completion.runs)  # fmt: skip
@as_json
def merge(out: Path, runs: tuple[Path, ...], as_json: bool) -> None:
    """Bring the samples of RUN... (parts of one suite) together in the run folder OUT.

    Every file is checked on the way; parts that other code made are refused. Then `diffbench run` finishes OUT.
    """
    from diffbench.runner.merge import merge_runs

    merged = merge_runs(out, runs)
    for line in merged.skipped:
        say(f"left out: {line}", err=True)
    if as_json:
        rows_as_json([{"run": str(out), **asdict(merged)}])
    else:
        say(f"{out}: {merged.copied} shards copied, {merged.present} were there already")
        say(f"diffbench run {out / 'suite.yaml'} --out {out} samples what is missing, times, scores and reports")
    if merged.skipped:
        raise IncompleteRun(f"{len(merged.skipped)} shards were left out")


@click.command(short_help="Draw figures, tables and pages of runs again, or of several together.")
@click.argument(
    "sources",
    metavar="SOURCE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    shell_complete=completion.runs,
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: the run's own; of several: report]")
@click.option("--theme", default="paper", show_default=True, help="paper, talk or dark.")
@as_json
def report(sources: tuple[Path, ...], out: Path | None, theme: str, as_json: bool) -> None:
    """Draw the figures, tables and pages of a run again, from its files; or of several SOURCEs in one report.

    A SOURCE is a run folder, or a results table (.parquet), such as that of `diffbench score`. What does not compare
    stands in panels and groups of its own, ids that mean different things get their run's name, and costs of different
    machines are told apart; the report says what and why.
    """
    from diffbench.document.words import counted
    from diffbench.report.page import draw_into
    from diffbench.report.sources import open_sources, report_folder
    from diffbench.store.manifest import write_manifest

    run = open_sources(sources)
    folder = report_folder(run, sources, out)
    drawn = draw_into(run, folder, theme)
    if folder == run.path:
        write_manifest(folder, only=[path.relative_to(folder).as_posix() for path in drawn])
    for sentence in run.told:
        say(sentence, err=True)
    if as_json:
        rows_as_json([{"path": str(path)} for path in drawn])
        return
    page, *others = drawn
    say(f"{page} and {counted(len(others), 'other file')} beside it")
