"""Plans and states of runs in words and tables, for the terminal and as rows of JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from diffbench.columns import Columns
from diffbench.document.words import counted, swept
from diffbench.inert import printable
from diffbench.status.cost import Rates, bytes_of
from diffbench.status.stored import CellState
from diffbench.suite.solution import NAME as SOLUTION


def duration(seconds: float) -> str:
    """``0.4 s``, ``35 s``, ``3 min 10 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    for unit, size, below, small in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def size(count: float) -> str:
    """Bytes in powers of ten: ``1.5 kB``, ``420 MB``, ``3.1 TB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def plan_rows(states: Sequence[CellState], rates: Rates, images: int) -> list[dict[str, Any]]:
    """One row a cell: what it is, what is stored, and what is still to come; unknown seconds are None."""
    return [_row(state, rates, images) for state in states]


def _row(state: CellState, rates: Rates, images: int) -> dict[str, Any]:
    cell = state.cell
    alias = cell.same_as is not None
    missing = 0 if alias else state.samples_missing
    return {
        "cell": cell.id,
        "model": cell.model,
        "sampler": cell.sampler,
        "options": cell.options,
        "grid": cell.grid_label,
        "budget_kind": cell.budget_kind,
        "budget": cell.budget,
        "steps": cell.steps,
        "nfe": cell.nfe,
        "n": cell.n,
        "state": "same" if alias else state.word,
        "same_as": cell.same_as,
        "shards": state.total,
        "shards_done": state.done,
        "samples_missing": missing,
        "evaluations_missing": None if cell.nfe is None and missing else missing * (cell.nfe or 0),
        "bytes": 0 if alias or cell.skip is not None else bytes_of(cell, images),
        "seconds": rates.seconds([(cell, missing)]),
        "reason": state.why or None,
    }


def states_table(rows: Sequence[dict[str, Any]]) -> Columns:
    """One line a cell, all of it printable, model by model; reasons stand below the table (:func:`reasons`)."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    lines = [tuple(map(printable, _line(row))) for row in sorted(rows, key=lambda row: models.index(row["model"]))]
    names = ("model", "sampler", "budget", "NFE", "samples to do", "evaluations", "time", "state")
    drawn: list[list[Text]] = []
    for before, line in zip([None, *lines], lines, strict=False):
        if before is not None and before[0] != line[0]:
            drawn.append([])
        again = before is not None and before[0] == line[0]
        drawn.append([Text(text) for text in ("" if again else line[0], *line[1:])])
    return Columns(names, drawn, numbers=range(3, 7), whole=(2,))


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    todo, seconds = row["samples_missing"], row["seconds"]
    return (
        row["model"],
        " ".join([row["sampler"], *(swept(key, value) for key, value in row["options"].items())]),
        "adaptive" if row["budget"] is None else f"{row['budget_kind']} {row['budget']}",
        "–" if row["nfe"] is None else str(row["nfe"]),
        f"{todo:,}" if todo else "–",
        "–" if not todo else "?" if row["evaluations_missing"] is None else f"{row['evaluations_missing']:,}",
        "–" if not todo else "?" if seconds is None else duration(seconds),
        _state(row),
    )


def _state(row: Mapping[str, Any]) -> str:
    if row["same_as"]:
        model, _, rest = row["same_as"].partition("/")
        return f"same as {rest}" if model == row["model"] else f"same as {row['same_as']}"
    return f"{row['shards_done']} of {row['shards']} shards" if row["state"] == "partly" else row["state"]


def reasons(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Why cells are not done, equal reasons told together; that nothing was sampled yet needs no reason."""
    counts = Counter((row["state"], row["reason"]) for row in rows if row["reason"] and not row["same_as"])
    told = [(state, reason, count) for (state, reason), count in counts.items() if state != "missing"]
    return [f"{counted(count, 'cell')} {state}: {reason}" for state, reason, count in told]


def plan_summary(rows: Sequence[dict[str, Any]], states: Sequence[CellState], rates: Rates) -> list[str]:
    """What is to be fetched; totals: cells, samples, evaluations, disk, seconds and where they come from."""
    counts = Counter(row["state"] for row in rows)
    samples = sum(row["samples_missing"] for row in rows)
    evaluations = counted(sum(row["evaluations_missing"] or 0 for row in rows), "evaluation")
    if adaptive := sum(row["evaluations_missing"] is None for row in rows):
        evaluations += f", and those of {counted(adaptive, 'adaptive cell')}, which only a run can tell"
    said = ", ".join(f"{count} {word}" for word, count in counts.items())
    lines = reasons(rows) + _elsewhere(states)
    lines.append(f"{counted(len(rows), 'cell')} ({said}); to do: {counted(samples, 'sample')}, {evaluations}")
    lines += _solutions(states, rates)
    lines.append(f"disk when done: {size(sum(row['bytes'] for row in rows))}")
    if samples:
        lines.append(_time(states, rates))
    return lines


def _elsewhere(states: Sequence[CellState]) -> list[str]:
    """Models whose files have to be fetched before a run, with what to get and where to put it; a line each."""
    ids: dict[str, dict[str, None]] = {}
    for cell in (state.cell for state in states if state.samples_missing):
        if cell.card.missing is not None:
            ids.setdefault(cell.card.missing, {})[cell.model] = None
    return [f"to fetch first: {', '.join(models)}: {missing}" for missing, models in ids.items()]


def _solutions(states: Sequence[CellState], rates: Rates) -> list[str]:
    """What of the work is for converged solutions, which are in no table of results."""
    own = [state for state in states if state.cell.sampler == SOLUTION]
    if not own:
        return []
    work = [(state.cell, state.samples_missing) for state in own if state.samples_missing]
    evaluations, seconds = sum((cell.nfe or 0) * count for cell, count in work), rates.seconds(work)
    cost = f"{evaluations:,} of these evaluations" + ("" if seconds is None else f", about {duration(seconds)}")
    return [f"{len(own)} of these cells are converged solutions for solver errors: {cost if work else 'nothing to do'}"]


def _time(states: Sequence[CellState], rates: Rates) -> str:
    work = [(state.cell, state.samples_missing) for state in states if state.cell.same_as is None]
    seconds = rates.seconds((cell, count) for cell, count in work if count and cell.nfe is not None)
    if seconds is not None:
        apart = "timing pass and scoring" if rates.apart is None else f"{rates.apart}, timing pass and scoring"
        if any(count and cell.nfe is None for cell, count in work):
            apart = f"adaptive cells, {apart}"
        return f"time: about {duration(seconds)} on {rates.device} (by {rates.basis}), {apart} apart"
    if rates.lacking is not None:
        return f"time: unknown; {rates.lacking}"
    unknown = sorted({cell.model for cell, count in work if count and rates.of(cell) is None})
    where = f"no earlier run on {rates.device} tells" if rates.device else "no earlier run tells"
    verb = "is" if len(unknown) == 1 else "are"
    return f"time: unknown; {where} how fast {', '.join(unknown)} {verb} at this batch size; --probe measures it"


def status_summary(rows: Sequence[dict[str, Any]], run: Path, command: str) -> list[str]:
    """What is done of a run, and what to do about the rest."""
    counts = Counter(row["state"] for row in rows if row["same_as"] is None and row["state"] != "skipped")
    todo = counts.total() - counts["done"]
    if not todo:
        return [*reasons(rows), f"{run}: {counted(counts['done'], 'cell')}, all sampled"]
    return [*reasons(rows), f"{run}: {todo} of {counts.total()} cells are not complete; {command} goes on with them"]
