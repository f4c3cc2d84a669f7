"""Expected beside measured, as a table and in words, from the run folder's ``expectations.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from diffbench.catalog import COSTS, METRICS
from diffbench.comparison.expectation import Expected, summary
from diffbench.errors import StoreError
from diffbench.report.folder import RunFolder
from diffbench.report.frame import called, title
from diffbench.report.measured import Measured, with_interval
from diffbench.report.tables import Entry, Table

_MOST_NAMED = 4
RULE = (
    "MET: the measured value lies within the tolerance. NEAR: it does not, but its 95% interval reaches there, so more "
    "samples would tell. MISSED: the whole interval lies outside. Figures with a star are not verified; missing one "
    "fails no run."
)


@dataclass(frozen=True)
class Expectations:
    """Expected beside measured: how many of each verdict, what the verdicts mean, the table, and reasons."""

    summary: str
    rule: str
    table: Table
    reasons: tuple[str, ...]


def expectations(run: RunFolder) -> Expectations | None:
    """What the page of a run says of its suite's expectations; None if there are none."""
    found = read_rows(run.expectations)
    if not found:
        return None
    return Expectations(summary(found), RULE, expectations_table(found), tuple(reasons(found)))


def read_rows(content: Mapping[str, Any]) -> list[Expected]:
    """The verdicts that ``expectations.json`` holds. Raises StoreError if they are not what we write."""
    rows = content.get("rows", [])
    names = {field.name for field in fields(Expected)}
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() == names for row in rows):
        raise StoreError("expectations.json: not written by this diffbench; repeat the run's command")
    return [Expected(**row) for row in rows]


def expectations_table(found: Sequence[Expected]) -> Table:
    """One line a verdict; in bold those that were missed."""
    rows, groups = [], []
    for index, one in enumerate(found):
        if not index or found[index - 1].model != one.model:
            groups.append(index)
        texts = (
            one.model,
            called(one.sampler, one.options),
            _budget(one),
            title(one.metric),
            _expected(one),
            _measured(one),
            one.verdict,
        )
        rows.append((*(Entry(text, one.fails) for text in texts), Entry(one.source)))
    columns = ("model", "sampler", "budget", "metric", "expected", "measured", "verdict", "source")
    return Table(columns, tuple(rows), (4, 5), tuple(groups))


def _expected(one: Expected) -> str:
    """``13.36 ± 5%``, with a star if the figure is not verified."""
    return f"{one.expected:.10g}{'*' * (one.unverified is not None)} ± {one.tolerance}"


def _measured(one: Expected) -> str:
    better = METRICS[one.metric].better if one.metric in METRICS else COSTS[one.metric][1]
    return with_interval(Measured(one.value, one.ci_low, one.ci_high, None, better, "ok", None))


def reasons(found: Sequence[Expected]) -> list[str]:
    """Why there are no verdicts, and why figures are not verified, each with its rows; equal reasons stand together."""
    told: dict[str, list[Expected]] = {}
    for one in found:
        for line in (one.reason and f"{one.verdict}: {one.reason}", one.unverified and f"* {one.unverified}"):
            if line:
                told.setdefault(line, []).append(one)
    return [f"{_rows(rows, len(found))}: {line}" for line, rows in told.items()]


def _rows(found: Sequence[Expected], total: int) -> str:
    """``all 9 rows``, or the first of them by name: ``ddpm-mnist · ddim @ NFE 10, FID``."""
    if len(found) == total > 1:
        return f"all {total} rows"
    named = [
        f"{one.model} · {called(one.sampler, one.options)} @ {_budget(one)}, {title(one.metric)}"
        for one in found[:_MOST_NAMED]
    ]
    more = [f"{len(found) - _MOST_NAMED} more rows"] if len(found) > _MOST_NAMED else []
    return "; ".join(dict.fromkeys([*named, *more]))


def _budget(one: Expected) -> str:
    return "adaptive" if one.budget is None else f"{one.budget_kind} {one.budget}".replace("nfe", "NFE")
