"""Sample grids: samplers against budgets from the same noise, and the best cell of each model at length."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from diffbench.document.words import slug
from diffbench.report.drawn import Drawn
from diffbench.report.findings import best_cell
from diffbench.report.folder import RunFolder
from diffbench.report.frame import CellView, models, title, unique
from diffbench.report.measured import value_and_half_width
from diffbench.report.save import save, signatures_of
from diffbench.report.style import quiet_spines, shorten
from diffbench.report.themes import setting, tint
from diffbench.store.kept import Images

TILE = (2, 4)  # rows and columns of samples in one tile
MOSAIC = (8, 8)
MOST_COLUMNS = 8

_GAP = 0.07  # inches between tiles
_CAPTION = 0.15  # inches below a tile


def mosaic(images: Images, rows: int, columns: int) -> NDArray[np.uint8]:
    """Samples (k, C, H, W) side by side, row by row: (h, w) for one channel, else (h, w, 3); a light line between.

    Places without a sample stay light; more than three channels show their first three, two their first.
    """
    count, channels, height, width = images.shape
    shown = images[: rows * columns, : 3 if channels >= 3 else 1]
    line = max(1, round(max(height, width) / 28))
    sheet = np.full(
        (rows * (height + line) - line, columns * (width + line) - line, shown.shape[1]), 235, dtype=np.uint8
    )
    for index, image in enumerate(shown):
        top, left = (index // columns) * (height + line), (index % columns) * (width + line)
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return sheet[:, :, 0] if sheet.shape[2] == 1 else sheet


def grids(run: RunFolder, metric: str | None, folder: Path) -> list[Path]:
    """Draw ``grids_<model>`` and ``best_<model>`` for every model that has kept samples."""
    written: list[Path] = []
    metrics = [] if metric is None else [metric]
    for model in models(run.cells):
        mine = [cell for cell in run.cells if cell.model == model]
        if (figure := grid_figure(run, model, metric)) is not None:
            written += save(figure, folder, f"grids_{slug(model)}", None, signatures_of(mine, metrics))
        if (figure := best_figure(run, model, metric)) is not None:
            best = [cell for cell in (best_cell(mine, metric),) if cell is not None] if metric else []
            written += save(figure, folder, f"best_{slug(model)}", None, signatures_of(best, metrics))
    return written


def grid_figure(run: RunFolder, model: str, metric: str | None) -> Figure | None:
    """A model's samples, samplers by budgets, all from the same noise; None if none were kept.

    Drawn inside :func:`~diffbench.report.themes.style`.
    """
    mine = [cell for cell in run.cells if cell.model == model]
    images = {(cell.series, cell.budget_label): run.images(cell, TILE[0] * TILE[1]) for cell in mine}
    if not any(len(kept) for kept in images.values()):
        return None
    return _grid(f"{shorten(model, 40)}  ({shorten(mine[0].family, 20)})", mine, images, metric)


def best_figure(run: RunFolder, model: str, metric: str | None) -> Figure | None:
    """Samples of a model's best cell by the metric, at length; None if it has no score, or none were kept."""
    best = best_cell([cell for cell in run.cells if cell.model == model], metric) if metric else None
    kept = None if best is None else run.images(best, MOSAIC[0] * MOSAIC[1])
    return None if best is None or kept is None or not len(kept) else _best(best, kept, metric)


def shown_budgets(cells: Sequence[CellView]) -> list[str]:
    """Budgets as columns, smallest first; of more than eight, eight evenly chosen ones with both ends."""
    known = {c.budget_label: (c.budget is None, c.budget_kind == "steps", c.budget or 0) for c in cells}
    ordered = sorted(known, key=lambda label: known[label])
    if len(ordered) <= MOST_COLUMNS:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (MOST_COLUMNS - 1))] for i in range(MOST_COLUMNS)]


