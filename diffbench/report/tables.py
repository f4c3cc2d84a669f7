"""The results as tables: in the terminal, in Markdown, in LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from rich.table import Table as RichTable
from rich.text import Text

from diffbench.columns import Columns
from diffbench.inert import latex_entry, latex_text, markdown_text, printable
from diffbench.report.findings import Best, Worse, best_per_budget
from diffbench.report.frame import SECONDS, CellView, cells, main_metric, quality_metrics, scale, short_title, title
from diffbench.report.measured import alike, joined, number, with_interval
from diffbench.report.panels import scale_labels

TIE = "†"


@dataclass(frozen=True)
class Entry:
    """One field of a table; ``strong`` marks the best of a budget and those not told apart from it, the ``tie``s."""

    text: str
    strong: bool = False
    tie: bool = False


@dataclass(frozen=True)
class Table:
    """Columns and rows of text, not yet escaped for any format.

    ``numbers`` holds the columns to be set flush right, ``groups`` the rows at which a new model begins.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    numbers: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()


def spent(cell: CellView) -> str:
    """Evaluations per sample; the budget in brackets where none was spent."""
    if cell.nfe is not None:
        return f"{cell.nfe:.4g}"
    return "–" if cell.budget is None else f"({cell.budget_label.removeprefix('NFE ')})"


def results_table(views: Sequence[CellView], metrics: Sequence[str] | None = None, worse: Worse | None = None) -> Table:
    """Every cell: model, sampler, NFE, quality metrics with half-widths, seconds per image.

    Without ``metrics`` the main one goes first, and those of which no cell has a value are left out. The best and those
    not told apart from it are marked by the first.
    """
    main = marked_metric(views, metrics)
    shown = _measured(views) if metrics is None else _of_quality(views, metrics)
    if metrics is None:
        shown.sort(key=lambda metric: metric != main)
    found = best_per_budget(views, main, worse) if main else []
    found = [one for one in found if one.compared > 1]  # alone at its budget nothing is the best
    best = {id(one.cell) for one in found}
    ties = {id(cell) for one in found for cell in one.ties}
    called = _model_labels(views, main)
    rows, groups = [], []
    for index, cell in enumerate(views):
        if not index or views[index - 1].model != cell.model:
            groups.append(index)
        scores = [
            Entry(with_interval(cell[m]), m == main and id(cell) in best | ties, m == main and id(cell) in ties)
            for m in shown
        ]
        if scores and cell.status != "ok" and cell.value(shown[0]) is None:
            scores[0] = Entry(cell.status)
        rows.append(
            (
                Entry(called[cell.model]),
                Entry(cell.series),
                Entry(spent(cell)),
                *scores,
                Entry(number(cell.value(SECONDS))),
            )
        )
    columns = ("model", "sampler", "NFE", *map(title, shown), short_title(SECONDS))
    return Table(columns, tuple(rows), tuple(range(2, len(columns))), tuple(groups))


def marked_metric(views: Sequence[CellView], metrics: Sequence[str] | None = None) -> str | None:
    """The metric by which a table of these metrics marks the best: its first, or the main one."""
    return main_metric(views) if metrics is None else next(iter(_of_quality(views, metrics)), None)


def _of_quality(views: Sequence[CellView], metrics: Sequence[str]) -> list[str]:
    known = quality_metrics(views)
    return [metric for metric in dict.fromkeys(metrics) if metric in known]


def _measured(views: Sequence[CellView]) -> list[str]:
    """The metrics of which some cell has a value; where there are none and cells went wrong, the one that says so."""
    every = quality_metrics(views)
    measured = [metric for metric in every if any(view.value(metric) is not None for view in views)]
    return measured or (every[:1] if any(view.status != "ok" for view in views) else [])


def _model_labels(views: Sequence[CellView], main: str | None) -> dict[str, str]:
    """What models are called in tables: where their scores are of different things, with what these differ in."""
    scored = [cell for cell in views if main is not None and cell.value(main) is not None]
    labels = scale_labels(scale(cell, main or "") for cell in scored)
    called = {cell.model: cell.model for cell in views}
    for cell in scored:
        if labels[scale(cell, main or "")]:
            called[cell.model] = f"{cell.model} ({labels[scale(cell, main or '')]})"
    return called


