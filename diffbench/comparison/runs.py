"""The run folders of a history, named apart and in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diffbench.comparison.side import RunSide
from diffbench.errors import UsageError


@dataclass(frozen=True)
class RunEntry:
    """A run of a history: ``commit`` is that of diffbench's own checkout, with a + where it was changed since."""

    side: RunSide
    label: str
    started: str | None
    commit: str | None
    code: str | None


def open_runs(folders: Sequence[Path], sort: Literal["given", "time"] = "given") -> tuple[RunEntry, ...]:
    """Open run folders, in the order given or by when their samples were made; named apart.

    Raises:
        UsageError: a folder is given twice, or sorting by time is asked for and a run does not record any.
        StoreError: a folder holds no results, or they are damaged.
    """
    whole = [folder.absolute() for folder in folders]
    if len(set(whole)) < len(whole):
        raise UsageError("a history takes every run once; one is given twice")
    labels = folder_labels(whole)
    entries = []
    for folder, label in zip(folders, labels, strict=True):
        side = RunSide.open(folder)
        git = side.provenance.get("git") or {}
        commit = f"{str(git['commit'])[:9]}{'+' if git.get('dirty') else ''}" if git.get("commit") else None
        started = side.provenance.get("started")
        entries.append(RunEntry(side, label, started and str(started), commit, side.code or None))
    if sort == "time":
        if unknown := [entry.label for entry in entries if entry.started is None]:
            raise UsageError(f"{unknown[0]} does not record when it was made; give the runs in order instead")
        entries.sort(key=lambda entry: entry.started or "")
    return tuple(entries)


def folder_labels(folders: Sequence[Path]) -> list[str]:
    """Each folder's name, with as many folders above it as it takes to tell all apart."""
    deepest = max((len(folder.parts) for folder in folders), default=1)
    for depth in range(1, deepest + 1):
        labels = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(labels)) == len(labels):
            return labels
    return [str(folder) for folder in folders]
