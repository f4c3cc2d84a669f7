"""The front of quality against seconds per image, all models of one reference in one panel."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from diffbench.document.words import counted
from diffbench.errors import UsageError
from diffbench.report.answers import untimed
from diffbench.report.direct import label_levels
from diffbench.report.drawn import Drawn
from diffbench.report.figures import behind, floor_handle, floor_line, given_cells
from diffbench.report.folder import RunFolder
from diffbench.report.frame import SECONDS, CellView, lower_is_better, models, title
from diffbench.report.layout import heading, metric_axis, metric_label, panels
from diffbench.report.measured import number
from diffbench.report.panels import by_scale
from diffbench.report.save import Behind, save, signatures_of
from diffbench.report.style import Look, legend, log_axis, looks, shorten
from diffbench.report.themes import setting, tint

_LEAST = 2.6  # inches for a key with text of 8 points
_LINE = 1.35 / 72  # inches a line of the key takes for each point of its text
_MOST = 24  # cells in a key
FillStyle = Literal["full", "left", "right", "bottom", "top", "none"]
_FILLS: tuple[FillStyle, ...] = ("full", "none", "left", "top", "right", "bottom")  # one a model


def front(cells: Sequence[CellView], metric: str) -> list[CellView]:
    """Cells that no other beats: none is both at least as fast and at least as good, and better in one of the two.

    Fastest first; only cells with both values count, and only one ``scale`` should be given. Point values decide:
    intervals are shown, not used.
    """
    sign = 1.0 if lower_is_better(cells, metric) else -1.0
    points = [(s, sign * q, cell) for cell in cells if (s := cell.value(SECONDS)) is not None
              and (q := cell.value(metric)) is not None]  # fmt: skip
    kept = [
        (s, q, cell) for s, q, cell in points if not any(a <= s and b <= q and (a, b) != (s, q) for a, b, _ in points)
    ]
    return [cell for _, _, cell in sorted(kept, key=lambda point: point[:2])]


def pareto(run: RunFolder, metric: str, folder: Path) -> list[Path]:
    """Draw the front; returns the files, none without timed and scored cells."""
    figure = pareto_figure(run, metric)
    if figure is None:
        return []
    return save(figure, folder, "pareto", *pareto_data(run, metric))


def pareto_data(run: RunFolder, metric: str) -> tuple[Behind, list[str]]:
    """The table behind the figure, with what is on a front, and the signatures of its scores."""
    both, given = timed_cells(run, metric), given_cells(run, metric)
    fronts = {id(cell) for panel in by_scale(both, given, metric, machines=True) for cell in front(panel.cells, metric)}
    shown = [*both, *given]
    extra: dict[str, Callable[[CellView], Any]] = {
        "machine": lambda cell: cell.machine or None,
        "on_front": lambda cell: id(cell) in fronts,
    }
    return behind(shown, (metric, SECONDS), **extra), signatures_of(shown, [metric])


def timed_cells(run: RunFolder, metric: str) -> list[CellView]:
    """The cells that have both a score and a cost."""
    return [c for c in run.cells if c.value(metric) is not None and c.value(SECONDS) is not None]


def pareto_figure(run: RunFolder, metric: str, axes: Axes | None = None) -> Figure | None:
    """The front of quality against seconds, one panel a scale and machine; None without timed and scored cells.

    Drawn inside :func:`~diffbench.report.themes.style`. Raises UsageError if ``axes`` are given for several panels, or
    where the figure is too narrow for what stands beside its axes.
    """
    both = timed_cells(run, metric)
    if not both:
        return None
    left = len(untimed(run.cells, metric))
    look, fills = looks(run), dict(zip(models(both), _FILLS * len(both), strict=False))
    groups = by_scale(both, given_cells(run, metric), metric, machines=True)
    keys = [_key(front(panel.cells, metric), panel.cells, metric) for panel in groups]
    figure, axes_of = _stacked(len(groups), axes, max(len(key) for key in keys))
    for own, panel, key in zip(axes_of, groups, keys, strict=True):
        best = front(panel.cells, metric)
        _points(own, panel.cells, best, metric, look, fills)
        _limits(own, run, [*panel.cells, *panel.given], metric)
        _stairs(own, best, metric)
        label_levels(own, panel.given, metric)
        if (floor := run.floor(panel.cells[0], metric)) is not None:
            floor_line(own, floor[0])
        own.set(
            xlabel="seconds per image" + f" ({counted(left, 'untimed cell')} left out)" * (left > 0),
            ylabel=metric_label([*panel.cells, *panel.given], metric),
        )
        if axes is not None and len(models(panel.cells)) == 1:
            own.set_title(heading(panel.cells[0].model, panel.cells[0].family, 1), loc="left")
        elif panel.told:
            own.set_title(shorten(panel.told, int(setting().width / setting().theme.scale * 11)), loc="left")
        if axes is None:
            _write_key(own, key)
    known = _models(fills)
    legend(figure, _samplers(look, both), known[:-1], [*known[-1:], *floor_handle(run, both, metric)], axes=axes)
    if axes is None:
        figure.draw_without_rendering()  # how far numbers are from each other is known once the axes have their size
        for own, panel in zip(axes_of, groups, strict=True):
            _number(own, front(panel.cells, metric), metric)
    return figure


def _stacked(count: int, axes: Axes | None, longest: int) -> tuple[Figure, list[Axes]]:
    """One panel above the other; with room beside or, in a column, below each for a key of ``longest`` lines."""
    if axes is not None:
        return panels(count, share_y=False, axes=axes)
    theme, width = setting().theme, setting().width
    if width < (least := _LEAST * theme.scale):
        raise UsageError(f"width {width:g}: a Pareto front in the theme {theme.name} takes at least {least:.1f} inches")
    beside = _LINE * (theme.points - theme.scale) * (longest + 2)
    high = (2.6 + 0.15 * longest) * theme.scale if setting().narrow else max(3.6 * theme.scale**0.5, beside)
    figure = Drawn(figsize=(width, high * count + 0.6 * theme.scale), layout="constrained")
    return figure, list(figure.subplots(count, 1, squeeze=False).flat)


def _points(
    axes: Axes, group: Sequence[CellView], best: Sequence[CellView], metric: str, look: dict[str, Look],
    fills: dict[str, FillStyle],
) -> None:  # fmt: skip
    theme, size = setting().theme, setting().theme.scale
    for cell in group:
        mark, top = look[cell.line], cell in best
        y, x = cell[metric], cell[SECONDS]
        assert y.value is not None and x.value is not None
        colour = mark.colour if top else tint(mark.colour)
        if x.low is not None and x.high is not None:
            axes.hlines(y.value, x.low, x.high, color=colour, linewidth=0.9 * size, zorder=3 + 0.5 * top)
        if y.low is not None and y.high is not None:
            axes.vlines(x.value, y.low, y.high, color=colour, linewidth=0.9 * size, zorder=3 + 0.5 * top)
        fill = fills[cell.model]
        axes.plot(x.value, y.value, color=colour, marker=mark.marker, fillstyle="full" if fill == "none" else fill,
                  markerfacecolor=theme.ground if fill == "none" else colour, markerfacecoloralt=theme.ground,
                  linestyle="", markersize=(6 if top else 4.5) * size, markeredgecolor=colour, markeredgewidth=size,
                  zorder=4 + top)  # fmt: skip


def _stairs(axes: Axes, best: Sequence[CellView], metric: str) -> None:
    """The border of the region that the run's cells dominate."""
    xs = [cell.value(SECONDS) or 0.0 for cell in best]
    ys = [cell.value(metric) or 0.0 for cell in best]
    worst = axes.get_ylim()[1 if lower_is_better(best, metric) else 0]
    axes.plot([xs[0], *xs, axes.get_xlim()[1]], [worst, *ys, ys[-1]], drawstyle="steps-post",
              color=setting().theme.quiet, linewidth=1.0 * setting().theme.scale, zorder=2)  # fmt: skip


