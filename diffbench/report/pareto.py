"""The front of quality against seconds per image, all models of one reference in one panel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from diffbench.report.figures import behind, extent, floor_handle
from diffbench.report.folder import RunFolder
from diffbench.report.frame import SECONDS, CellView, lower_is_better, models, number, title
from diffbench.report.style import INK, QUIET, WIDTH, Look, legend, log_axis, looks, save, shorten, tint

FillStyle = Literal["full", "left", "right", "bottom", "top", "none"]
_FILLS: tuple[FillStyle, ...] = ("full", "none", "left", "top", "right", "bottom")  # one a model


def scale(cell: CellView) -> tuple[str | None, str | None, int | None]:
    """What two cells must share for their scores to be comparable."""
    return cell.reference, cell.extractor, cell.n


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
    both = [c for c in run.cells if c.value(metric) is not None and c.value(SECONDS) is not None]
    scales = list(dict.fromkeys(scale(cell) for cell in both))
    if not both:
        return []
    look, fills = looks(run), dict(zip(models(both), _FILLS * len(both), strict=False))
    figure = Figure(figsize=(WIDTH, 3.9 * len(scales) + 0.6), layout="constrained")
    panels: list[Axes] = list(figure.subplots(len(scales), 1, squeeze=False).flat)
    on_front: set[int] = set()
    for axes, this in zip(panels, scales, strict=True):
        group = [cell for cell in both if scale(cell) == this]
        best = front(group, metric)
        on_front |= {id(cell) for cell in best}
        _points(axes, group, best, metric, look, fills)
        _limits(axes, run, group, metric)
        _stairs(axes, best, metric)
        if (floor := run.floor(group[0], metric)) is not None:
            axes.axhline(floor[0], color=QUIET, linestyle=(0, (1, 1.2)), linewidth=1.2, zorder=2)
        axes.set_ylabel(title(metric))
        axes.set_xlabel("seconds per image")
        if len(scales) > 1:
            axes.set_title(f"reference {shorten(str(this[0]), 30)}, n = {this[2]}", loc="left")
        _key(axes, best, group, metric)
    legend(figure, _samplers(look, both), [*_models(fills), *floor_handle(run, both, metric)])
    data = behind(both, (metric, SECONDS), on_front=lambda cell: id(cell) in on_front)
    return save(figure, folder, "pareto", data)


def _points(
    axes: Axes, group: Sequence[CellView], best: Sequence[CellView], metric: str, look: dict[str, Look],
    fills: dict[str, FillStyle],
) -> None:  # fmt: skip
    for cell in group:
        mark, top = look[cell.line], cell in best
        y, x = cell[metric], cell[SECONDS]
        assert y.value is not None and x.value is not None
        colour = mark.colour if top else tint(mark.colour)
        if x.low is not None and x.high is not None:
            axes.hlines(y.value, x.low, x.high, color=colour, linewidth=0.9, zorder=3 + 0.5 * top)
        if y.low is not None and y.high is not None:
            axes.vlines(x.value, y.low, y.high, color=colour, linewidth=0.9, zorder=3 + 0.5 * top)
        fill = fills[cell.model]
        axes.plot(x.value, y.value, color=colour, marker=mark.marker, fillstyle="full" if fill == "none" else fill,
                  markerfacecolor="white" if fill == "none" else colour, markerfacecoloralt="white", linestyle="",
                  markersize=6 if top else 4.5, markeredgecolor=colour, markeredgewidth=1.0,
                  zorder=4 + top)  # fmt: skip


def _stairs(axes: Axes, best: Sequence[CellView], metric: str) -> None:
    """The border of the region that the run's cells dominate."""
    xs = [cell.value(SECONDS) or 0.0 for cell in best]
    ys = [cell.value(metric) or 0.0 for cell in best]
    worst = axes.get_ylim()[1 if lower_is_better(best, metric) else 0]
    axes.plot([xs[0], *xs, axes.get_xlim()[1]], [worst, *ys, ys[-1]], drawstyle="steps-post",
              color=QUIET, linewidth=1.0, zorder=2)  # fmt: skip


def _limits(axes: Axes, run: RunFolder, group: Sequence[CellView], metric: str) -> None:
    xs = [x for cell in group for x in (cell[SECONDS].low, cell.value(SECONDS), cell[SECONDS].high) if x and x > 0]
    margin = max(2.0, max(xs) / min(xs)) ** 0.06
    log_axis(axes, "x", min(xs) / margin, max(xs) * margin, WIDTH - 2.4)
    low, high = extent(run, group, metric)
    if low is not None and high is not None:
        log_axis(axes, "y", low, high * 1.1, 3.3)


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
            color=INK,
            marker="o",
            markerfacecoloralt="white",
            fillstyle=fill,
            linestyle="",
            label=shorten(model, 40),
        )
        for model, fill in fills.items()
    ]
    return [*(shown if len(shown) > 1 else []), Line2D([], [], color=QUIET, linewidth=1.0, label="front")]


def _name(cell: CellView, group: Sequence[CellView]) -> str:
    model = f"{shorten(cell.model, 28)} · " if len(models(group)) > 1 else ""
    return f"{model}{shorten(cell.series, 28)} @ {cell.cost_label}"


def _key(axes: Axes, best: Sequence[CellView], group: Sequence[CellView], metric: str) -> None:
    """Number the front's points, and say beside the axes what they are."""
    lines = []
    for index, cell in enumerate(best, start=1):
        x, y = cell.value(SECONDS) or 0.0, cell.value(metric) or 0.0
        halo = [withStroke(linewidth=2.2, foreground="white")]
        axes.annotate(str(index), (x, y), xytext=(-5, -5), textcoords="offset points", ha="right", va="top",
                      fontsize=8, fontweight="bold", color=INK, path_effects=halo, zorder=7)  # fmt: skip
        lines.append(f"{index}  {_name(cell, group)}\n     {title(metric)} {number(y)}, {number(x)} s")
    axes.text(1.015, 1.0, "Front, fastest first\n\n" + "\n".join(lines), transform=axes.transAxes, va="top",
              fontsize=7, color=INK, linespacing=1.35)  # fmt: skip
