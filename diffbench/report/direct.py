"""Names beside what they name, instead of in a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from diffbench.report.frame import CellView
from diffbench.report.style import Look, shorten
from diffbench.report.themes import setting

_LONGEST = 1.35  # inches that names of 8 points may take beside the axes
_LEVEL = (0, (6, 1.5, 1, 1.5))


@dataclass(frozen=True)
class End:
    """The last point of a line, in data coordinates."""

    look: Look
    x: float
    y: float


def label_ends(axes: Axes, ends: Sequence[End]) -> bool:
    """Write every line's name to the right of the axes, beside its last point; False, and nothing, if they don't fit.

    Names are moved apart, and a thin line leads from each to its point.
    """
    theme = setting().theme
    figure = axes.get_figure(root=True)
    names = [f"{shorten(end.look.label, 30)}" for end in ends]
    height = _height(axes, figure)
    gap = 1.25 * theme.points / 72 / height  # of the axes' height
    if not ends or setting().narrow or len(ends) * gap > 0.95:
        return False
    if max(map(len, names)) * 0.058 > _LONGEST or any(not math.isfinite(end.x * end.y) for end in ends):
        return False
    order = sorted(range(len(ends)), key=lambda index: ends[index].y)
    at = [float(axes.transAxes.inverted().transform(axes.transData.transform((e.x, e.y)))[1]) for e in ends]
    for index, place in zip(order, spread([at[index] for index in order], gap, 0.5 * gap, 1 - 0.5 * gap), strict=True):
        end = ends[index]
        axes.annotate(
            "", (end.x, end.y), (1.04, place), xycoords="data", textcoords="axes fraction", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": theme.quiet, "linewidth": 0.5 * theme.scale, "shrinkA": 0,
                        "shrinkB": 3 * theme.scale}, zorder=1.5,
        )  # fmt: skip
        mark = Line2D([1.04, 1.14], [place, place], transform=axes.transAxes, clip_on=False, color=end.look.colour,
                      linestyle=end.look.line, zorder=2.5)  # fmt: skip
        axes.add_line(mark)
        axes.add_line(
            Line2D([1.09], [place], transform=axes.transAxes, clip_on=False, linestyle="", color=end.look.colour,
                   marker=end.look.marker, markeredgecolor=theme.ground, markeredgewidth=0.4 * theme.scale, zorder=3)
        )  # fmt: skip
        axes.text(1.17, place, names[index], transform=axes.transAxes, va="center", color=theme.ink)
    return True


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Rising places moved as little as needed to lie ``gap`` apart between ``low`` and ``high``.

    Where they can't all fit, they overlap evenly at the lower end. Isotonic regression by pooling neighbours: the
    least-squares solution.
    """
    blocks: list[tuple[float, int]] = []  # mean of the shifted places, and how many
    for index, place in enumerate(places):
        blocks.append((place - index * gap, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, first), (other, second) = blocks[-2:]
            blocks[-2:] = [((one * first + other * second) / (first + second), first + second)]
    shifted = [mean for mean, count in blocks for _ in range(count)]
    top = high - (len(places) - 1) * gap
    return [max(low, min(top, mean)) + index * gap for index, mean in enumerate(shifted)]


def label_levels(axes: Axes, given: Sequence[CellView], metric: str) -> None:
    """A horizontal line for each set of given images, with its name and its interval at the left end."""
    theme = setting().theme
    for index, cell in enumerate(given):
        measured, at = cell[metric], 0.02 + 0.02 * index
        assert measured.value is not None
        axes.axhline(measured.value, color=theme.ink, linestyle=_LEVEL, linewidth=1.0 * theme.scale, zorder=2.2)
        if measured.low is not None and measured.high is not None:
            across = axes.get_yaxis_transform()
            axes.plot([at, at], [measured.low, measured.high], transform=across, color=theme.ink, marker="_",
                      markersize=3.5 * theme.scale, linewidth=0.9 * theme.scale, zorder=2.3, scalex=False)  # fmt: skip
        halo = [withStroke(linewidth=2.2 * theme.scale, foreground=theme.ground)]
        axes.annotate(
            shorten(cell.model, 24), (at, measured.value), xycoords=("axes fraction", "data"),
            xytext=(3 * theme.scale, -2 * theme.scale), textcoords="offset points", ha="left", va="top",
            fontsize=theme.points - theme.scale, color=theme.ink, path_effects=halo, zorder=6 + 0.01 * index,
        )  # fmt: skip


def _height(axes: Axes, figure: Figure | None) -> float:
    """About how many inches high the axes will be."""
    assert figure is not None
    return float(axes.get_position().height * figure.get_figheight())