def _limits(axes: Axes, run: RunFolder, group: Sequence[CellView], metric: str) -> None:
    xs = [x for cell in group for x in (cell[SECONDS].low, cell.value(SECONDS), cell[SECONDS].high) if x and x > 0]
    margin = max(2.0, max(xs) / min(xs)) ** 0.06
    log_axis(axes, "x", min(xs) / margin, max(xs) * margin, setting().width * (0.8 if setting().narrow else 0.65))
    metric_axis(axes, run, group, metric, 1.6 if setting().narrow else 3.0)


def _samplers(look: dict[str, Look], cells: Sequence[CellView]) -> list[Line2D]:
    handles = [look[line].handle() for line in dict.fromkeys(cell.line for cell in cells)]
    for handle in handles:
        handle.set_linestyle("")
    return handles


def _models(fills: dict[str, FillStyle]) -> list[Line2D]:
    shown = [
        Line2D(
            [],
            [],
            color=setting().theme.ink,
            marker="o",
            markerfacecoloralt=setting().theme.ground,
            fillstyle=fill,
            linestyle="",
            label=shorten(model, 40),
        )
        for model, fill in fills.items()
    ]
    theme = setting().theme
    line = Line2D([], [], color=theme.quiet, linewidth=1.0 * theme.scale, label="front")
    return [*(shown if len(shown) > 1 else []), line]


