"""What a suite or a run folder holds, in a few lines; nothing is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffbench.document.source import read_document
from diffbench.document.words import counted
from diffbench.errors import UsageError
from diffbench.status.description import Description, told
from diffbench.status.show import duration
from diffbench.status.stored import state_of
from diffbench.store.sessions import read_sessions
from diffbench.suite.of_run import suite_file, suite_of_run
from diffbench.suite.plan import Cell, plan
from diffbench.suite.read import read_suite
from diffbench.suite.spec import Suite


def describe_suite(name: str, path: Path, command: str) -> Description:
    """A suite's axes and what they come to; ``command`` runs it. Raises SuiteError."""
    suite = read_suite(path)
    cells = plan(suite)
    facts = {"path": str(path), **_of_suite(suite, cells)}
    lines = [*_suite_lines(suite, cells), ("file", str(path)), ("command", command)]
    return Description("suite", name, _comment(path), told(lines), facts)


def _of_suite(suite: Suite, cells: Sequence[Cell]) -> dict[str, Any]:
    todo = [cell for cell in cells if cell.skip is None and cell.same_as is None]
    return {
        "models": [one.id for one in suite.models], "samplers": [one.id for one in suite.samplers],
        "budgets": {kind: list(values) for kind, values in suite.budgets.model_dump().items() if values},
        "metrics": [one.name for one in suite.metrics], "samples": suite.samples.n, "seed": suite.seed,
        "cells": len(cells), "skipped": sum(cell.skip is not None for cell in cells),
        "evaluations": sum((cell.nfe or 0) * cell.n for cell in todo),
        "baseline": None if suite.compare is None else suite.compare.baseline,
    }  # fmt: skip


def _suite_lines(suite: Suite, cells: Sequence[Cell]) -> list[tuple[str, str]]:
    facts = _of_suite(suite, cells)
    adaptive = sum(cell.nfe is None and cell.skip is None for cell in cells)
    states = [(facts["skipped"], "skipped"), (sum(c.same_as is not None for c in cells), "the same as another")]
    apart = "".join(f", {count} {word}" for count, word in states if count)
    return [
        ("models", ", ".join(facts["models"])),
        ("samplers", ", ".join(facts["samplers"])),
        ("budgets", "; ".join(f"{kind} {' '.join(map(str, values))}" for kind, values in facts["budgets"].items())),
        ("metrics", ", ".join(facts["metrics"])),
        ("samples", f"{suite.samples.n:,} a cell, seed {suite.seed}"),
        ("cells", f"{len(cells)}{apart}"),
        ("evaluations", f"{facts['evaluations']:,}" + (f", and those of {adaptive} adaptive cells" * bool(adaptive))),
        ("baseline", facts["baseline"] or ""),
    ]


def describe_run(folder: Path) -> Description:
    """A run's suite, what is sampled of it, when and on what; of a script's own objects, what the run folder tells.

    Raises StoreError: it is no run folder.
    """
    path = suite_file(folder)
    try:
        suite = suite_of_run(folder)
    except UsageError:
        return _run_of_objects(folder)
    cells = plan(suite)
    own = [cell for cell in cells if cell.same_as is None and cell.skip is None]
    states = Counter(state_of(folder, cell, suite.run.keep.samples, metrics=suite.metrics).word for cell in own)
    done = states["done"] == len(own)
    other = ", ".join(f"{count} {word}" for word, count in states.items() if word != "done")
    sessions, session_facts = _sessions(folder)
    lines = [
        *_suite_lines(suite, cells),
        ("sampled", f"all {len(own)} cells" if done else f"{states['done']} of {len(own)} cells; {other}"),
        *sessions,
        ("goes on with", "" if done else f"diffbench run {path} --out {folder}"),
    ]
    made = {"sampled": states["done"], "to_sample": len(own), **session_facts}
    facts = {"path": str(folder), "suite": suite.name, **_of_suite(suite, cells), **made}
    return Description("run", str(folder), f"Suite {suite.name}.", told(lines), facts, folder=folder)


def _run_of_objects(folder: Path) -> Description:
    """A run whose suite names models or samplers that are not here; its suite file has their ids."""
    said = read_document(suite_file(folder)).value
    said = said if isinstance(said, dict) else {}
    ids = {axis: [str(one["id"]) for one in said.get(axis) or () if isinstance(one, dict) and "id" in one]
           for axis in ("models", "samplers")}  # fmt: skip
    sessions, session_facts = _sessions(folder)
    lines = [
        *((axis, ", ".join(names)) for axis, names in ids.items()),
        *sessions,
        ("goes on with", "the script that made it, if it was given that script's own objects"),
    ]
    facts = {"path": str(folder), "suite": said.get("name"), **ids, **session_facts}
    summary = "Its suite names what is not here; diffbench status has the details."
    return Description("run", str(folder), summary, told(lines), facts, folder=folder)


def _sessions(folder: Path) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """When, on what and by which code a run was sampled, and where its report is: as lines and as facts."""
    sessions = [session for session in read_sessions(folder) if session.get("cells")]
    seconds = sum(session["seconds"].get("total", 0.0) for session in sessions)
    last: Mapping[str, Any] = sessions[-1] if sessions else {}
    device, packages = last.get("device") or {}, last.get("packages") or {}
    lines = [
        ("when", f"{sessions[0]['started'][:16]} to {(last.get('finished') or '…')[:16]} UTC, "
                 f"{counted(len(sessions), 'session')}, {duration(seconds)} in all" if sessions else ""),
        ("on", f"{device['name']} ({device['type']}), torch {packages.get('torch')}" if device else ""),
        ("by", f"diffbench {last['diffbench']}, sampling code {str(last['code'])[:12]}" if last else ""),
        ("report", str(folder / "report.html") if (folder / "report.html").is_file() else "not drawn"),
    ]  # fmt: skip
    return lines, {"sessions": len(sessions), "seconds": round(seconds, 3), "device": device.get("name"),
                   "code": last.get("code"), "diffbench": last.get("diffbench")}  # fmt: skip


def _comment(path: Path) -> str:
    """The first sentences of a suite's file: its leading comment up to an empty line of it."""
    words: list[str] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        text = line.strip()
        if not text.startswith("#") or not text.strip("# ") or "yaml-language-server" in text:
            if words:
                break
            continue
        words.append(text.strip("# "))
    return " ".join(words).rstrip(":")
