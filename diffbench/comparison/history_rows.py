"""A history as rows: what its CSV, its parquet and the Python API's frame hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from diffbench.comparison.history import History
from diffbench.comparison.join import CELL
from diffbench.comparison.replicates import Recipe

_STEP = ("step_from", "step", "step_se", "step_p", "step_found")
COLUMNS = (
    *("place", "run", "folder", "started", "commit", "code", *CELL, "family", "metric"),
    *("value", "se", "ci_low", "ci_high", "n", "unit", "better", "status", "reason", "part", "differs", *_STEP),
)


def as_rows(found: History) -> list[dict[str, Any]]:
    """One JSON-able row a run, cell and metric: the score, and the step that led to it; the columns are ``COLUMNS``."""
    rows = []
    for series in found.series:
        steps = {step.last: step for step in series.steps}
        for place, (run, point) in enumerate(zip(found.runs, series.points, strict=True)):
            row: dict[str, Any] = dict.fromkeys(COLUMNS)
            row |= {name: series.row[name] for name in (*CELL, "family", "metric", "unit", "better")}
            row |= {} if point.row is None else {name: point.row[name] for name in COLUMNS if name in point.row}
            row |= {"place": place, "run": run.label, "folder": str(run.side.path), "started": run.started}
            row |= {"commit": run.commit, "code": run.code, "reason": point.reason, "part": point.part}
            row["differs"] = "; ".join(point.differs) or None
            if (step := steps.get(place)) is not None:
                row |= {"step_from": found.runs[step.first].label, "step": step.difference.value}
                row |= {"step_se": step.difference.se, "step_p": step.adjusted, "step_found": step.found}
            rows.append(row)
    return rows


SPREAD = (
    *("recipe", "place", "run", *CELL[1:], "family", "metric", "n", "unit", "better"),
    *("trainings", "members", "mean", "ci_low", "ci_high", "sd", "sd_low", "sd_high", "between", "sampling", "apart"),
    "reason",
)


def spread_rows(found: History, recipes: Sequence[Recipe]) -> list[dict[str, Any]]:
    """One JSON-able row a recipe's cell and metric; the columns are ``SPREAD``."""
    rows = []
    for recipe in recipes:
        own = recipe.spread
        run = None if recipe.place is None else found.runs[recipe.place].label
        shared = {name: recipe.row[name] for name in (*CELL[1:], "family", "metric", "n", "unit", "better")}
        values = {name: getattr(own, name) for name in SPREAD if hasattr(own, name)}
        members = "; ".join(member.label for member in recipe.members)
        row = {"recipe": recipe.name, "place": recipe.place, "run": run, "members": members, **shared, **values}
        rows.append({name: {**row, "ci_low": own.low, "ci_high": own.high}[name] for name in SPREAD})
    return rows


_INTEGERS = frozenset({"place", "budget", "n", "part", "trainings"})
_FLOATS = frozenset(
    {"value", "se", "ci_low", "ci_high", "step", "step_se", "step_p", "mean", "sd", "sd_low", "sd_high"}
) | {"between", "sampling", "apart"}


def frame_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a frame with pandas' nullable dtypes: a missing value is null, never NaN."""

    def dtype(name: str) -> str:
        return "Int64" if name in _INTEGERS else "Float64" if name in _FLOATS else "string"

    return pd.DataFrame({name: pd.array([row[name] for row in rows], dtype=dtype(name)) for name in columns})  # type: ignore[call-overload]
