"""``results.plot``: the report's figures as matplotlib objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffbench.catalog import COSTS
from diffbench.document.words import unknown
from diffbench.errors import UsageError
from diffbench.report import convergence, figures, grids, pareto
from diffbench.report.drawn import Drawn
from diffbench.report.folder import RunFolder
from diffbench.report.frame import main_metric, models, quality_metrics, title
from diffbench.report.save import Behind
from diffbench.report.themes import style

Told = tuple[Behind, list[str]]


@dataclass(frozen=True)
class Plots:
    """Figures of a run, or of several seen as one.

    Every method returns a new figure, a ``matplotlib.figure.Figure`` whose ``write(path)`` gives PNG, PDF, SVG and the
    CSV behind it; or, given ``ax``, draws into these axes and returns them. Common arguments:

    - ``model``: one model alone; needed with ``ax`` where a run has several.
    - ``ax``: matplotlib axes to draw into. Names of samplers are in a legend inside them then.
    - ``theme``: ``paper``, ``talk`` or ``dark``, for whole figures only; ``width``: ``text``, ``column`` (7 and 3.3
      inches in a paper) or inches. Of no effect on the size of axes that are given.

    Raises UsageError where nothing can be drawn, for an unknown model, metric, theme or width, for another theme than
    ``paper`` with ``ax``, and for ``ax`` where scores don't compare or costs are of several machines, which one pair of
    axes can't hold.
    """

    run: RunFolder

    def pareto(
        self, metric: str | None = None, *, model: str | None = None, ax: Axes | None = None, theme: str = "paper",
        width: str | float = "text",
    ) -> Figure | Axes:  # fmt: skip
        """Quality against seconds per image, with the front that no cell beats in both; ``metric`` None: the main one.

        Pale cells are dominated; by point values, the intervals are shown. A panel for each scale and machine.
        """
        run, name = self._of(model), self._metric(metric)
        return _drawn(
            lambda: pareto.pareto_figure(run, name, ax), lambda: pareto.pareto_data(run, name), ax, theme, width,
            f"no cell has both {title(name)} and seconds per image",
        )  # fmt: skip

    def metric_vs_nfe(
        self, metric: str | None = None, *, model: str | None = None, ax: Axes | None = None, theme: str = "paper",
        width: str | float = "text",
    ) -> Figure | Axes:  # fmt: skip
        """A metric against evaluations per sample: a line a sampler with 95% intervals, a panel a model."""
        return self._quality(metric, figures.evaluations, model, ax, theme, width)

    def metric_vs_seconds(
        self, metric: str | None = None, *, model: str | None = None, ax: Axes | None = None, theme: str = "paper",
        width: str | float = "text",
    ) -> Figure | Axes:  # fmt: skip
        """A metric against seconds per image, as :meth:`metric_vs_nfe`; a panel a model and machine."""
        return self._quality(metric, figures.seconds, model, ax, theme, width)

    def fid_vs_nfe(
        self, *, model: str | None = None, ax: Axes | None = None, theme: str = "paper", width: str | float = "text"
    ) -> Figure | Axes:
        """FID against evaluations per sample."""
        return self._quality("fid", figures.evaluations, model, ax, theme, width)

    def fid_vs_seconds(
        self, *, model: str | None = None, ax: Axes | None = None, theme: str = "paper", width: str | float = "text"
    ) -> Figure | Axes:
        """FID against seconds per image."""
        return self._quality("fid", figures.seconds, model, ax, theme, width)

    def convergence(
        self, metric: str = "solver_error", *, model: str | None = None, ax: Axes | None = None, theme: str = "paper",
        width: str | float = "text",
    ) -> Figure | Axes:  # fmt: skip
        """Solver error against evaluations, log-log, with fitted orders, a panel a model."""
        run, name = self._of(model), self._metric(metric)
        return _drawn(
            lambda: convergence.convergence_figure(run, name, ax), lambda: convergence.convergence_data(run, name),
            ax, theme, width, f"no cell has a positive {title(name)}",
        )  # fmt: skip

    def grid(
        self, model: str | None = None, *, metric: str | None = None, theme: str = "paper", width: str | float = "text"
    ) -> Figure:
        """The first eight samples of every cell of a model (default: the first): samplers by budgets, one noise."""
        return self._images(grids.grid_figure, model, metric, theme, width)

    def best(
        self, model: str | None = None, *, metric: str | None = None, theme: str = "paper", width: str | float = "text"
    ) -> Figure:
        """64 samples of the best cell of a model (default: the first) by a metric."""
        return self._images(grids.best_figure, model, metric, theme, width)

    def _of(self, model: str | None) -> RunFolder:
        if model is None:
            return self.run
        if model not in (known := models(self.run.cells)):
            raise UsageError(unknown("model", model, known))
        given = [cell for cell in self.run.cells if cell.model == model or cell.given]
        return replace(self.run, cells=given)

    def _metric(self, metric: str | None) -> str:
        known = quality_metrics(self.run.cells)
        if metric in COSTS:
            raise UsageError(
                f"{metric} is a cost, not a metric of quality; metric_vs_seconds draws one against seconds"
            )
        if metric is not None and metric not in known:
            raise UsageError(unknown("metric of this run", metric, known))
        chosen = metric or main_metric(self.run.cells)
        if chosen is None:
            raise UsageError("there is no cell to draw")
        return chosen

    def _quality(
        self, metric: str | None, x: figures.X, model: str | None, ax: Axes | None, theme: str, width: str | float
    ) -> Figure | Axes:
        run, name = self._of(model), self._metric(metric)
        return _drawn(
            lambda: figures.quality_figure(run, name, x, figures.X_LABELS[x], ax),
            lambda: figures.quality_data(run, name, x), ax, theme, width,
            f"no cell has both {title(name)} and {figures.X_LABELS[x]}",
        )  # fmt: skip

    def _images(
        self, draw: Callable[[RunFolder, str, str | None], Figure | None], model: str | None, metric: str | None,
        theme: str, width: str | float,
    ) -> Figure:  # fmt: skip
        chosen = model or next(iter(models(self._of(model).cells)), "")
        name = metric if metric is None else self._metric(metric)
        name = name or main_metric(self.run.cells)
        with style(theme, width):
            figure = draw(self._of(model), chosen, name)
        if figure is None:
            raise UsageError(f"no samples of {chosen} were kept; give the suite run: {{keep: {{samples: 64}}}}")
        return figure


def _drawn(
    draw: Callable[[], Figure | None], tell: Callable[[], Told], ax: Axes | None, theme: str, width: str | float,
    nothing: str,
) -> Figure | Axes:  # fmt: skip
    if ax is not None and theme != "paper":
        raise UsageError(f"theme {theme!r} is for whole figures; axes that are given keep their own look: leave it out")
    with style(theme, width if ax is None else _inches(ax)):
        figure = draw()
        if figure is None:
            raise UsageError(nothing)
        if ax is not None:
            return ax
        figure.draw_without_rendering()  # ticks take their look when they are first laid out
    if isinstance(figure, Drawn):
        figure.behind, figure.signatures = tell()
    return figure


def _inches(ax: Axes) -> float:
    """The width of axes that are given, as far as it is one that a figure can have."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return min(20.0, max(2.0, float(ax.get_position().width * figure.get_figwidth())))
