"""What ``report.html`` and ``report.md`` say, before it is written in either format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffbench.document.words import counted
from diffbench.report.answers import Curve, costs, front_axis, front_sentence, front_table, iso_sentence, iso_table
from diffbench.report.answers import curves as run_curves
from diffbench.report.convergence import orders_table, solver_errors
from diffbench.report.expectation import Expectations, expectations
from diffbench.report.findings import Agreement, Best, agreements, asked_once, best_per_budget
from diffbench.report.folder import RunFolder
from diffbench.report.frame import CellView, main_metric, models, quality_metrics, title, unique
from diffbench.report.gaps import gaps, listed_budgets, unscored, why_missing, without_interval
from diffbench.report.measured import with_interval
from diffbench.report.notes import notes
from diffbench.report.tables import Entry, Table, best_table, results_table


@dataclass(frozen=True)
class Picture:
    """A figure of the run folder: its stem under ``figures/``, what is below it, and whether the HTML page holds it."""

    name: str
    caption: str
    alt: str
    has_csv: bool
    shown: bool = False


@dataclass(frozen=True)
class Content:
    """Everything that a page shows; all text is plain and not yet escaped.

    ``heading`` is that of the answers, None without any score; ``unscored`` says what has no score at all, and why;
    ``charted``: whether there is anything to draw against a cost; ``marks``: what bars, dashes and dots in its figures
    are; ``marked``: whether its tables mark the best of a budget.
    """

    name: str
    counts: str
    metric: str | None
    heading: str | None
    unscored: tuple[str, ...]
    charted: bool
    marks: str
    answers: tuple[tuple[str, tuple[str, ...]], ...]
    best: Table | None
    front: Table | None
    iso: Table | None
    orders: Table | None
    expectations: Expectations | None
    agreements: tuple[Agreement, ...]
    pictures: tuple[Picture, ...]
    results: Table
    rule: str
    marked: bool
    table_notes: tuple[str, ...]
    gaps: Table
    notes: tuple[str, ...]
    provenance: Table
    suite_text: str


# What "not told apart" means: by paired tests or not.
_PAIRED = (
    "no paired test, sample by sample from the same noise, finds another of that budget better (5% for all tests "
    "of a budget together, Holm's adjustment)"
)
_OVERLAPPING = "its 95% interval overlaps that of the best"


def content(run: RunFolder, pictures: Sequence[Picture]) -> Content:
    """Work out what the page says of ``run``."""
    metric = main_metric(run.cells)
    worse = asked_once(run.worse)
    found = best_per_budget(run.cells, metric, worse) if metric else []
    curves = run_curves(run, metric) if metric else []
    return Content(
        name=run.name,
        counts=_counts(run.cells),
        metric=title(metric) if metric else None,
        heading=_heading(run.cells, found, metric),
        unscored=tuple(unscored(run.cells)),
        charted=any(costs(c) and any(c.value(m) is not None for m in quality_metrics(run.cells)) for c in run.cells),
        marks=marks(run, quality_metrics(run.cells)),
        answers=tuple((model, tuple(_answers(run, metric, found, curves, model))) for model in models(run.cells)),
        best=best_table(found, metric) if metric and found else None,
        front=front_table(run, metric) if metric else None,
        iso=iso_table(curves, metric) if metric else None,
        orders=orders_table(run),
        expectations=expectations(run),
        agreements=tuple(agreements(run, metric)) if metric and metric not in solver_errors(run) else (),
        pictures=tuple(pictures),
        results=results_table(run.cells, worse=worse),
        rule=_rule(found),
        marked=any(best.compared > 1 for best in found),
        table_notes=tuple(table_notes(run, found, metric)),
        gaps=gaps(run.cells),
        notes=tuple(notes(run, metric)),
        provenance=_provenance(run),
        suite_text=run.suite_text,
    )


def marks(run: RunFolder, metrics: Sequence[str]) -> str:
    """What the figures of these metrics mark: intervals; stochastic samplers and floors, where there are any."""
    scored = [(cell, metric) for cell in run.cells for metric in metrics if cell.value(metric) is not None]
    dashed = any(run.stochastic(cell) for cell, _ in scored)
    dotted = any(run.floor(cell, metric) is not None for cell, metric in scored)
    return (
        "Bars are 95% intervals"
        + "; dashed lines are stochastic samplers" * dashed
        + "; the dotted line is the floor, what as many real images score" * dotted
        + "."
    )


def table_notes(run: RunFolder, found: Sequence[Best], metric: str | None) -> list[str]:
    """What ± and the marks of a table of results are: comments above it. ``found`` are the best by ``metric``."""
    said = [f"run {run.name}; ± is half of the 95% interval", *without_interval(run.cells)]
    if metric is None or not any(best.compared > 1 for best in found):
        return said
    return [*said, f"bold: the best of a budget by {title(metric)}; dagger: not told apart from it: {_rule(found)}"]


def _rule(found: Sequence[Best]) -> str:
    """What it means not to be told apart from the best, budgets being judged by paired tests or not."""
    judged = [best for best in found if best.compared > 1]
    apart = [best for best in judged if not best.paired]
    if not apart:
        return _PAIRED
    if len(apart) == len(judged):
        return _OVERLAPPING
    names = " and ".join(unique(best.cell.source for best in apart if best.cell.source))
    lacking = f" ({names})" if names else ""
    return f"{_PAIRED}; where there are no values of single samples{lacking}, {_OVERLAPPING}"


def _heading(cells: Sequence[CellView], found: Sequence[Best], metric: str | None) -> str | None:
    if metric and found:
        return f"Best sampler at each budget, by {title(metric)}"
    scored = metric is not None and any(cell.value(metric) is not None for cell in cells)
    return "Scores of the given images" if scored else None


def _counts(cells: Sequence[CellView]) -> str:
    """``2 models in 3 variants, 4 samplers, 48 cells, 1 failed``."""
    by = {status: sum(cell.status == status for cell in cells) for status in ("skipped", "failed", "incomplete")}
    said = "".join(f", {count} {status}" for status, count in by.items() if count)
    made = [cell for cell in cells if not cell.given]
    variants = len({(cell.model, cell.variant) for cell in made})
    named = models(made)
    told = [
        counted(len(named), "model") + (f" in {counted(variants, 'variant')}" if variants > len(named) else ""),
        counted(len(unique(cell.sampler_name for cell in made)), "sampler"),
        *([counted(len(models(cells)) - len(named), "set") + " of given images"] if len(made) < len(cells) else []),
        counted(len(cells), "cell"),
    ]
    return ", ".join(told) + said


def _answers(
    run: RunFolder, metric: str | None, found: Sequence[Best], curves: Sequence[Curve], model: str
) -> Iterator[str]:
    """Best at each budget, what a quality costs, the front."""
    if metric is None:
        return
    mine = [cell for cell in run.cells if cell.model == model]
    if all(cell.value(metric) is None for cell in mine):
        yield f"no {title(metric)}"
        yield f"the reason: {why_missing(mine, [metric])}"
        return
    if all(cell.given for cell in mine):
        yield "; ".join(
            f"{title(m)} {with_interval(c[m])}" for c in mine[:1] for m in c.scores if c.value(m) is not None
        )
        return
    yield _answer(found, model)
    front = front_sentence(mine, metric, front_axis(run.cells, metric))
    yield from filter(None, (iso_sentence(curves, model, metric), front))


def _answer(found: Sequence[Best], model: str) -> str:
    """``dpmpp-2m at NFE 5, 10 and 20; heun at NFE 50``; a star marks budgets with others not told apart or tested."""
    at: dict[str, list[str]] = {}
    for best in found:
        if best.model == model:
            at.setdefault(best.cell.series, []).append(best.budget + ("*" if best.ties or best.untested else ""))
    return "; ".join(f"{series} at {listed_budgets(budgets)}" for series, budgets in at.items())


def _provenance(run: RunFolder) -> Table:
    told_elsewhere = ("sessions", "drift", "sha256")
    rows = _flat({key: value for key, value in run.provenance.items() if key not in told_elsewhere})
    if isinstance(sessions := run.provenance.get("sessions"), list):
        rows.append(("sessions", f"{len(sessions)}, in provenance.json"))
    for name, entry in run.references.items():
        if isinstance(entry, Mapping):
            rows += [(f"reference {name}: {key}", str(value)) for key, value in entry.items() if key != "floors"]
    for metric in unique(metric for cell in run.cells for metric in cell.signatures):
        signatures = unique(_comparable(cell.signatures[metric]) for cell in run.cells if metric in cell.signatures)
        rows += [(f"signature of {title(metric)}", signature) for signature in signatures]
    return Table(("what", "value"), tuple((Entry(key), Entry(value)) for key, value in rows))


def _comparable(signature: str) -> str:
    """The part of a signature that two scores must share."""
    try:
        return json.dumps(json.loads(signature)["comparable"], separators=(", ", ": "), ensure_ascii=False)
    except (ValueError, KeyError, TypeError, RecursionError):
        return signature


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key} ")
        else:
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((f"{prefix}{key}", "–" if value is None else text))
    return rows
