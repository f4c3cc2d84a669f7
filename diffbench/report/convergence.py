"""Solver error against evaluations, log-log: one line a sampler, with the order that its last points fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from diffbench.catalog import METRICS
from diffbench.document.words import slug
from diffbench.report.drawn import Drawn
from diffbench.report.figures import behind, evaluations, line
from diffbench.report.folder import RunFolder
from diffbench.report.frame import CellView, models, quality_metrics, title, unique
from diffbench.report.layout import column_count, heading, panels
from diffbench.report.measured import Measured, value_and_half_width
from diffbench.report.save import Behind, save, signatures_of
from diffbench.report.style import Look, decades, legend, log_axis, looks, shorten_apart
from diffbench.report.tables import Entry, Table
from diffbench.report.themes import setting

_ABSENT = Measured(None, None, None, None, "higher", "ok", None)
_BELOW = 10**1.5  # a floor further below the smallest value is out of sight
_ROW = 0.155  # inches a legend's row takes
_HANDLE, _GAP, _CHARACTER = 2.0, 1.4, 0.6  # ems of a legend's handle, between its columns, and of a character


def solver_errors(run: RunFolder) -> list[str]:
    """The run's metrics that measure the distance to a converged solution."""
    return [m for m in quality_metrics(run.cells) if m in METRICS and METRICS[m].needs_solution]


def stem(metric: str) -> str:
    """Name of a metric's figure, without ending."""
    return f"{slug(metric)}_convergence"


def order(run: RunFolder, cell: CellView, metric: str) -> Measured:
    """The order that the cell's series fits on its model, with its interval; a reason where there is none."""
    own = (cell.model, cell.sampler, cell.line_options, cell.grid)
    for entry in run.convergence.get(metric, {}).get("orders", []):
        if (entry["model"], entry["sampler"], entry["options"], entry["grid"]) == own:
            values = entry["order"], entry["ci_low"], entry["ci_high"]
            return Measured(*values, None, "higher", "ok", entry["reason"])
    return _ABSENT


def solution(run: RunFolder, model: str, metric: str) -> Mapping[str, Any] | None:
    """Of a model's converged solutions the one that is known least: label, own error, what is resolved above it."""
    found = run.convergence.get(metric, {}).get("solutions", {}).values()
    return max((one for one in found if one["model"] == model), key=lambda one: one["own_error"], default=None)


def convergence(run: RunFolder, metric: str, folder: Path) -> list[Path]:
    """Draw the figure; returns the files, none without a positive value."""
    figure = convergence_figure(run, metric)
    if figure is None:
        return []
    return save(figure, folder, stem(metric), *convergence_data(run, metric))


def convergence_data(run: RunFolder, metric: str) -> tuple[Behind, list[str]]:
    """The table behind the figure, with fitted orders, and the signatures of its scores."""
    drawn = _resolvable(run, metric)
    orders = {f"fitted_order{end}": _field(run, metric, name) for end, name in _FIELDS.items()}
    return behind(drawn, (metric,), **orders), signatures_of(drawn, [metric])


def _resolvable(run: RunFolder, metric: str) -> list[CellView]:
    return [cell for cell in run.cells if (cell.value(metric) or 0.0) > 0 and cell.nfe]


def convergence_figure(run: RunFolder, metric: str, axes: Axes | None = None) -> Figure | None:
    """The metric against evaluations, log-log, one panel a model; None without a positive value.

    Drawn inside :func:`~diffbench.report.themes.style`. Raises UsageError if ``axes`` are given for several models.
    """
    drawn = _resolvable(run, metric)
    if not drawn:
        return None
    look, names = looks(run), models(drawn)
    table = _Table.of(look, drawn)
    figure, axes_of = _panels(len(names), table, axes)
    floored = False
    for index, (own_axes, model) in enumerate(zip(axes_of, names, strict=True)):
        mine = [cell for cell in drawn if cell.model == model]
        resolved = float((solution(run, model, metric) or {}).get("resolved", 0.0))
        for series in unique(cell.line for cell in mine):
            own = [cell for cell in mine if cell.line == series]
            line(own_axes, own, metric, evaluations, look[series])
            _hollow(own_axes, [cell for cell in own if (cell.value(metric) or 0.0) < resolved], metric, look[series])
        own_axes.set_title(heading(model, names[model], len(names) + 1), loc="left")
        own_axes.set_xlabel("evaluations per sample (NFE)")
        own_axes.set_ylabel(f"{title(metric)} (RMSE)" if not index % column_count(len(names)) else "")
        _limits(own_axes, mine, metric, resolved)
        floored |= _floor(own_axes, resolved)
    if axes is None:
        _legend(figure, run, metric, table, drawn, floored)
    else:
        legend(figure, list(table.handles.values()), axes=axes)
    return figure


