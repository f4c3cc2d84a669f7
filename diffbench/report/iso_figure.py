"""What reaching a score costs, as a figure: one line a sampler with its interval, one panel a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes

from diffbench.document.words import slug
from diffbench.report.answers import Curve, levels
from diffbench.report.folder import RunFolder
from diffbench.report.frame import lower_is_better, models, title, unique
from diffbench.report.iso_quality import band, needed
from diffbench.report.layout import column_count, panel_heading, panels
from diffbench.report.panels import by_model
from diffbench.report.style import WIDTH, Look, legend, log_axis, looks, save

_COLUMNS = ("model", "sampler", "target", "evaluations", "evaluations_low", "evaluations_high", "evaluations_reason",
            "seconds", "seconds_low", "seconds_high", "seconds_reason")  # fmt: skip


def iso_quality(run: RunFolder, metric: str, curves: Sequence[Curve], folder: Path) -> list[Path]:
    """Draw evaluations against the score that they reach; returns the files, none where no score is crossed."""
    lower = lower_is_better(run.cells, metric)
    crossed = [c.model for c in curves if any(n.nfe.value is not None for n in c.needed)]
    names = {model: family for model, family in models(run.cells).items() if model in crossed}
    if not names:
        return []
    look = looks(run)
    figure, drawn_in = panels(len(names), share_y=False, share_x=False)
    scored = [cell for cell in run.cells if cell.value(metric) is not None and cell.nfe]
    told = by_model(scored, [], metric, machines=False)
    for index, (axes, model) in enumerate(zip(drawn_in, names, strict=True)):
        for curve in (one for one in curves if one.model == model):
            _line(axes, curve, levels(curves, model), lower, look[curve.line])
        own = [panel for panel in told if panel.model == model]
        panel = replace(own[0], told="; ".join(unique(panel.told for panel in own)))
        axes.set_title(panel_heading(panel, len(names)), loc="left")
        _scale(axes, [curve for curve in curves if curve.model == model], lower, len(names))
        axes.set_xlabel(f"{title(metric)} to reach" if index >= len(names) - column_count(len(names)) else "")
        if index % column_count(len(names)) == 0:
            axes.set_ylabel("evaluations needed")
    legend(figure, [look[line].handle() for line in unique(c.line for c in curves if c.model in names)])
    return save(figure, folder, stem(metric), (_COLUMNS, _behind(curves)))


def stem(metric: str) -> str:
    """Name of the figure's files."""
    return f"cost_of_{slug(metric)}"


def _line(axes: Axes, curve: Curve, asked: Sequence[float], lower: bool, look: Look) -> None:
    found = [one for level in asked if (one := needed(curve.points, level, lower)).nfe.value is not None]
    axes.plot([n.target for n in found], [n.nfe.value or 0.0 for n in found], color=look.colour, linestyle=look.line,
              linewidth=1.2)  # fmt: skip
    spans = [(n.target, *ends) for n in found if (ends := band(curve.points, n)) is not None]
    axes.fill_between([t for t, *_ in spans], [a for _, a, _ in spans], [b for *_, b in spans], color=look.colour,
                      alpha=0.14, linewidth=0)  # fmt: skip
    reached = [(n.target, n.nfe.value) for n in curve.needed if n.nfe.value is not None]
    axes.plot([t for t, _ in reached], [v for _, v in reached], color=look.colour, marker=look.marker, linestyle="",
              markersize=4, markeredgecolor="white", markeredgewidth=0.4)  # fmt: skip


def _scale(axes: Axes, curves: Sequence[Curve], lower: bool, panels: int) -> None:
    """Evaluations of all curves, and scores up to the worst that two of them reach from: one alone would press them."""
    spent = [point.nfe for curve in curves for point in curve.points]
    log_axis(axes, "y", min(spent) / 1.1, max(spent) * 1.1, 1.8)
    asked = levels(curves, curves[0].model)
    spans = [reached for curve in curves if (reached := _reach(curve, asked, lower))]
    ends = sorted((max(span) if lower else min(span) for span in spans), reverse=lower)
    worst = ends[min(1, len(ends) - 1)]
    low, high = (min(asked), worst) if lower else (worst, max(asked))
    if 0 < low < high:
        room = max(1.6, high / low) ** 0.05
        log_axis(axes, "x", low / room, high * room, WIDTH / max(2, column_count(panels)) - 0.25)


def _reach(curve: Curve, asked: Sequence[float], lower: bool) -> list[float]:
    """Those of the scores that the sampler reaches between its measured budgets."""
    return [level for level in asked if needed(curve.points, level, lower).nfe.value is not None]


def _behind(curves: Sequence[Curve]) -> list[Sequence[object]]:
    """The targets of the table, with the reason for each value that is missing."""
    return [
        (curve.model, curve.line, need.target, need.nfe.value, need.nfe.low, need.nfe.high, need.nfe.reason,
         need.seconds.value, need.seconds.low, need.seconds.high, need.seconds.reason)
        for curve in curves
        for need in curve.needed
    ]  # fmt: skip
