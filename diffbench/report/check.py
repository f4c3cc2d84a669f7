"""The figure of a check: denoising error against sigma, beside estimates that need no network; its table as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from diffbench.comparison.check import Check
from diffbench.comparison.denoising import MARGIN
from diffbench.report.style import INK, QUIET, WIDTH, decades, log_axis, paper_style, save, shorten
from diffbench.store.atomic import write_atomically

STEM = "denoising_error"
_NETWORK = "#0072B2"
_LINES: dict[str, tuple[str, Any, str]] = {
    "identity": ("#9C9C9C", (0, (1, 1.4)), "identity"),
    "mean": ("#9C9C9C", (0, (5, 2)), "mean of the data"),
    "shrinkage": ("#D55E00", (0, (4, 1.5, 1, 1.5)), "shrinkage, pixel by pixel"),
    "linear": ("#000000", "-", "best linear estimate"),
}
_TINTS = {"GOOD": "#009E73", "SUSPECT": "#E69F00", "WRONG": "#D55E00"}


def write(found: Check, folder: Path) -> list[Path]:
    """Write ``denoising_error`` as .png, .pdf, .svg, .csv (a row a sigma) and .json (all but the single images)."""
    with paper_style():
        written = save(_figure(found), folder, STEM, _table(found))
    path = folder / f"{STEM}.json"
    write_atomically(path, (json.dumps(found.to_dict(), indent=1, allow_nan=False) + "\n").encode())
    return [*written, path]


def _table(found: Check) -> tuple[Sequence[str], list[Sequence[Any]]]:
    rows = found.levels()
    return list(rows[0]), [list(row.values()) for row in rows]


def _figure(found: Check) -> Figure:
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    sigmas, errors = found.errors.sigmas, found.errors
    for name, (colour, line, _) in _LINES.items():
        left.plot(sigmas, errors.baselines[name].mean(1), color=colour, linestyle=line, linewidth=1.0)
    left.plot(sigmas, errors.network.mean(1), color=_NETWORK, marker="o", markersize=3.2)
    left.set(xscale="log", yscale="log", ylabel="mean squared error")
    left.set_ylim(float(errors.network.mean(1).min()) / 2, 3 * max(errors.std**2, float(errors.network.mean(1).max())))
    left.set_title(shorten(found.model, 40), loc="left")
    _shares(right, found)
    for axes in (left, right):
        _shade(axes, found)
        axes.set_xlabel("noise level sigma")
        axes.set_xlim(sigmas[0] / 1.25, sigmas[-1] * 1.25)
        decades(axes.xaxis, 8)
    decades(left.yaxis, 8)
    _legend(figure, found)
    return figure


def _shares(axes: Axes, found: Check) -> None:
    errors = found.errors
    linear = errors.baselines["linear"]
    base = linear.mean(1)
    apart = errors.network - linear
    half = 1.96 * apart.std(1, ddof=1) / np.sqrt(apart.shape[1]) / base if apart.shape[1] > 1 else np.zeros_like(base)
    share, trivial = errors.network.mean(1) / base, errors.trivial.mean(1) / base
    bar = 1 + MARGIN + errors.allowed / base
    top = 1.6 * max(float((share + half).max()), float(trivial.max()))
    axes.fill_between(errors.sigmas, bar, max(top, float(bar.max())), color=QUIET, alpha=0.14, linewidth=0)
    axes.plot(errors.sigmas, trivial, color=_LINES["shrinkage"][0], linestyle=(0, (4, 1.5, 1, 1.5)), linewidth=1.0)
    axes.axhline(1.0, color=INK, linewidth=1.0)
    low = np.maximum(share - half, share / 10)
    axes.set_title("relative to the best linear estimate", loc="left")
    axes.errorbar(errors.sigmas, share, (share - low, half), color=_NETWORK, marker="o", markersize=3.2, elinewidth=0.8)
    axes.set(xscale="log", ylabel="ratio of mean squared errors")
    log_axis(axes, "y", min(0.5, float(low.min()) / 1.3), top, 1.9)


def _shade(axes: Axes, found: Check) -> None:
    """A strip along the top, a colour a verdict."""
    bands = found.bands
    sigmas = found.errors.sigmas
    edges = [sigmas[0] / 1.25]
    edges += [float(np.sqrt(a.band.high * b.band.low)) for a, b in zip(bands, bands[1:], strict=False)]
    edges.append(sigmas[-1] * 1.25)
    for one, low, high in zip(bands, edges, edges[1:], strict=False):
        axes.axvspan(low, high, ymin=0.955, color=_TINTS[one.word], alpha=0.55, linewidth=0)
    for edge in edges[1:-1]:
        axes.axvline(edge, color="#d0d0d0", linewidth=0.5, zorder=0)


def _legend(figure: Figure, found: Check) -> None:
    handles: list[Any] = [Line2D([], [], color=_NETWORK, marker="o", markersize=3.2, label="network")]
    handles += [
        Line2D([], [], color=c, linestyle=line, label=label, linewidth=1.0) for c, line, label in _LINES.values()
    ]
    handles.append(Patch(color=QUIET, alpha=0.14, lw=0, label="not better than linear"))
    handles += [Patch(color=c, alpha=0.55, lw=0, label=word) for word, c in _TINTS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, handlelength=2.4, fontsize=7)
