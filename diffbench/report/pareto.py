"""The front of quality against seconds per image, all models of one reference in one panel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from diffbench.report.figures import behind, extent
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
            text = f"floor {number(floor[0])}: {group[0].n} real images"
            axes.annotate(text, (0.008, floor[0]), xycoords=("axes fraction", "data"), xytext=(0, -2.5),
                          textcoords="offset points", va="top", color=QUIET, fontsize=7)  # fmt: skip
        axes.set_ylabel(title(metric))
        axes.set_xlabel("seconds per image")
        if len(scales) > 1:
            axes.set_title(f"reference {shorten(str(this[0]), 30)}, n = {this[2]}", loc="left")
    legend(figure, _samplers(look, both), _models(fills))
    figure.draw_without_rendering()
    for axes, this in zip(panels, scales, strict=True):
        _labels(figure, axes, front([c for c in both if scale(c) == this], metric),
                [c for c in both if scale(c) == this], metric)  # fmt: skip
    data = behind(both, (metric, SECONDS), on_front=lambda cell: id(cell) in on_front)
    return save(figure, folder, "pareto", data)


def _points(
    axes: Axes, group: Sequence[CellView], best: Sequence[CellView], metric: str, look: dict[str, Look],
    fills: dict[str, FillStyle],
) -> None:  # fmt: skip
    for cell in group:
        mark, top = look[cell.series], cell in best
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
    share = min(0.4, 0.054 * max(len(_name(cell, group)) for cell in group) / WIDTH + 0.03)  # room for a label, left
    ratio = max(2.0, max(xs) / min(xs))
    log_axis(axes, "x", min(xs) / ratio ** (share / (1 - share)), max(xs) * ratio**0.1, WIDTH - 0.6)
    low, high = extent(run, group, metric)
    if low is not None and high is not None:
        log_axis(axes, "y", low, high * 1.1, 3.3)


def _samplers(look: dict[str, Look], cells: Sequence[CellView]) -> list[Line2D]:
    handles = [look[series].handle() for series in dict.fromkeys(cell.series for cell in cells)]
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


# Where a label may stand around its point: offset in points, alignment. The first free place is taken. What lies below
# and left of the front is empty by definition, so these places come first.
_FREE_SIDE = ((-7, 0, "right", "center"), (-6, -5, "right", "top"), (0, -8, "center", "top"), (-1, -8, "right", "top"),
              (1, -8, "left", "top"), (-6, 5, "right", "bottom"))  # fmt: skip
_OTHER_SIDE = ((6, 5, "left", "bottom"), (7, 0, "left", "center"), (0, 8, "center", "bottom"), (6, -5, "left", "top"))
_PLACES = [
    (dx * reach, dy * reach, ha, va)
    for sides, reaches in ((_FREE_SIDE, (1.0, 1.7, 2.6)), (_OTHER_SIDE, (1.0, 1.7)), (_FREE_SIDE, (3.8, 5.0, 6.5)))
    for reach in reaches
    for dx, dy, ha, va in sides
]

_LEADER = {"arrowstyle": "-", "color": QUIET, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}


def _name(cell: CellView, group: Sequence[CellView]) -> str:
    model = f"{shorten(cell.model, 28)} · " if len(models(group)) > 1 else ""
    return f"{model}{shorten(cell.series, 28)} @ {cell.cost_label}"


def _labels(figure: Figure, axes: Axes, best: Sequence[CellView], group: Sequence[CellView], metric: str) -> None:
    """Name the front's points, each where it covers no point, interval or other label."""
    taken = [box for cell in group for box in _marks(axes, cell, metric)] + _steps(axes, best, metric)
    for cell in best:
        point = (cell.value(SECONDS) or 0.0, cell.value(metric) or 0.0)
        note = axes.annotate(_name(cell, group), point, fontsize=7, color=INK, textcoords="offset points",
                             xytext=(0, 0), zorder=6)  # fmt: skip
        taken.append(_place(figure, axes, note, taken))


def _marks(axes: Axes, cell: CellView, metric: str) -> list[Bbox]:
    x, y = cell[SECONDS], cell[metric]
    assert x.value is not None and y.value is not None
    centre = axes.transData.transform((x.value, y.value))
    boxes = [Bbox.from_extents(*(centre - 5), *(centre + 5))]
    if y.low is not None and y.high is not None:
        bottom = max(y.low, axes.get_ylim()[0])
        ends = axes.transData.transform([(x.value, bottom), (x.value, y.high)])
        boxes.append(Bbox.from_extents(ends[0][0] - 1, ends[0][1], ends[1][0] + 1, ends[1][1]))
    if x.low is not None and x.high is not None:
        ends = axes.transData.transform([(max(x.low, axes.get_xlim()[0]), y.value), (x.high, y.value)])
        boxes.append(Bbox.from_extents(ends[0][0] - 3, ends[0][1] - 1, ends[1][0] + 3, ends[1][1] + 1))
    return boxes


def _steps(axes: Axes, best: Sequence[CellView], metric: str) -> list[Bbox]:
    """The stairs, as thin boxes."""
    corners = [axes.transData.transform((c.value(SECONDS) or 0.0, c.value(metric) or 0.0)) for c in best]
    boxes = []
    for (x0, y0), (x1, y1) in zip(corners, corners[1:], strict=False):
        boxes.append(Bbox.from_extents(x0, y0 - 1, x1, y0 + 1))
        boxes.append(Bbox.from_extents(x1 - 1, y1, x1 + 1, y0))
    return boxes


def _place(figure: Figure, axes: Axes, note: Annotation, taken: Sequence[Bbox]) -> Bbox:
    room = axes.get_window_extent()
    best: tuple[float, int] | None = None
    for index, (dx, dy, ha, va) in enumerate(_PLACES):
        note.set(position=(dx, dy), ha=ha, va=va)
        box = note.get_window_extent()
        outside = not (room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1)
        cost = sum(_overlap(box, other) for other in taken) + (1e6 if outside else 0.0)
        if best is None or cost < best[0]:
            best = (cost, index)
        if cost == 0:
            break
    assert best is not None
    dx, dy, ha, va = _PLACES[best[1]]
    note.set(position=(dx, dy), ha=ha, va=va)
    if max(abs(dx), abs(dy)) > 12:  # far from its point: a thin line leads there
        side = {"left": 0.0, "center": 0.5, "right": 1.0}[ha], {"bottom": 0.0, "center": 0.5, "top": 1.0}[va]
        axes.annotate("", note.xy, xytext=side, textcoords=note, arrowprops=_LEADER, zorder=5)
    return note.get_window_extent()


def _overlap(one: Bbox, other: Bbox) -> float:
    shared = Bbox.intersection(one, other)
    return 0.0 if shared is None else max(shared.width, 0.5) * max(shared.height, 0.5)
