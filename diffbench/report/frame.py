"""The results table, seen cell by cell: what every figure, table and page is drawn from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from diffbench.catalog import COSTS, METRICS, TOLERANCES
from diffbench.comparison.paired import Difference
from diffbench.document.words import swept
from diffbench.report.measured import Measured
from diffbench.results import rows
from diffbench.suite.gates import NFE
from diffbench.suite.model_choice import AXES

SECONDS = "seconds_per_image"


_ABSENT = Measured(None, None, None, None, "lower", "ok", "not measured in this run")


@dataclass(frozen=True)
class CellView:
    """One cell as displayed: two cells that share samples (an alias) stay two."""

    id: str
    model: str
    family: str
    sampler: str
    options: str
    grid: str | None
    budget_kind: str | None
    budget: int | None
    steps: int | None
    nfe: float | None
    n: int | None
    reference: str | None
    extractor: str | None
    status: str
    scores: Mapping[str, Measured]
    signatures: Mapping[str, str]
    machine: str = ""
    """The device that costs were measured on; empty where that is not known, or not needed: in a single run."""
    source: str = ""
    """The run that a cell is of, where there are several."""

    @property
    def key(self) -> tuple[Any, ...]:
        """What sets a cell apart from all others that are shown with it."""
        return (*(getattr(self, name) for name in CELL_KEY), self.source)

    @property
    def given(self) -> bool:
        """Whether it stands for images that no sampler of a run made."""
        return self.family == "external"

    @property
    def series(self) -> str:
        """The suite's sampler id and the swept options: what a cell is called in tables."""
        return called(self.sampler, json.loads(self.options))

    @property
    def line(self) -> str:
        """Name of the line in a figure that this cell lies on: an adaptive sampler moves along it by its tolerances."""
        return called(self.sampler, self.line_options)

    @property
    def line_options(self) -> dict[str, Any]:
        """The swept options that all cells of its line share."""
        swept: dict[str, Any] = json.loads(self.options)
        return swept if self.budget is not None else {key: v for key, v in swept.items() if key not in TOLERANCES}

    @property
    def sampler_name(self) -> str:
        """The sampler with its own swept options, whatever variant of the model it samples, and to what tolerance."""
        return called(self.sampler, {key: value for key, value in self.line_options.items() if key not in AXES})

    @property
    def variant(self) -> str:
        """The swept options of its model: ``dtype=bfloat16``; empty where nothing of it was swept."""
        return called("", {key: value for key, value in self.line_options.items() if key in AXES})

    def __getitem__(self, metric: str) -> Measured:
        return self.scores.get(metric, _ABSENT)

    def value(self, metric: str) -> float | None:
        """The metric's value, None if missing."""
        return self[metric].value

    @property
    def budget_label(self) -> str:
        """``NFE 10``, ``steps 50``, ``adaptive``, or ``given images`` of what no sampler of a run made."""
        if self.budget is None:
            return "given images" if self.given else "adaptive"
        return f"{'steps' if self.budget_kind == 'steps' else 'NFE'} {self.budget}"

    @property
    def name(self) -> str:
        """What a cell is called beside its model, wherever it is named: ``heun @ NFE 10``."""
        return f"{self.series} @ {self.budget_label}"


def called(sampler: str, options: Mapping[str, Any]) -> str:
    """A sampler's id, or none, with the options that were swept: ``ddim eta=0.5, dtype=bfloat16``."""
    return " ".join([sampler, ", ".join(swept(key, value) for key, value in options.items())]).strip()


_SEVERITY = ("ok", "incomplete", "skipped", "failed")
CELL_KEY = ("model", "sampler", "options", "grid", "budget_kind", "budget")
"""Columns of the results table that set a cell apart from the others of its run."""


