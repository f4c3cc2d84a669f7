"""Quality against evaluations and against seconds: one line a sampler, one panel a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diffbench.report.direct import End, label_ends, label_levels
from diffbench.report.folder import RunFolder
from diffbench.report.frame import SECONDS, CellView, scale, unique
from diffbench.report.layout import column_count as column_count
from diffbench.report.layout import evaluation_ticks, metric_axis, metric_label, panel_heading, panel_width, panels
from diffbench.report.layout import heading as heading
from diffbench.report.measured import Measured, number
from diffbench.report.panels import Panel, by_model
from diffbench.report.save import Behind, save, signatures_of
from diffbench.report.style import STOCHASTIC, Look, legend, log_axis, looks
from diffbench.report.themes import setting

FLOOR = (0, (1, 1.2))
X = Callable[[CellView], Measured]

_COLUMNS = ("source", "cell", "model", "family", "sampler", "options", "grid", "budget_kind", "budget", "nfe", "n")


def evaluations(cell: CellView) -> Measured:
    """Evaluations per sample as a point without interval."""
    return Measured(cell.nfe, None, None, None, "lower", cell.status, None)


def seconds(cell: CellView) -> Measured:
    """Seconds per image, with its interval."""
    return cell[SECONDS]


X_LABELS: Mapping[X, str] = {evaluations: "evaluations per sample (NFE)", seconds: "seconds per image"}


def quality_against(run: RunFolder, metric: str, x: X, name: str, x_label: str, folder: Path) -> list[Path]:
    """Draw ``metric`` against ``x`` for every model; returns the files, none if nothing can be drawn."""
    figure = quality_figure(run, metric, x, x_label)
    if figure is None:
        return []
    return save(figure, folder, name, *quality_data(run, metric, x))


def quality_data(run: RunFolder, metric: str, x: X) -> tuple[Behind, list[str]]:
    """The table behind such a figure, and the signatures of its scores."""
    shown = quality_cells(run, metric, x) + given_cells(run, metric)
    return behind(shown, (metric, SECONDS)), signatures_of(shown, [metric])


def quality_cells(run: RunFolder, metric: str, x: X) -> list[CellView]:
    """The cells that such a figure shows as points."""
    return [cell for cell in run.cells if cell.value(metric) is not None and x(cell).value is not None]


def given_cells(run: RunFolder, metric: str) -> list[CellView]:
    """Images from elsewhere that have the score as a whole, not class by class."""
    return [cell for cell in run.cells if cell.given and cell.options == "{}" and cell.value(metric) is not None]


def quality_figure(run: RunFolder, metric: str, x: X, x_label: str, axes: Axes | None = None) -> Figure | None:
    """``metric`` against ``x``, one panel a model and scale; None if nothing can be drawn.

    Drawn inside :func:`~diffbench.report.themes.style`. Raises UsageError if ``axes`` are given for several panels.
    """
    drawn = quality_cells(run, metric, x)
    if not drawn:
        return None
    look, groups = looks(run), by_model(drawn, given_cells(run, metric), metric, machines=x is seconds)
    alike = len({scale(cell, metric) for cell in drawn}) == 1
    figure, axes_of = panels(len(groups), share_y=alike, axes=axes)
    columns = column_count(len(groups))
    for index, (own, panel) in enumerate(zip(axes_of, groups, strict=True)):
        for series in unique(cell.line for cell in panel.cells):
            line(own, [cell for cell in panel.cells if cell.line == series], metric, x, look[series])
        own.set_title(panel_heading(panel, len(groups)), loc="left")
        if (floor := run.floor(panel.cells[0], metric)) is not None:
            _floor(own, floor)
        shown = [cell for one in (groups if alike else [panel]) for cell in (*one.cells, *one.given)]
        _axes(own, run, shown, drawn, metric, x, panel_width(len(groups)))
        label_levels(own, panel.given, metric)
        own.set_xlabel(x_label if index >= len(groups) - columns else "")
        own.set_ylabel(metric_label(shown, metric) if index % columns == 0 else "")
    if axes is None:
        handles = _name_lines(axes_of[columns - 1], groups[columns - 1], drawn, metric, x, look)
    else:
        handles = [look[name].handle() for name in unique(cell.line for cell in drawn)]
    floors = floor_handle(run, drawn, metric)
    legend(figure, *((handles, floors) if setting().narrow else ([*handles, *floors],)), axes=axes)
    return figure


def _name_lines(
    axes: Axes, panel: Panel, drawn: Sequence[CellView], metric: str, x: X, look: Mapping[str, Look]
) -> list[Line2D]:
    """Name the lines beside the last panel of the first row, if all are there and fit; returns the legend's handles."""
    lines = unique(cell.line for cell in drawn)
    ends = []
    for name in lines:
        mine = sorted((cell for cell in panel.cells if cell.line == name), key=_place)
        if mine:
            ends.append(End(look[name], x(mine[-1]).value or math.nan, mine[-1].value(metric) or math.nan))
    if len(ends) == len(lines) and label_ends(axes, ends):
        return stochastic_handle(look[name] for name in lines)
    return [look[name].handle() for name in lines]