_FIELDS = {"": "value", "_low": "low", "_high": "high"}


def _field(run: RunFolder, metric: str, name: str) -> Any:
    return lambda cell: getattr(order(run, cell, metric), name)


def caption(run: RunFolder, metric: str) -> str:
    """What the figure shows."""
    exact = "; ".join(
        f"{model}: {one['solution']}, exact to {one['own_error']:.1g}"
        for model in models(run.cells)
        if (one := solution(run, model, metric)) is not None
    )
    return (
        f"{title(metric)} against evaluations per sample: mean over samples of the RMSE to the converged solution of "
        "the same ODE from the same noise. Bars are 95% intervals. Beside each sampler the p of error ~ NFE^-p, fitted "
        "to its three largest budgets above the shaded floor, with half of its 95% interval over the samples that all "
        "three share; – where fewer than three are above it, where the sampler chooses its own steps, or where budgets "
        "start or land at different noise levels. Within the floor (hollow marks; out of sight where it lies far below "
        "the data), 5 times the solution's own error, nothing is told reliably, and "
        f"below that error nothing is shown. Solutions: {exact or 'none'}."
    )


def orders_table(run: RunFolder) -> Table | None:
    """Fitted orders of all samplers beside those that the catalog documents; None for a run without."""
    metrics = [metric for metric in solver_errors(run) if run.convergence.get(metric)]
    first = {(cell.model, cell.line): cell for cell in reversed(run.cells)}
    cells = [cell for cell in run.cells if first[cell.model, cell.line] is cell]
    told = [c for c in cells if any(order(run, c, m) is not _ABSENT for m in metrics)]
    if not told:
        return None
    rows, groups = [], []
    for index, cell in enumerate(told):
        if not index or told[index - 1].model != cell.model:
            groups.append(index)
        known = run.order(cell)
        fits = [order(run, cell, metric) for metric in metrics]
        texts = (cell.model, cell.line, "–" if known is None else str(known), *map(_told, fits))
        rows.append(tuple(map(Entry, texts)))
    columns = ("model", "sampler", "order", *(f"fitted to {title(metric)}" for metric in metrics))
    return Table(columns, tuple(rows), tuple(range(2, len(columns))), tuple(groups))


def _told(fit: Measured) -> str:
    value, half = value_and_half_width(fit)
    if fit.value is None or half is None:
        return value if fit.value is None else f"{fit.value:.2f}"
    return f"{fit.value:.2f} ± {fit.half_width:.2f}"