def cells(table: pd.DataFrame) -> list[CellView]:
    """The cells of a results table in its order, model by model."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows(table):
        groups.setdefault(tuple(row[name] for name in CELL_KEY), []).append(row)
    views = [_cell(group) for group in groups.values()]
    order = list(models(views))
    return sorted(views, key=lambda view: order.index(view.model))


def _cell(group: Sequence[dict[str, Any]]) -> CellView:
    def first(column: str) -> Any:
        return next((row[column] for row in group if row[column] is not None), None)

    scores = {
        row["metric"]: Measured(
            row["value"], row["ci_low"], row["ci_high"], row["unit"], row["better"], row["status"], row["reason"]
        )
        for row in group
    }
    names = ("model", "family", "sampler", "options", "grid", "budget_kind", "budget", "steps", "nfe", "n")
    return CellView(
        id=first("cell"),
        **{name: first(name) for name in names},
        reference=first("reference"),
        extractor=first("extractor"),
        status=max((row["status"] for row in group), key=_SEVERITY.index),
        scores=scores,
        signatures={row["metric"]: row["signature"] for row in group if row["signature"] is not None},
    )


def comparable(signature: str) -> str:
    """The part of a signature that two scores must share, as canonical JSON; a text that is no signature as it is."""
    try:
        return json.dumps(json.loads(signature)["comparable"], sort_keys=True, separators=(",", ":"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return signature


def scale(cell: CellView, metric: str) -> tuple[Any, ...]:
    """What two cells must share for their scores of a metric to stand side by side."""
    said = cell.signatures.get(metric)
    return cell.reference, cell.extractor, cell.n, None if said is None else comparable(said)


def unique(values: Iterable[str]) -> list[str]:
    """The distinct values, in order of appearance."""
    return list(dict.fromkeys(values))


def models(views: Iterable[CellView]) -> dict[str, str]:
    """Model names and their families, in order of appearance."""
    return {view.model: view.family for view in views}


def quality_metrics(views: Iterable[CellView]) -> list[str]:
    """Metrics of the images (not of their cost), in order of appearance."""
    return [metric for metric in unique(m for view in views for m in view.scores) if metric not in COSTS]


def main_metric(views: Sequence[CellView]) -> str | None:
    """FID where it was computed, else the run's first quality metric; of both, those with an interval go before.

    A score without an interval, as FID's where there are too few samples for one, can't tell samplers apart. Of several
    runs it is one that all which have scores share, if there is any.
    """
    present = quality_metrics(views)
    scored: dict[str, set[str]] = {}
    for view in views:
        if own := {m for m in present if view.value(m) is not None}:
            scored.setdefault(view.source, set()).update(own)
    present = [m for m in present if any(m in own for own in scored.values())] or present
    present = [m for m in present if all(m in own for own in scored.values())] or present
    present = [m for m in present if not (m in METRICS and METRICS[m].needs_solution)] or present
    present = [m for m in present if any(view[m].low is not None for view in views)] or present
    return "fid" if "fid" in present else next(iter(present), None)


def title(metric: str) -> str:
    """A metric's name as people write it."""
    names = {
        SECONDS: "seconds per image",
        "images_per_second": "images per second",
        "peak_memory_mb": "peak memory, MB",
    }
    return METRICS[metric].title if metric in METRICS else names.get(metric, metric)


_SHORT = {NFE: "NFE", SECONDS: "s/image", "images_per_second": "images/s", "peak_memory_mb": "peak MB"}


def short_title(metric: str) -> str:
    """A metric's name as it stands in narrow columns."""
    return _SHORT.get(metric) or title(metric)


def lower_is_better(views: Iterable[CellView], metric: str) -> bool:
    """Which way the metric's own rows say is good."""
    return all(view[metric].better == "lower" for view in views if metric in view.scores)


def signed(found: Difference) -> str:
    """``+0.12 ± 0.05`` with the 95% interval's half-width, to two digits of it; an en dash where there is none."""
    if found.value is None:
        return "–"
    if not found.se:
        return f"{found.value:+.3g}" if found.value else "0"
    half = 1.96 * found.se
    decimals = max(0, 1 - math.floor(math.log10(half)))
    if decimals > 4:
        return f"{found.value:+.1e} ± {half:.1e}".replace("e-0", "e-")
    return f"{found.value:+.{decimals}f} ± {half:.{decimals}f}"