def best_table(found: Sequence[Best], metric: str) -> Table:
    """The best sampler of every model and budget, and those not told apart from it."""
    rows, groups = [], []
    called = _model_labels([best.cell for best in found], metric)
    for index, best in enumerate(found):
        if not index or found[index - 1].model != best.model:
            groups.append(index)
        own, *texts_of = alike([cell[metric] for cell in (best.cell, *best.ties, *best.untested)])
        said = [f"{cell.series} {text}" for cell, (text, _) in zip((*best.ties, *best.untested), texts_of, strict=True)]
        ties, untested = ", ".join(said[: len(best.ties)]), ", ".join(said[len(best.ties) :])
        beside = "; ".join(part for part in (ties, untested and f"not tested: {untested}") if part)
        texts = (called[best.model], best.budget, best.cell.series, joined(own),
                 number(best.cell.value(SECONDS)), beside or "–")  # fmt: skip
        rows.append(tuple(Entry(text, column == 2 and best.compared > 1) for column, text in enumerate(texts)))
    columns = ("model", "budget", "best sampler", title(metric), short_title(SECONDS), "not told apart from it")
    return Table(columns, tuple(rows), (3, 4), tuple(groups))


def terminal_table(table: pd.DataFrame, worse: Worse | None = None) -> Columns:
    """The results for a terminal, 100 columns at most; in bold the best of each budget and those not told apart."""
    views = cells(table)
    main = main_metric(views)
    measured = _measured(views)
    shown = [metric for metric in dict.fromkeys((main, "fid", "is")) if metric in measured]
    return rich_table(results_table(views, shown, worse))


def rich_table(content: Table) -> Columns:
    """A table for a terminal of any width, whose names are cut in the middle where they have to be."""
    rows: list[list[Text]] = []
    for index, row in enumerate(content.rows):
        if index in content.groups and index:
            rows.append([])
        first = row[0].text if index in content.groups else ""
        rows.append([printable_text(first), *(printable_text(one.text, one.strong) for one in row[1:])])
    return Columns(content.columns, rows, content.numbers)


def wrapped_table(content: Table, widest: int) -> RichTable:
    """A table for a terminal that cuts nothing: where it is too narrow, the first column wraps."""
    drawn = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, column in enumerate(content.columns):
        left = index not in content.numbers
        width = widest if left else 20
        longest = max((len(row[index].text) for row in content.rows), default=0)
        drawn.add_column(
            column,
            justify="left" if left else "right",
            overflow="ellipsis" if index else "fold",
            no_wrap=index > 0,
            max_width=width,
            min_width=min(width, max(longest, len(column))) if index else None,
        )
    for index, row in enumerate(content.rows):
        if index in content.groups and index:
            drawn.add_row()
        model = row[0].text if index in content.groups else ""
        drawn.add_row(printable_text(model), *(printable_text(e.text, e.strong) for e in row[1:]))
    return drawn


def printable_text(text: str, strong: bool = False) -> Text:
    """Text that rich shows as it is: no markup, no control characters."""
    return Text(printable(text), style="bold" if strong else "")


def markdown(table: Table) -> str:
    """A pipe table, with a newline at its end."""

    def line(fields: Sequence[str]) -> str:
        return "| " + " | ".join(fields) + " |"

    rules = ["---:" if index in table.numbers else "---" for index in range(len(table.columns))]
    lines = [line([markdown_text(column) for column in table.columns]), line(rules)]
    for row in table.rows:
        lines.append(line([_markdown_entry(entry) for entry in row]))
    return "\n".join(lines) + "\n"


def _markdown_entry(entry: Entry) -> str:
    text = markdown_text(entry.text)
    return f"{text} {TIE}" if entry.tie else f"**{text}**" if entry.strong else text


def latex(table: Table, notes: Sequence[str] = ()) -> str:
    """A ``tabular`` for the booktabs package; ``notes`` go above it as comments."""
    lines = [r"% \usepackage{booktabs}", *(f"% {printable(note)}" for note in notes)]
    lines.append(
        r"\begin{tabular}{" + "".join("lr"[index in table.numbers] for index in range(len(table.columns))) + "}"
    )
    lines += [r"\toprule", " & ".join(map(latex_text, table.columns)) + r" \\", r"\midrule"]
    for index, row in enumerate(table.rows):
        if index in table.groups and index:
            lines.append(r"\midrule")
        fields = [latex_entry(entry.text, entry.strong and not entry.tie, entry.tie) for entry in row]
        fields[0] = fields[0] if index in table.groups else ""
        lines.append(" & ".join(fields) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"
