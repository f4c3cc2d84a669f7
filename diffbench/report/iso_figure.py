"""What reaching a score costs, as a figure: one line a sampler with its interval, one panel a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from diffbench.document.words import slug
from diffbench.report.answers import Curve, levels
from diffbench.report.folder import RunFolder
from diffbench.report.frame import lower_is_better, models, title, unique
from diffbench.report.iso_quality import band, needed
from diffbench.report.layout import column_count, heading, panels
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
    figure, drawn_in = panels(len(names), share_y=False)
    for index, (axes, model) in enumerate(zip(drawn_in, names, strict=True)):
        for curve in (one for one in curves if one.model == model):
            _line(axes, curve, levels(curves, model), lower, look[curve.line])
        axes.set_title(heading(model, names[model], len(names)), loc="left")
        _scale(axes, curves, model, list(names))
        axes.set_xlabel(f"{title(metric)} to reach" if index >= len(names) - column_count(len(names)) else "")
        axes.tick_params(labelbottom=True)
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


def _scale(axes: Axes, curves: Sequence[Curve], model: str, names: Sequence[str]) -> None:
    """Scores are on one axis for all panels, evaluations on each one's own."""
    spent = [point.nfe for curve in curves if curve.model == model for point in curve.points]
    log_axis(axes, "y", min(spent) / 1.1, max(spent) * 1.1, 1.8)
    asked = [level for name in names for level in levels(curves, name)]
    low, high = min(asked), max(asked)
    if 0 < low < high:
        room = max(1.6, high / low) ** 0.05
        log_axis(axes, "x", low / room, high * room, WIDTH / max(2, column_count(len(names))) - 0.25)


def _behind(curves: Sequence[Curve]) -> list[Sequence[object]]:
    """The targets of the table, with the reason for each value that is missing."""
    return [
        (curve.model, curve.line, need.target, need.nfe.value, need.nfe.low, need.nfe.high, need.nfe.reason,
         need.seconds.value, need.seconds.low, need.seconds.high, need.seconds.reason)
        for curve in curves
        for need in curve.needed
    ]  # fmt: skip
