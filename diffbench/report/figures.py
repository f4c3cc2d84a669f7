"""Quality against evaluations and against seconds: one line a sampler, one panel a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diffbench.report.folder import RunFolder
from diffbench.report.frame import SECONDS, CellView, Measured, models, number, title, unique
from diffbench.report.style import QUIET, WIDTH, Look, legend, log_axis, looks, save, shorten

X = Callable[[CellView], Measured]

_COLUMNS = ("model", "family", "sampler", "options", "grid", "budget_kind", "budget", "nfe", "n")


def evaluations(cell: CellView) -> Measured:
    """Evaluations per sample as a point without interval."""
    return Measured(cell.nfe, None, None, None, "lower", cell.status, None)


def seconds(cell: CellView) -> Measured:
    """Seconds per image, with its interval."""
    return cell[SECONDS]


def quality_against(run: RunFolder, metric: str, x: X, name: str, x_label: str, folder: Path) -> list[Path]:
    """Draw ``metric`` against ``x`` for every model; returns the files, none if nothing can be drawn."""
    drawn = [cell for cell in run.cells if cell.value(metric) is not None and x(cell).value is not None]
    if not drawn:
        return []
    look = looks(run)
    names = models(drawn)
    figure, drawn_in = panels(len(names), share_y=len({(c.reference, c.extractor, c.n) for c in drawn}) == 1)
    for index, (axes, model) in enumerate(zip(drawn_in, names, strict=True)):
        mine = [cell for cell in drawn if cell.model == model]
        for series in unique(cell.line for cell in mine):
            line(axes, [cell for cell in mine if cell.line == series], metric, x, look[series])
        axes.set_title(heading(model, names[model], len(names)), loc="left")
        floor = run.floor(mine[0], metric)
        if floor is not None:
            _floor(axes, floor)
        scope = drawn if axes.get_shared_y_axes().get_siblings(axes) != [axes] else mine
        _axes(axes, run, scope, drawn, metric, x)
        axes.set_xlabel(x_label if index >= len(names) - column_count(len(names)) else "")
        if index % column_count(len(names)) == 0:
            axes.set_ylabel(title(metric))
    legend(figure, [*_handles(look, drawn), *floor_handle(run, drawn, metric)])
    return save(figure, folder, name, behind(drawn, (metric, SECONDS)))


def behind(cells: Sequence[CellView], metrics: Sequence[str], **extra: Callable[[CellView], Any]) -> Any:
    """Columns and rows of the CSV behind a figure."""
    header = [*_COLUMNS, *(f"{m}{end}" for m in metrics for end in ("", "_low", "_high")), *extra]
    rows = [
        [
            *(getattr(cell, column) for column in _COLUMNS),
            *(value for m in metrics for value in (cell[m].value, cell[m].low, cell[m].high)),
            *(function(cell) for function in extra.values()),
        ]
        for cell in cells
    ]
    return header, rows


def column_count(panels: int) -> int:
    """Panels in a row."""
    return panels if panels <= 3 else (2 if panels == 4 else 3)


def panels(count: int, share_y: bool) -> tuple[Figure, list[Axes]]:
    """A figure with one panel a model."""
    columns = column_count(count)
    rows = math.ceil(count / columns)
    width = WIDTH if count > 1 else WIDTH * 0.62
    figure = Figure(figsize=(width, 2.25 * rows + 0.65), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=share_y, squeeze=False)
    axes: list[Axes] = list(grid.flat)
    for index, spare in enumerate(axes[count:], start=count):
        spare.remove()
        axes[index - columns].tick_params(labelbottom=True)
    return figure, axes[:count]


def heading(model: str, family: str, panels: int) -> str:
    """Model and family, as far as they fit above a panel."""
    room = int(WIDTH / max(2, column_count(panels)) / 0.075) - 4
    both = f"{shorten(model, room)}  ({shorten(family, 20)})"
    return both if len(both) <= room else shorten(model, room)


def line(axes: Axes, cells: Sequence[CellView], metric: str, x: X, look: Look) -> None:
    """One sampler's cells with their intervals, joined in the order of evaluations."""
    ordered = sorted(cells, key=lambda cell: (cell.nfe or 0.0, cell.budget or 0))
    across = [x(cell).value or math.nan for cell in ordered]
    up: list[float] = [math.nan if (value := cell.value(metric)) is None else value for cell in ordered]
    axes.errorbar(
        across,
        up,
        xerr=_errors([x(cell) for cell in ordered]),
        yerr=_errors([cell[metric] for cell in ordered]),
        fmt="none",
        ecolor=look.colour,
        elinewidth=0.9,
        capsize=1.8,
        capthick=0.9,
        zorder=2.5,
    )
    axes.plot(
        across,
        up,
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        markeredgecolor="white",
        markeredgewidth=0.4,
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
    mean, sd = floor
    axes.axhline(mean, color=QUIET, linestyle=(0, (1, 1.2)), linewidth=1.2, zorder=2)
    if sd > 0:
        axes.axhspan(mean - sd, mean + sd, color=QUIET, alpha=0.15, linewidth=0, zorder=1)


def floor_handle(run: RunFolder, cells: Sequence[CellView], metric: str) -> list[Line2D]:
    """The legend's entry for the floor; with its value where all cells share one."""
    known = {(cell.n, floor[0]) for cell in cells if (floor := run.floor(cell, metric)) is not None}
    if not known:
        return []
    n, mean = next(iter(known))
    label = f"floor: {n} real images ({number(mean)})" if len(known) == 1 else "floor: as many real images"
    return [Line2D([], [], color=QUIET, linestyle=(0, (1, 1.2)), linewidth=1.2, label=label)]


def _axes(axes: Axes, run: RunFolder, scope: Sequence[CellView], drawn: Sequence[CellView], metric: str, x: X) -> None:
    across = [x(cell).value or 0.0 for cell in drawn]
    if min(across) > 0:
        width = WIDTH / max(2, column_count(len(models(drawn)))) - 0.25
        decade = width / math.log10(max(across) / min(across) * 1.18**2)
        ticks = _apart(_ticks(drawn, max(across)), decade) if x is evaluations else []
        log_axis(axes, "x", min(across) / 1.18, max(across) * 1.18, width, ticks)
    low, high = extent(run, scope, metric)
    if low is not None and high is not None:
        log_axis(axes, "y", low, high, 1.8)


def extent(run: RunFolder, cells: Sequence[CellView], metric: str) -> tuple[float | None, float | None]:
    """Limits of a log axis that holds all values, their intervals where these are positive, and the floor.

    (None, None) if a value is not positive: then the axis is linear.
    """
    values = [value for cell in cells if (value := cell.value(metric)) is not None]
    if min(values) <= 0:
        return None, None
    ends = [end for cell in cells for end in (cell[metric].low, cell[metric].high) if end is not None and end > 0]
    ends = [end for end in ends if end > min(values) / 5]
    floors = [floor[0] for cell in cells if (floor := run.floor(cell, metric)) is not None and floor[0] > 0]
    low = min([*values, *ends]) / 1.12
    if floors:
        low = min(low, min(floors) / 1.12)
    return low, max([*values, *ends]) * 1.12


def _ticks(drawn: Sequence[CellView], last: float) -> list[float]:
    """The budgets in NFE; beyond the largest, where adaptive samplers are, round numbers."""
    budgets = sorted({float(c.budget) for c in drawn if c.budget_kind == "nfe" and c.budget})
    round_numbers = [digit * 10.0**power for power in range(6) for digit in (1, 2, 5)]
    return budgets and budgets + [number for number in round_numbers if 1.5 * budgets[-1] < number <= last]


def _apart(ticks: Sequence[float], decade: float) -> list[float]:
    """Those of the ticks whose labels don't touch on a log axis with so many inches to a decade."""
    kept: list[float] = []
    for tick in ticks:
        room = 0.1 + 0.035 * sum(len(f"{one:.10g}") for one in (tick, *kept[-1:]))
        if not kept or math.log10(tick / kept[-1]) * decade >= room:
            kept.append(tick)
    return kept


def _handles(look: Mapping[str, Look], cells: Sequence[CellView]) -> list[Line2D]:
    return [look[line].handle() for line in unique(cell.line for cell in cells)]
