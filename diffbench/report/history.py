"""Scores over runs: one panel a model and metric, with intervals; real steps ringed, no line across a split."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diffbench.comparison.history import History, Point, Series
from diffbench.comparison.side import Row
from diffbench.document.words import counted, swept
from diffbench.report.frame import short_title, title, unique
from diffbench.report.history_tables import clearest_first
from diffbench.report.style import INK, QUIET, WIDTH, legend, look_of, save, shorten, shorten_apart
from diffbench.report.trend_axis import value_axis

MOST_LINES = 8
MOST_PANELS = 30
_COLUMNS = 3
_DODGE = 0.08  # of the distance between runs: lines of a panel stand beside each other


@dataclass(frozen=True)
class _Panel:
    model: str
    metric: str
    drawn: tuple[Series, ...]
    left_out: int


def sampler_of(row: Row) -> str:
    """What a line's colour stands for: the sampler with its swept options."""
    options = json.loads(row["options"])
    return " ".join([row["sampler"], *(swept(key, value) for key, value in options.items())])


def budget_of(row: Row) -> str:
    """What a line's marker stands for."""
    if row["budget"] is None:
        return "given images" if row["family"] == "external" else "adaptive"
    return f"{row['budget']} {'steps' if row['budget_kind'] == 'steps' else 'NFE'}"


