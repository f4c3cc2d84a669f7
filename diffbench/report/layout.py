"""Panels of a figure: how many stand in a row, what is above them, and how far their axes go."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffbench.errors import UsageError
from diffbench.report.drawn import Drawn
from diffbench.report.folder import RunFolder
from diffbench.report.frame import CellView, lower_is_better, title
from diffbench.report.panels import Panel
from diffbench.report.style import log_axis, shorten, signed_axis
from diffbench.report.themes import setting


def column_count(panels: int) -> int:
    """Panels in a row."""
    if setting().narrow:
        return 1
    return panels if panels <= 3 else (2 if panels == 4 else 3)


def panel_width(panels: int) -> float:
    """Inches of one panel without what stands beside its axes."""
    theme, width = setting().theme, setting().width
    return width / (1 if setting().narrow else max(2, column_count(panels))) - 0.25 * theme.scale


def panels(count: int, share_y: bool, axes: Axes | None = None, share_x: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, or the one that ``axes`` are in. Raises UsageError if they can't hold as many."""
    if axes is not None:
        if count > 1:
            raise UsageError(f"{count} panels don't fit into one pair of axes; choose a model, or leave ax out")
        figure = axes.get_figure(root=True)
        assert figure is not None
        return figure, [axes]
    theme, columns = setting().theme, column_count(count)
    rows = math.ceil(count / columns)
    width = setting().width * (0.62 if count == 1 and not setting().narrow else 1.0)
    high = 1.75 if setting().narrow else 2.25
    figure = Drawn(figsize=(width, (high * rows + 0.65) * theme.scale**0.5), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=share_x, sharey=share_y, squeeze=False)
    found: list[Axes] = list(grid.flat)
    for index, spare in enumerate(found[count:], start=count):
        spare.remove()
        found[index - columns].tick_params(labelbottom=True)
    return figure, found[:count]


def heading(model: str, family: str, panels: int) -> str:
    """Model and family, as far as they fit above a panel."""
    room = _room(panels)
    both = f"{shorten(model, room)}  ({shorten(family, 20)})"
    return both if len(both) <= room else shorten(model, room)


def panel_heading(panel: Panel, panels: int) -> str:
    """Model and family, or what sets the panel apart from others, as far as they fit above it."""
    if not panel.told:
        return heading(panel.model, panel.cells[0].family, panels)
    room = _room(panels)
    return f"{shorten(panel.model, room)}\n{shorten(panel.told, room)}"


def _room(panels: int) -> int:
    """Characters that fit above a panel."""
    return int((panel_width(panels) + 0.25) / (0.075 * setting().theme.scale)) - 4


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


def linear_within(cells: Sequence[CellView], metric: str) -> float | None:
    """Below which size, a power of ten, values of both signs are drawn on a linear scale, and beyond on a log one.

    From the size of their intervals; None where all values are positive, or a linear axis tells them apart.
    """
    values = [value for cell in cells if (value := cell.value(metric)) is not None]
    halves = [half for cell in cells if (half := cell[metric].half_width)]
    sizes = halves or [abs(value) for value in values if value]
    if min(values) > 0 or not sizes:
        return None
    within = 10.0 ** math.floor(math.log10(statistics.median(sizes)))
    return within if max(map(abs, values)) > 100 * within else None


def metric_axis(axes: Axes, run: RunFolder, cells: Sequence[CellView], metric: str, inches: float) -> None:
    """Set the y axis: logarithmic for positive values, else linear; both where some of another size are not seen."""
    low, high = extent(run, cells, metric)
    if low is not None and high is not None:
        log_axis(axes, "y", low, high, inches)
    elif (within := linear_within(cells, metric)) is not None:
        ends = [end for cell in cells for end in (cell[metric].low, cell.value(metric), cell[metric].high)]
        known = [end for end in ends if end is not None]
        signed_axis(axes, min(known), max(known), within, inches)


def metric_label(cells: Sequence[CellView], metric: str) -> str:
    """The y axis' label: the metric, whether higher is better, and where the axis is linear if not everywhere."""
    within = linear_within(cells, metric)
    notes = [] if lower_is_better(cells, metric) else ["higher is better"]
    notes += [] if within is None else [f"linear within ±{within:g}"]
    return f"{title(metric)} ({', '.join(notes)})" if notes else title(metric)


def evaluation_ticks(drawn: Sequence[CellView], last: float, decade: float) -> list[float]:
    """Ticks at the budgets in NFE whose labels don't touch, with ``decade`` inches to a decade.

    Beyond the largest budget, where adaptive samplers are, round numbers.
    """
    budgets = sorted({float(c.budget) for c in drawn if c.budget_kind == "nfe" and c.budget})
    round_numbers = [digit * 10.0**power for power in range(6) for digit in (1, 2, 5)]
    ticks = budgets and budgets + [number for number in round_numbers if 1.5 * budgets[-1] < number <= last]
    kept: list[float] = []
    for tick in ticks:
        room = setting().theme.scale * (0.1 + 0.035 * sum(len(f"{one:.10g}") for one in (tick, *kept[-1:])))
        if not kept or math.log10(tick / kept[-1]) * decade >= room:
            kept.append(tick)
    return kept
