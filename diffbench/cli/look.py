"""``validate``, ``plan`` and ``status``: what a suite will do and what a run has done; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from diffbench.cli.group import allowing, as_json, only, overrides, run_argument, suite_argument
from diffbench.cli.printing import draw, rows_as_json, say
from diffbench.errors import IncompleteRun, StoreError, SuiteError, UsageError
from diffbench.models.consent import Consent


@click.command(short_help="Check SUITE without running anything.")
@suite_argument
@only
@overrides
@as_json
def validate(suite: str, only: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check SUITE without running anything: also that its real data is there, and that diffusers takes its configs.

    With --json: one row, whose `problems` have line, column (0 where there is none) and message.
    """
    from diffbench.document.words import counted
    from diffbench.suite.plan import plan
    from diffbench.suite.read import find_suite, read_suite

    try:
        cells = plan(read_suite(find_suite(suite), overrides, _refusal), only)
    except SuiteError as error:
        if as_json:
            rows_as_json([{"suite": suite, "fine": False, "problems": [asdict(one) for one in error.problems]}])
        raise
    skipped = Counter(cell.skip for cell in cells if cell.skip is not None)
    if as_json:
        rows_as_json([{"suite": suite, "fine": True, "problems": [], "cells": len(cells), "skipped": dict(skipped)}])
        return
    left_out = f", {skipped.total()} of them skipped" if skipped else ""
    say(f"{suite}: fine; {counted(len(cells), 'cell')}{left_out}")
    for reason, count in skipped.items():
        say(f"  {count} skipped: {reason}")


def _refusal(scheduler: str, config: Mapping[str, Any]) -> str | None:
    from diffbench.samplers.diffusers_scheduler import refusal  # imports diffusers

    return refusal(scheduler, config)


@click.command(short_help="Show what a run would do: cells, evaluations, disk, time.")
@suite_argument
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/<suite name>]")
@click.option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:<index>; only for --probe.")
@only
@overrides
@click.option("--probe", is_flag=True, help="Load the models and time a few batches on this device.")
@click.option("--on", metavar="DEVICE", help='Time on another device, by its datasheet: a100, h100 …, or "60 TFLOP/s".')
@click.option("--utilisation", metavar="SHARE", help="Share of that device's peak that networks reach.  [default: 30%]")
@allowing
@as_json
def plan(
    suite: str,
    out: Path | None,
    device: str | None,
    only: str | None,
    overrides: tuple[str, ...],
    probe: bool,
    on: str | None,
    utilisation: str | None,
    as_json: bool,
    consent: Consent,
) -> None:
    """Show what `run` would do: cells, evaluations, samples, disk, time; what is stored, what is missing and why.

    Times come from earlier runs beside this one; with --probe from a few batches on this device; with --on from what
    the cards say that an evaluation costs, for which neither weights nor device have to be there.
    """
    if on is not None and probe or utilisation is not None and on is None:
        raise UsageError("--on and --probe exclude each other" if probe else "--utilisation goes with --on")
    from diffbench.status.cost import earlier_rates
    from diffbench.status.show import plan_rows, plan_summary, states_table
    from diffbench.status.stated import StatedDevice
    from diffbench.status.stored import state_of
    from diffbench.suite.plan import plan as plan_suite
    from diffbench.suite.read import find_suite, read_suite
    from diffbench.suite.solution import solutions_of

    stated = None if on is None else StatedDevice.read(on, utilisation)
    spec = read_suite(find_suite(suite), overrides)
    run = out or Path("runs") / spec.name
    images = spec.run.keep.samples
    cells = plan_suite(spec, only)
    states = [state_of(run, cell, images, metrics=spec.metrics) for cell in [*cells, *solutions_of(cells)]]
    if probe:
        from diffbench.runner.speed import probe_device

        missing = [state.cell for state in states if state.samples_missing]
        rates = probe_device(missing, device or spec.run.device, consent)
    elif stated is not None:
        rates = stated.rates(state.cell for state in states if state.samples_missing)
    else:
        rates = earlier_rates(run)
    rows = plan_rows(states, rates, images)
    if as_json:
        rows_as_json(rows)
        return
    draw(states_table(rows))
    for line in plan_summary(rows, states, rates):
        say(line)


@click.command()
@run_argument
@click.option("--verify", is_flag=True, help="Hash every file of the run, and name those that were damaged.")
@as_json
def status(run_folder: Path, verify: bool, as_json: bool) -> None:
    """Show what of RUN is done, missing, stale or failed, and why.

    Exit code 3 if anything is missing, 4 if --verify finds damage.
    """
    from diffbench.document.words import counted
    from diffbench.status.code import sampling_code
    from diffbench.status.cost import earlier_rates
    from diffbench.status.show import plan_rows, states_table, status_summary
    from diffbench.status.stored import state_of
    from diffbench.store.manifest import damage
    from diffbench.store.sessions import read_sessions
    from diffbench.suite.of_run import suite_file, suite_of_run
    from diffbench.suite.plan import plan as plan_suite
    from diffbench.suite.solution import solutions_of

    path, spec = suite_file(run_folder), suite_of_run(run_folder)
    images = spec.run.keep.samples
    cells = plan_suite(spec)
    states = [state_of(run_folder, cell, images, verify, spec.metrics) for cell in [*cells, *solutions_of(cells)]]
    rows = plan_rows(states, earlier_rates(run_folder), images)
    damaged = list(damage(run_folder)) if verify else []
    if as_json:
        rows_as_json(rows)
    else:
        draw(states_table(rows))
    for line in damaged:
        say(line, err=True)
    made_by = {str(session.get("code")) for session in read_sessions(run_folder) if session.get("cells")}
    if made_by - {sampling_code()}:
        said = "samples were made by other code than today's; run, which asks the probe, tells if they stay"
        say(f"{run_folder}: {said}", err=as_json)
    command = f"diffbench run {path} --out {run_folder}"
    for line in status_summary(rows, run_folder, command):
        say(line, err=as_json)
    if damaged:
        raise StoreError(f"{counted(len(damaged), 'damaged file')}; {command} makes them again")
    if any(row["state"] not in ("done", "skipped", "same") for row in rows):
        raise IncompleteRun("the run is not complete")
