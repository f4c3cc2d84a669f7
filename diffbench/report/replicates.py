"""Trainings of one recipe: each one's score with its sampling error, beside their mean with what retraining adds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from diffbench.comparison.history import History
from diffbench.comparison.join import differing_fields
from diffbench.comparison.replicates import Recipe
from diffbench.document.words import counted
from diffbench.report.frame import short_title, title, unique
from diffbench.report.history import MOST_PANELS, budget_of, run_axis, sampler_of
from diffbench.report.style import INK, QUIET, WIDTH, legend, look_of, save, shorten, tint
from diffbench.report.trend_axis import value_axis

MOST_CELLS = 8
_COLUMNS = 3


@dataclass(frozen=True)
class _Panel:
    name: str
    metric: str
    recipes: tuple[Recipe, ...]

    @property
    def cells(self) -> list[tuple[Any, ...]]:
        """The cells' keys but for the model, in the table's order."""
        return list(dict.fromkeys(recipe.key for recipe in self.recipes))


def draw_replicates(found: History, recipes: Sequence[Recipe], folder: Path) -> tuple[list[Path], list[str]]:
    """Draw ``replicates.png``, ``.pdf`` and ``.svg``: the files, none if no recipe has a mean, and what they leave out.

    One panel a recipe and metric, cells beside each other; where a recipe stands in several runs, its mean over them.
    """
    panels, told = _panels(recipes)
    if not panels:
        return [], told
    over_runs = any(len({recipe.place for recipe in panel.recipes}) > 1 for panel in panels)
    columns = min(_COLUMNS, len(unique(panel.metric for panel in panels)))
    rows = math.ceil(len(panels) / columns)
    width = WIDTH if columns > 1 else WIDTH * 0.72
    figure = Figure(figsize=(width, 2.1 * rows + 0.8), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    drawn = [recipe for panel in panels for recipe in panel.recipes]
    samplers = unique(sampler_of(recipe.row) for recipe in drawn)
    budgets = unique(budget_of(recipe.row) for recipe in sorted(drawn, key=lambda r: r.row["budget"] or math.inf))
    for axes, panel in zip(grid.flat, panels, strict=False):
        if over_runs:
            _over_runs(axes, found, panel, samplers, budgets, width / columns)
        else:
            _over_cells(axes, panel, samplers)
        value_axis(axes, *_extent(panel.recipes), log=over_runs)
        axes.grid(False, axis="x")
        axes.set_title(f"{shorten(panel.name, 22)}: {short_title(panel.metric)}", loc="left")
    for spare in grid.flat[len(panels) :]:
        spare.remove()
    colours = [Line2D([], [], color=look_of(i)[0], label=shorten(name, 34)) for i, name in enumerate(samplers)]
    legend(figure, colours, _handles(budgets if over_runs else ()))
    return save(figure, folder, "replicates", None), told


def _panels(recipes: Sequence[Recipe]) -> tuple[list[_Panel], list[str]]:
    groups: dict[tuple[str, str], list[Recipe]] = {}
    for recipe in recipes:
        if recipe.spread.mean is not None:
            groups.setdefault((recipe.name, recipe.metric), []).append(recipe)
    panels, told = [], []
    for (name, metric), members in list(groups.items())[:MOST_PANELS]:
        cells = list(dict.fromkeys(recipe.key for recipe in members))
        shown = [recipe for recipe in members if recipe.key in cells[:MOST_CELLS]]
        panels.append(_Panel(name, metric, tuple(shown)))
        if len(cells) > MOST_CELLS:
            told.append(f"{name}, {title(metric)}: {counted(len(cells) - MOST_CELLS, 'cell')} of replicates not drawn")
    if len(groups) > MOST_PANELS:
        told.append(f"{len(groups) - MOST_PANELS} panels of replicates not drawn; --metric and --only choose")
    return panels, told


def _extent(recipes: Sequence[Recipe]) -> tuple[list[float], list[float]]:
    """Values of all trainings, and the ends of their intervals and of those of their means."""
    rows = [member.row for recipe in recipes for member in recipe.members]
    ends = [end for row in rows for end in (row["ci_low"], row["ci_high"])]
    ends += [end for recipe in recipes for end in (recipe.spread.low, recipe.spread.high)]
    return [float(row["value"]) for row in rows], [float(end) for end in ends if end is not None]


def _over_cells(axes: Axes, panel: _Panel, samplers: Sequence[str]) -> None:
    """Each cell's trainings side by side, on what sampling alone would spread them over; to their right the mean."""
    for place, recipe in enumerate(panel.recipes):
        colour, _ = look_of(samplers.index(sampler_of(recipe.row)))
        own, mean = recipe.spread, float(recipe.spread.mean or 0.0)
        if own.apart is not None:
            axes.fill_between([place - 0.38, place + 0.2], mean - 1.96 * own.apart, mean + 1.96 * own.apart,
                              color=tint(QUIET, 0.22), linewidth=0, zorder=1)  # fmt: skip
        for shift, member in zip(_beside(len(recipe.members)), recipe.members, strict=True):
            row = member.row
            if row["ci_low"] is not None:
                axes.plot([place + shift] * 2, [row["ci_low"], row["ci_high"]], color=colour, linewidth=0.8, zorder=2)
            axes.plot([place + shift], [row["value"]], "o", color=colour, markersize=3, zorder=3)
        _mean(axes, recipe, place + 0.32, INK, "D")
    axes.set_xticks(range(len(panel.recipes)), [budget_of(recipe.row) for recipe in panel.recipes],
                    rotation=40 if len(panel.recipes) > 4 else 0)  # fmt: skip
    axes.set_xlim(-0.55, len(panel.recipes) - 0.45)


