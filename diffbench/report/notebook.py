"""Results in a notebook: the table first, then the figure that says most; everything escaped, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Callable

from markupsafe import Markup, escape

from diffbench.document.words import counted
from diffbench.errors import UsageError
from diffbench.inert import printable
from diffbench.report.drawn import Drawn
from diffbench.report.folder import RunFolder
from diffbench.report.frame import main_metric, title
from diffbench.report.gaps import unscored, without_interval
from diffbench.report.plots import Plots
from diffbench.report.tables import TIE, Entry, Table, results_table

MOST_ROWS = 60
_MARKS = f"bold: the best of a model's budget by {{}}; {TIE}: not told apart from it; "
_HALF = "± is half of the 95% interval"


def as_html(run: RunFolder) -> str:
    """The table, at most ``MOST_ROWS`` rows of it, and the main metric against evaluations as a PNG inside."""
    table = results_table(run.cells, worse=run.worse)
    left = len(table.rows) - MOST_ROWS
    more = f"{counted(left, 'more cell')} in .frame; " if left > 0 else ""
    marks = _MARKS.format(title(main_metric(run.cells) or "")) if _has(table, lambda entry: entry.strong) else ""
    legend = marks + _HALF if _has(table, lambda entry: "±" in entry.text) else " ".join(unscored(run.cells))
    legend = "; ".join([*filter(None, [legend]), *(one.rstrip(".") for one in without_interval(run.cells))])
    note = Markup('<p style="font-size:85%;opacity:.75">{}</p>').format(more + printable(legend))
    return str(_table(table) + note + _figure(run))


def _has(table: Table, what: Callable[[Entry], bool]) -> bool:
    return any(what(entry) for row in table.rows for entry in row)


def _table(table: Table) -> Markup:
    head = Markup("").join(_field("th", column, i in table.numbers) for i, column in enumerate(table.columns))
    rows = []
    for index, row in enumerate(table.rows[:MOST_ROWS]):
        shown = [row[0] if index in table.groups or not index else Entry(""), *row[1:]]
        rows.append(Markup("").join(_field("td", _text(entry), i in table.numbers) for i, entry in enumerate(shown)))
    body = Markup("").join(Markup("<tr>{}</tr>").format(row) for row in rows)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)


def _text(entry: Entry) -> Markup:
    text = escape(printable(entry.text))
    if entry.tie:
        return text + TIE
    return Markup("<strong>{}</strong>").format(text) if entry.strong else text


def _field(tag: str, content: str, number: bool) -> Markup:
    aligned = Markup(' style="text-align:{};padding:.2em .7em"').format("right" if number else "left")
    said = content if isinstance(content, Markup) else escape(printable(content))
    return Markup(f"<{tag}{aligned}>") + said + Markup(f"</{tag}>")


def _figure(run: RunFolder) -> Markup:
    try:
        figure = Plots(run).metric_vs_nfe()
    except UsageError:  # nothing that has evaluations
        return Markup("")
    assert isinstance(figure, Drawn)
    data = base64.b64encode(figure._repr_png_()).decode()
    return Markup('<img alt="the main metric against evaluations" src="data:image/png;base64,{}">').format(data)