def _text_width(line: str, points: float = 8.0) -> float:
    """Width in inches of a line of text in the default font; 0 for an empty one."""
    path = TextPath((0, 0), line, size=points)
    return float(path.get_extents().x1) / 72 if len(path.vertices) else 0.0


def _grid(heading: str, cells: Sequence[CellView], images: dict[tuple[str, str], Images], metric: str | None) -> Figure:
    size, points = setting().theme.scale, setting().theme.points
    rows, columns = unique(cell.series for cell in cells), shown_budgets(cells)
    at = {(cell.series, cell.budget_label): cell for cell in cells}
    labels = [textwrap.fill(shorten(row, 60), 18) for row in rows]
    left = 0.15 * size + max(_text_width(line, points) for label in labels for line in label.splitlines())
    sample = next(kept for kept in images.values() if len(kept))
    tile_height, tile_width = mosaic(sample, *TILE).shape[:2]
    width = min(1.75 * size, (setting().width - left - 0.05 - _GAP * (len(columns) - 1)) / len(columns))
    height, caption = width * tile_height / tile_width, (_CAPTION + 0.05) * size
    total_width = left + len(columns) * (width + _GAP) - _GAP + 0.05
    total_height = 0.46 * size + len(rows) * (height + caption)
    figure = Drawn(figsize=(total_width, total_height))
    figure.text(left / total_width, 1 - 0.06 * size / total_height, heading, fontsize=points + 0.5 * size, va="top")
    for i, series in enumerate(rows):
        bottom = total_height - 0.42 * size - height - i * (height + caption)
        middle = (bottom + height / 2) / total_height
        figure.text((left - 0.08 * size) / total_width, middle, labels[i], ha="right", va="center")
        for j, budget in enumerate(columns):
            box = (left + j * (width + _GAP), bottom, width, height)
            axes = figure.add_axes(
                (box[0] / total_width, box[1] / total_height, box[2] / total_width, box[3] / total_height)
            )
            if i == 0:
                axes.set_title(budget, fontsize=points, pad=3 * size)
            _tile(axes, at.get((series, budget)), images.get((series, budget)), metric)
    return figure


def _show(axes: Axes, sheet: NDArray[np.uint8]) -> None:
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    quiet_spines(axes)


def _tile(axes: Axes, cell: CellView | None, kept: Images | None, metric: str | None) -> None:
    theme = setting().theme
    if cell is None or kept is None or not len(kept):
        status = "not in the suite" if cell is None else cell.status if cell.status != "ok" else "no samples kept"
        quiet_spines(axes)
        axes.set_facecolor(tint(theme.quiet, 0.12))
        axes.text(0.5, 0.5, status, ha="center", va="center", color=theme.quiet, fontsize=theme.points - 1,
                  transform=axes.transAxes)  # fmt: skip
        return
    _show(axes, mosaic(kept, *TILE))
    if metric is not None and cell.value(metric) is not None:
        value, _ = value_and_half_width(cell[metric])
        axes.set_xlabel(f"{title(metric)} {value}", fontsize=6.5 * theme.scale, labelpad=1.5, color=theme.quiet)


def _best(cell: CellView, kept: Images, metric: str | None) -> Figure:
    theme, sheet = setting().theme, mosaic(kept, *MOSAIC)
    side, above = min(setting().width, 3.5 * theme.scale), 0.42 * theme.scale
    height = side * sheet.shape[0] / sheet.shape[1]
    figure = Drawn(figsize=(side + 0.1, height + above))
    box = 0.05 / (side + 0.1), 0.05 / (height + above), side / (side + 0.1), height / (height + above)
    axes = figure.add_axes(box)
    _show(axes, sheet)
    lines = [shorten(cell.model, 50), f"{shorten(cell.series, 36)} @ {cell.budget_label}"]
    if metric is not None:
        lines[1] += f", {title(metric)} {value_and_half_width(cell[metric])[0]}"
    axes.set_title("\n".join(lines), fontsize=theme.points, loc="left", pad=4)
    return figure