def draw_history(found: History, folder: Path, hidden: Sequence[str] = ()) -> tuple[list[Path], list[str]]:
    """Draw ``history.png``, ``.pdf``, ``.svg``: the files, none without any value, and what they leave out in words.

    ``hidden`` models are shown elsewhere.
    """
    panels, told = _panels(found, hidden)
    if not panels:
        return [], told
    columns = min(_COLUMNS, len(unique(panel.model for panel in panels)))
    rows = math.ceil(len(panels) / columns)
    width = WIDTH if columns > 1 else WIDTH * 0.72
    figure = Figure(figsize=(width, 1.75 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    drawn = [series for panel in panels for series in panel.drawn]
    samplers = unique(sampler_of(series.row) for series in drawn)
    budgets = unique(
        budget_of(series.row) for series in sorted(drawn, key=lambda series: series.row["budget"] or math.inf)
    )
    one = len(unique(panel.model for panel in panels)) == 1
    for index, axes in enumerate(grid.flat):
        if index >= len(panels):
            axes.remove()
            grid.flat[index - columns].tick_params(labelbottom=True)
            continue
        panel = panels[index]
        _draw(axes, found, panel, samplers, budgets)
        name = title(panel.metric) if one else f"{shorten(panel.model, 24)}: {short_title(panel.metric)}"
        axes.set_title(name, loc="left")
        run_axis(axes, found, width / columns)
    legend(figure, *_handles(found, samplers, budgets, drawn))
    return save(figure, folder, "history", None), told


def _panels(found: History, hidden: Sequence[str]) -> tuple[list[_Panel], list[str]]:
    groups: dict[tuple[str, str], list[Series]] = {}
    for series in clearest_first(found):
        if any(point.value is not None for point in series.points) and series.row["model"] not in hidden:
            groups.setdefault((series.metric, str(series.row["model"])), []).append(series)
    metrics = unique(series.metric for series in found.series)
    models = unique(str(series.row["model"]) for series in found.series)
    keys = sorted(groups, key=lambda key: (metrics.index(key[0]), models.index(key[1])))
    order = {id(series): index for index, series in enumerate(found.series)}
    panels, told = [], []
    for metric, model in keys[:MOST_PANELS]:
        all_lines = groups[metric, model]
        drawn = sorted(all_lines[:MOST_LINES], key=lambda series: order[id(series)])
        panels.append(_Panel(model, metric, tuple(drawn), len(all_lines) - len(drawn)))
        if panels[-1].left_out:
            rest = all_lines[MOST_LINES:]
            moved = sum(any(step.real for step in series.steps) for series in rest)
            told.append(
                f"{model}, {title(metric)}: {counted(len(rest), 'cell')} not drawn, {moved or 'none'} of them with a "
                "real step; the clearest come first"
            )
    if len(keys) > MOST_PANELS:
        told.append(f"{len(keys) - MOST_PANELS} panels not drawn; --metric and --only choose")
    return panels, told


def _draw(axes: Axes, found: History, panel: _Panel, samplers: Sequence[str], budgets: Sequence[str]) -> None:
    middle = (len(panel.drawn) - 1) / 2
    for place, series in enumerate(panel.drawn):
        colour, _ = look_of(samplers.index(sampler_of(series.row)))
        _, marker = look_of(budgets.index(budget_of(series.row)))
        shift = (place - middle) * _DODGE
        _line(axes, series, colour, marker, shift)
        for step in series.steps:
            value = series.points[step.last].value
            if step.real and value is not None:
                axes.plot([step.last + shift], [value], "o", markersize=9.5, markerfacecolor="none",
                          markeredgecolor=INK, markeredgewidth=0.8, zorder=4)  # fmt: skip
    points = [point for series in panel.drawn for point in series.points if point.value is not None]
    ends = [end for point in points for end in _ends(point) if end is not None]
    value_axis(axes, [point.value for point in points if point.value is not None], ends)
    _splits(axes, panel.drawn)
    axes.set_xlim(-0.5, len(found.runs) - 0.5)


def _line(axes: Axes, series: Series, colour: str, marker: str, shift: float) -> None:
    """One cell's values, joined within each part between runs that follow each other."""
    measured = [(place, point) for place, point in enumerate(series.points) if point.value is not None]
    values = {place: float(point.value) for place, point in measured if point.value is not None}
    for place, point in measured[1:]:
        before = values.get(place - 1)
        if before is not None and series.points[place - 1].part == point.part:
            axes.plot([place - 1 + shift, place + shift], [before, values[place]], color=colour, zorder=2.8)
    for place, point in measured:
        low, high = _ends(point)
        if low is not None and high is not None:
            axes.plot([place + shift] * 2, [low, high], color=colour, linewidth=0.9, zorder=2.5)
        axes.plot([place + shift], [values[place]], color=colour, marker=marker, markeredgecolor="white",
                  markeredgewidth=0.4, linestyle="", zorder=3)  # fmt: skip


def _ends(point: Point) -> tuple[float | None, float | None]:
    return (None, None) if point.row is None else (point.row["ci_low"], point.row["ci_high"])


def _splits(axes: Axes, drawn: Sequence[Series]) -> None:
    """A dotted line before the runs whose values are of other things, with the fields that differ."""
    told: dict[int, list[str]] = {}
    for series in drawn:
        for place, point in enumerate(series.points):
            told.setdefault(place, []).extend(point.differs)
    for place, fields in told.items():
        if fields:
            axes.axvline(place - 0.5, color=QUIET, linestyle=(0, (1, 1.2)), linewidth=1.0, zorder=1.5)
            said = unique(fields)
            text = said[0] if len(said[0]) <= 22 else said[0].partition(":")[0] + " differs"
            more = f" +{len(said) - 1}" if len(said) > 1 else ""
            axes.text(place - 0.5, 0.98, f" {text}{more}", transform=axes.get_xaxis_transform(), rotation=90, va="top",
                      ha="right", fontsize=6.5, color=QUIET, zorder=5)  # fmt: skip


def run_axis(axes: Axes, found: History, inches: float) -> None:
    """The runs by name, as many as there is room for; turned where they are long."""
    labels = list(shorten_apart([run.label for run in found.runs], 16).values())
    room = (inches - 0.5) / len(labels)
    turned = room < 0.065 * max(map(len, labels)) + 0.08
    every = math.ceil(0.16 / room) if turned else 1
    ticks = sorted({*range(0, len(labels), every), *([len(labels) - 1] if (len(labels) - 1) % every == 0 else [])})
    axes.set_xticks(ticks, [labels[tick] for tick in ticks], rotation=40 if turned else 0,
                    ha="right" if turned else "center", rotation_mode="anchor" if turned else "default")  # fmt: skip
    axes.grid(False, axis="x")


def _handles(
    found: History, samplers: Sequence[str], budgets: Sequence[str], drawn: Sequence[Series]
) -> tuple[list[Line2D], list[Line2D], list[Line2D]]:
    names: Mapping[str, str] = shorten_apart(samplers, 34)
    colours = [Line2D([], [], color=look_of(i)[0], label=names[name]) for i, name in enumerate(samplers)]
    markers = [
        Line2D([], [], color=QUIET, marker=look_of(i)[1], linestyle="", label=name) for i, name in enumerate(budgets)
    ]
    ring = Line2D([], [], linestyle="", marker="o", markersize=9.5, markerfacecolor="none", markeredgecolor=INK,
                  markeredgewidth=0.8, label=f"real step (Holm over all, {found.alpha:g})")  # fmt: skip
    stepped = any(step.real for series in drawn for step in series.steps)
    return colours, markers, [ring] if stepped else []