def _panels(count: int, table: _Table, axes: Axes | None) -> tuple[Figure, list[Axes]]:
    if axes is not None:
        return panels(count, share_y=False, axes=axes)
    theme, columns = setting().theme, column_count(count)
    rows = -(-count // columns)
    below = ((len(table.handles) + 1) * len(table.blocks) + 2) * _ROW * theme.scale
    size = (setting().width, 2.5 * theme.scale**0.5 * rows + below)
    if count == 1 and not setting().narrow:
        size = (setting().width * 0.75, max(2.6 * theme.scale**0.5, below))
    figure = Drawn(figsize=size, layout="constrained")
    found: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in found[count:]:
        spare.remove()
    return figure, found[:count]


def _limits(axes: Axes, cells: Sequence[CellView], metric: str, resolved: float) -> None:
    across = [cell.nfe or 1.0 for cell in cells]
    values = [cell.value(metric) or 0.0 for cell in cells]
    ends = [end for cell in cells for end in (cell[metric].low, cell[metric].high) if end and end > min(values) / 3]
    log_axis(axes, "x", min(across) / 1.15, max(across) * 1.15, 2.0)
    least = min(*values, *ends)
    low = max(min(least, resolved or least) / 1.8, least / _BELOW)
    axes.set(yscale="log", ylim=(low, max(*values, *ends) * 1.5))
    decades(axes.yaxis)


def _hollow(axes: Axes, cells: Sequence[CellView], metric: str, look: Look) -> None:
    """Points that don't count in a fit."""
    theme = setting().theme
    across, up = [cell.nfe or 0.0 for cell in cells], [cell.value(metric) or 0.0 for cell in cells]
    axes.plot(across, up, linestyle="", marker=look.marker, markerfacecolor=theme.ground, markeredgecolor=look.colour,
              markeredgewidth=0.9 * theme.scale, markersize=3.6 * theme.scale, zorder=4)  # fmt: skip


def _floor(axes: Axes, resolved: float) -> bool:
    """Shade what is not resolved; False where the axis ends above it."""
    if resolved <= axes.get_ylim()[0]:
        return False
    axes.axhspan(axes.get_ylim()[0], resolved, color=setting().theme.quiet, alpha=0.15, linewidth=0, zorder=1)
    return True


@dataclass(frozen=True)
class _Table:
    """What stands in the legend: samplers as rows, models as columns, those that don't fit beside others below them."""

    handles: Mapping[str, Line2D]
    rows: Mapping[str, str]
    heads: Mapping[str, str]
    points: float

    @classmethod
    def of(cls, look: Mapping[str, Look], drawn: Sequence[CellView]) -> _Table:
        """Samplers and models with their names shortened, and the size of the text."""
        narrow, theme, names = setting().narrow, setting().theme, list(models(drawn))
        handles = {series: look[series].handle() for series in unique(cell.line for cell in drawn)}
        short = shorten_apart([str(handle.get_label()) for handle in handles.values()], 16 if narrow else 26)
        rows = {series: short[str(handle.get_label())] for series, handle in handles.items()}
        several = len(names) > 1
        heads = shorten_apart(names, 11 if narrow else 18) if several else {names[0]: "fitted order"}
        return cls(handles, rows, heads, theme.points - (1.6 if narrow else 1.0) * theme.scale)

    @property
    def blocks(self) -> list[list[str]]:
        """The models whose columns stand side by side, as many as the figure's width holds."""
        em, names = self.points / 72, list(self.heads)
        column = em * (_GAP + _CHARACTER * max(11, *map(len, self.heads.values())))
        first = em * (_HANDLE + 0.5 + _CHARACTER * max(13, *map(len, self.rows.values())))
        count = max(1, int((setting().width - 0.1 - first) / column))
        return [names[i : i + count] for i in range(0, len(names), count)]


def _legend(
    figure: Figure, run: RunFolder, metric: str, table: _Table, drawn: Sequence[CellView], floored: bool
) -> None:
    """A table: a sampler a row, with its fitted order on each model in a column each."""
    empty, several = Line2D([], [], linestyle=""), len(table.heads) > 1
    first = {(cell.model, cell.line): cell for cell in reversed(drawn)}
    columns: list[list[tuple[Any, str]]] = [[] for _ in range(1 + len(table.blocks[0]))]
    for block in table.blocks:
        columns[0].append((empty, "fitted order:" if several else " "))
        columns[0] += [(handle, table.rows[series]) for series, handle in table.handles.items()]
        for column, model in zip(columns[1:], [*block, *[""] * len(columns)], strict=False):
            fits = [order(run, first[model, s], metric) if (model, s) in first else _ABSENT for s in table.handles]
            texts = [table.heads[model], *map(_told, fits)] if model else [" "] * (1 + len(fits))
            column += [(empty, text) for text in texts]
    if floored:
        columns[0].append((Patch(color=setting().theme.quiet, alpha=0.15, lw=0), "not resolved"))
        for column in columns[1:]:
            column.append((empty, " "))
    made = figure.legend(
        [handle for column in columns for handle, _ in column],
        [text for column in columns for _, text in column],
        loc="outside lower center" if several or setting().narrow else "outside right upper",
        ncols=len(columns),
        frameon=False,
        handlelength=_HANDLE,
        handletextpad=0.5,
        columnspacing=_GAP - _HANDLE - 0.5,
        labelspacing=0.45,
        fontsize=table.points,
    )
    for text in made.get_texts():
        text.set_color(setting().theme.ink)