def joined(recipes: Sequence[Recipe]) -> list[tuple[Recipe, Recipe]]:
    """Those of a cell that stand in runs one after the other and are scores of the same thing: what a line may join."""
    pairs = zip(recipes, recipes[1:], strict=False)
    return [
        (one, other)
        for one, other in pairs
        if (other.place or 0) == (one.place or 0) + 1 and not differing_fields(one.row, other.row)
    ]


def _over_runs(
    axes: Axes, found: History, panel: _Panel, samplers: Sequence[str], budgets: Sequence[str], inches: float
) -> None:
    """Each cell's mean from run to run; its trainings pale beside it."""
    middle = (len(panel.cells) - 1) / 2
    for place, cell in enumerate(panel.cells):
        own = [recipe for recipe in panel.recipes if recipe.key == cell]
        colour, _ = look_of(samplers.index(sampler_of(own[0].row)))
        _, marker = look_of(budgets.index(budget_of(own[0].row)))
        shift = (place - middle) * 0.09
        for recipe in own:
            at = (recipe.place or 0) + shift
            values = [float(member.row["value"]) for member in recipe.members]
            axes.plot([at - 0.05] * len(values), values, "o", color=tint(colour, 0.4), markersize=2.4, zorder=1.5)
            _mean(axes, recipe, at, colour, marker)
        for one, other in joined(own):
            ends = [float(recipe.spread.mean or 0.0) for recipe in (one, other)]
            places = [(recipe.place or 0) + shift for recipe in (one, other)]
            axes.plot(places, ends, color=colour, linewidth=1.0, zorder=2)
    run_axis(axes, found, inches)
    axes.set_xlim(-0.5, len(found.runs) - 0.5)


def _beside(count: int) -> list[float]:
    return [float(shift) for shift in np.linspace(-0.3, 0.12, count)] if count > 1 else [-0.09]


def _mean(axes: Axes, recipe: Recipe, at: float, colour: str, marker: str) -> None:
    own = recipe.spread
    if own.low is not None and own.high is not None:
        axes.plot([at] * 2, [own.low, own.high], color=colour, linewidth=1.8, solid_capstyle="butt", zorder=3)
    axes.plot([at], [float(own.mean or 0.0)], marker, color=colour, markeredgecolor="white", markeredgewidth=0.4,
              zorder=4)  # fmt: skip


def _handles(budgets: Sequence[str]) -> list[Any]:
    if budgets:
        known = [Line2D([], [], color=QUIET, marker=look_of(i)[1], label=f"mean, {b}") for i, b in enumerate(budgets)]
        return [*known, Line2D([], [], color=tint(QUIET, 0.4), marker="o", linestyle="", label="one training")]
    return [
        Line2D([], [], color=QUIET, marker="o", markersize=3, linewidth=0.8, label="one training, 95% by sampling"),
        Line2D([], [], color=INK, marker="D", linewidth=1.8, label="mean, 95% over trainings and samples"),
        Patch(color=tint(QUIET, 0.22), label="95% of trainings if sampling alone moved them"),
    ]