def stochastic_handle(drawn: Iterable[Look]) -> list[Line2D]:
    """The legend's entry for dashed lines, if there are any."""
    if not any(one.stochastic for one in drawn):
        return []
    return [Line2D([], [], color=setting().theme.quiet, linestyle=STOCHASTIC, label="stochastic sampler")]


def behind(cells: Sequence[CellView], metrics: Sequence[str], **extra: Callable[[CellView], Any]) -> Behind:
    """Columns and rows of the CSV behind a figure."""
    header = [*_COLUMNS, *(f"{m}{end}" for m in metrics for end in ("", "_low", "_high")), *extra]
    rows: list[Sequence[Any]] = [
        [
            *(cell.id if column == "cell" else getattr(cell, column) for column in _COLUMNS),
            *(value for m in metrics for value in (cell[m].value, cell[m].low, cell[m].high)),
            *(function(cell) for function in extra.values()),
        ]
        for cell in cells
    ]
    return header, rows


def _place(cell: CellView) -> tuple[float, int]:
    """Where a cell stands on its line."""
    return cell.nfe or 0.0, cell.budget or 0


def line(axes: Axes, cells: Sequence[CellView], metric: str, x: X, look: Look) -> None:
    """One sampler's cells with their intervals, joined in the order of evaluations."""
    ordered = sorted(cells, key=_place)
    theme = setting().theme
    across = [x(cell).value or math.nan for cell in ordered]
    up: list[float] = [math.nan if (value := cell.value(metric)) is None else value for cell in ordered]
    axes.errorbar(
        across,
        up,
        xerr=_errors([x(cell) for cell in ordered]),
        yerr=_errors([cell[metric] for cell in ordered]),
        fmt="none",
        ecolor=look.colour,
        elinewidth=0.9 * theme.scale,
        capsize=1.8 * theme.scale,
        capthick=0.9 * theme.scale,
        zorder=2.5,
    )
    axes.plot(
        across,
        up,
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        markeredgecolor=theme.ground,
        markeredgewidth=0.4 * theme.scale,
        zorder=3,
    )


def _errors(measured: Sequence[Measured]) -> list[list[float]] | None:
    """Distances to the ends of the intervals, 0 where there is none."""
    if all(m.half_width is None for m in measured):
        return None
    low = [0.0 if m.low is None or m.value is None else max(0.0, m.value - m.low) for m in measured]
    high = [0.0 if m.high is None or m.value is None else max(0.0, m.high - m.value) for m in measured]
    return [low, high]


def _floor(axes: Axes, floor: tuple[float, float]) -> None:
    (mean, sd), theme = floor, setting().theme
    floor_line(axes, mean)
    if sd > 0:
        axes.axhspan(mean - sd, mean + sd, color=theme.quiet, alpha=0.15, linewidth=0, zorder=1)


def floor_line(axes: Axes, mean: float) -> None:
    """What real images score."""
    theme = setting().theme
    axes.axhline(mean, color=theme.quiet, linestyle=FLOOR, linewidth=1.2 * theme.scale, zorder=2)


def floor_handle(run: RunFolder, cells: Sequence[CellView], metric: str) -> list[Line2D]:
    """The legend's entry for the floor; with its value where all cells share one."""
    known = {(cell.n, floor[0]) for cell in cells if (floor := run.floor(cell, metric)) is not None}
    if not known:
        return []
    n, mean = next(iter(known))
    label = f"floor: {n} real images ({number(mean)})" if len(known) == 1 else "floor: as many real images"
    theme = setting().theme
    return [Line2D([], [], color=theme.quiet, linestyle=FLOOR, linewidth=1.2 * theme.scale, label=label)]


def _axes(
    axes: Axes, run: RunFolder, scope: Sequence[CellView], drawn: Sequence[CellView], metric: str, x: X, inches: float
) -> None:
    across = [x(cell).value or 0.0 for cell in drawn]
    if min(across) > 0:
        decade = inches / math.log10(max(across) / min(across) * 1.18**2)
        ticks = evaluation_ticks(drawn, max(across), decade) if x is evaluations else []
        log_axis(axes, "x", min(across) / 1.18, max(across) * 1.18, inches, ticks)
    metric_axis(axes, run, scope, metric, 1.8)
