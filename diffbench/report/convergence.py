"""Solver error against evaluations, log-log: one line a sampler, with the order that its last budgets fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from diffbench.catalog import METRICS
from diffbench.report.figures import behind, evaluations, heading, line, panels
from diffbench.report.folder import RunFolder
from diffbench.report.frame import CellView, models, quality_metrics, title, unique
from diffbench.report.style import WIDTH, Look, log_axis, looks, save, shorten, slug

FITTED = 3


def solver_errors(run: RunFolder) -> list[str]:
    """The run's metrics that measure the distance to a converged solution."""
    return [m for m in quality_metrics(run.cells) if m in METRICS and METRICS[m].needs_solution]


def stem(metric: str) -> str:
    """Name of a metric's figure, without ending."""
    return f"{slug(metric)}_convergence"


def fitted_order(cells: Sequence[CellView], metric: str) -> float | None:
    """The p of error = C NFE^-p by least squares on the logarithms, of the ``FITTED`` cells of most evaluations.

    None where fewer than that have a positive value at different numbers of evaluations.
    """
    errors = {c.nfe: value for c in cells if c.nfe and (value := c.value(metric)) is not None and value > 0}
    last = sorted(errors)[-FITTED:]
    if len(last) < FITTED:
        return None
    return -float(np.polyfit([math.log(nfe) for nfe in last], [math.log(errors[nfe]) for nfe in last], 1)[0])


def convergence(run: RunFolder, metric: str, folder: Path) -> list[Path]:
    """Draw the figure; returns the files, none without a positive value."""
    drawn = [cell for cell in run.cells if (cell.value(metric) or 0.0) > 0 and cell.nfe]
    if not drawn:
        return []
    look, names = looks(run), models(drawn)
    figure, axes_of = panels(len(names), share_y=False)
    figure.set_size_inches(figure.get_figwidth(), figure.get_figheight() + 0.5 * (len(names) == 1))
    orders: dict[tuple[str, str], float | None] = {}
    for axes, model in zip(axes_of, names, strict=True):
        mine = [cell for cell in drawn if cell.model == model]
        for series in unique(cell.series for cell in mine):
            own = [cell for cell in mine if cell.series == series]
            orders[model, series] = fitted_order(own, metric)
            line(axes, own, metric, evaluations, look[series])
        axes.set_title(heading(model, names[model], len(names)), loc="left")
        axes.set_xlabel("evaluations per sample (NFE)")
        axes.set_ylabel(f"{title(metric)} (RMSE)")
        _limits(axes, mine, metric, len(names))
        _legend(axes, look, {series: order for (of, series), order in orders.items() if of == model})
    return save(
        figure,
        folder,
        stem(metric),
        behind(drawn, (metric,), fitted_order=lambda cell: orders[cell.model, cell.series]),
    )


def caption(metric: str) -> str:
    """What the figure shows."""
    return (
        f"{title(metric)} against evaluations per sample: mean RMSE to the converged solution of the same "
        f"ODE from the same noise. Bars are 95% intervals. In the legend p of error ~ NFE^-p, fitted to the {FITTED} "
        "largest budgets. Points below the converged solution's own movement at half its steps are left out."
    )


def _limits(axes: Axes, cells: Sequence[CellView], metric: str, count: int) -> None:
    across = [cell.nfe or 1.0 for cell in cells]
    ends = [end for cell in cells for end in (cell.value(metric), cell[metric].low, cell[metric].high) if end]
    up = [end for end in ends if end > 0]
    log_axis(axes, "x", min(across) / 1.18, max(across) * 1.18, WIDTH / max(2, min(3, count)) - 0.25)
    log_axis(axes, "y", min(up) / 1.5, max(up) * 1.5, 1.8)


def _legend(axes: Axes, look: dict[str, Look], orders: dict[str, float | None]) -> None:
    handles = []
    for series, order in orders.items():
        handle = look[series].handle()
        handle.set_label(f"{shorten(series, 24)}" + ("" if order is None else f" (p = {order:.2f})"))
        handles.append(handle)
    axes.legend(handles=handles, loc="lower left", frameon=False, handlelength=2.4)