def _name(cell: CellView, group: Sequence[CellView]) -> str:
    model = f"{shorten(cell.model, 28)} · " if len(models(group)) > 1 else ""
    return f"{model}{shorten(cell.series, 28)} @ {cell.budget_label}"


def _number(axes: Axes, best: Sequence[CellView], metric: str) -> None:
    """Number the front's points; the axes' limits move where a number would lie outside."""
    theme, side = setting().theme, 1 if lower_is_better(best, metric) else -1
    places = _number_places(axes, best, metric)
    box = axes.get_window_extent()
    points, digits = 72 / axes.figure.dpi, 0.65 * theme.points * len(str(len(best)))
    left = min(x for x, _ in places) - digits - box.x0 * points
    beyond = min(side * y for _, y in places) - 1.3 * theme.points - (box.y0 if side > 0 else -box.y1) * points
    _widen(axes, "x", "low", -left / (box.width * points))
    _widen(axes, "y", "low" if side > 0 else "high", -beyond / (box.height * points))
    halo = [withStroke(linewidth=2.2 * theme.scale, foreground=theme.ground)]
    places = _number_places(axes, best, metric)
    for index, (cell, place) in enumerate(zip(best, places, strict=True), start=1):
        at = cell.value(SECONDS) or 0.0, cell.value(metric) or 0.0
        here = axes.transData.transform(at) * points
        axes.annotate(str(index), at, xytext=(place[0] - here[0], place[1] - here[1]), textcoords="offset points",
                      ha="right", va="top" if side > 0 else "bottom", fontsize=theme.points, fontweight="bold",
                      color=theme.ink, path_effects=halo, zorder=7)  # fmt: skip


def _number_places(axes: Axes, best: Sequence[CellView], metric: str) -> list[tuple[float, float]]:
    """Where numbers end, in points: on the lower left side, or below the number before if they would touch."""
    theme, side = setting().theme, 1 if lower_is_better(best, metric) else -1
    places: list[tuple[float, float]] = []
    for cell in best:
        x, y = axes.transData.transform((cell.value(SECONDS) or 0.0, cell.value(metric) or 0.0)) * 72 / axes.figure.dpi
        down = 5.0 * theme.scale
        if places and x - 4 * theme.scale - places[-1][0] < 9 * theme.scale:
            down = max(down, side * (y - places[-1][1]) + 9.5 * theme.scale)
        places.append((float(x) - 4 * theme.scale, float(y) - side * down))
    return places


def _widen(axes: Axes, which: Literal["x", "y"], end: Literal["low", "high"], share: float) -> None:
    """Move one limit outwards by a share of the axis' length, on whatever scale; nothing if the share is negative."""
    if share <= 0:
        return
    axis, limits = (axes.xaxis, axes.get_xlim()) if which == "x" else (axes.yaxis, axes.get_ylim())
    low, high = axis.get_transform().transform(np.array(limits))
    further = (high - low) * share / (1 - min(share, 0.5))
    moved = (low - further, high) if end == "low" else (low, high + further)
    axes.set(**{f"{which}lim": tuple(axis.get_transform().inverted().transform(np.array(moved)))})


def _key(best: Sequence[CellView], group: Sequence[CellView], metric: str) -> list[str]:
    """The lines that say what the numbered points are; in a column wrapped at its edge."""
    lines, size = [], setting().theme.scale
    for index, cell in enumerate(best[:_MOST], start=1):
        values = f"{title(metric)} {number(cell.value(metric))}, {number(cell.value(SECONDS))} s"
        if setting().narrow:
            whole, room = f"{index}  {_name(cell, group)}: {values}", int((setting().width / size - 0.5) / 0.051)
            lines += textwrap.wrap(whole, room, subsequent_indent=" " * 5)
        else:
            lines += [f"{index}  {_name(cell, group)}", f"      {values}"]
    return [*lines, f"and {len(best) - _MOST} more"] if len(best) > _MOST else lines


def _write_key(axes: Axes, lines: Sequence[str]) -> None:
    """Beside the axes, in a column below them."""
    theme, below = setting().theme, setting().narrow
    head = ["Front, fastest first", *([] if below else [""])]
    size = theme.points - (1.8 if below else 1) * theme.scale
    axes.text(*((0.0, -0.3) if below else (1.015, 1.0)), "\n".join([*head, *lines]), transform=axes.transAxes, va="top",
              fontsize=size, color=theme.ink, linespacing=1.35)  # fmt: skip
