"""Cells that two sources share, score for score, as a run and a table that was written of it: drawn once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

from diffbench import results
from diffbench.document.words import counted
from diffbench.report.folder import RunFolder
from diffbench.report.frame import CELL_KEY, CellView


def without_doubles(parts: Mapping[str, RunFolder]) -> tuple[dict[str, RunFolder], list[str]]:
    """The sources, each cell in one of them alone, and a sentence for each two that shared some.

    Cells are the same if their ids, their scores and their costs are. They stay in the run folder rather than in a
    table alone, else in the source that was given first; a source that has nothing else is left out.
    """
    kept = dict(parts)
    told = []
    for one, other in combinations(sorted(parts, key=lambda part: not parts[part].suite_text), 2):
        if one not in kept or other not in kept:
            continue
        shared = _shared(kept[one], kept[other])
        if not any(score.value is not None for cell in shared for score in cell.scores.values()):
            continue
        told.append(f"{other} has {counted(len(shared), 'cell')} of {one} with the same scores, drawn once.")
        if len(shared) == len(kept[other].cells):
            del kept[other]
        else:
            kept[other] = _without(kept[other], shared)
    return {part: kept[part] for part in parts if part in kept}, told


def _shared(one: RunFolder, other: RunFolder) -> list[CellView]:
    """The other's cells that are the same in the one."""
    known = {cell.key: cell for cell in one.cells}
    return [cell for cell in other.cells if known.get(cell.key) == cell]


def _without(run: RunFolder, left_out: list[CellView]) -> RunFolder:
    """The run without these cells, in its table as well."""
    keys = {cell.key[: len(CELL_KEY)] for cell in left_out}
    rows = [] if run.table is None else results.rows(run.table)
    table = results.frame(row for row in rows if tuple(row[name] for name in CELL_KEY) not in keys)
    return replace(run, cells=[cell for cell in run.cells if cell.key[: len(CELL_KEY)] not in keys], table=table)
