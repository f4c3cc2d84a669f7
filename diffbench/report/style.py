"""How figures look: one colour, marker and line a sampler; axes, legends, and names that fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.scale import SymmetricalLogTransform
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from diffbench.inert import printable
from diffbench.report.folder import RunFolder
from diffbench.report.frame import unique
from diffbench.report.save import save as save
from diffbench.report.themes import THEMES, setting
from diffbench.report.themes import paper_style as paper_style
from diffbench.report.themes import tint as tint

STOCHASTIC = (0, (3.5, 1.6))
WIDTH = THEMES["paper"].widths["text"]

# As many as colours and one, so that no two looks are the same before 90.
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
INK = THEMES["paper"].ink
QUIET = THEMES["paper"].quiet


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of one sampler, the same in every figure; a stochastic one is dashed."""

    label: str
    colour: str
    marker: str
    stochastic: bool

    @property
    def line(self) -> tuple[float, tuple[float, float]] | Literal["-"]:
        """Line style in matplotlib's terms."""
        return STOCHASTIC if self.stochastic else "-"

    def handle(self) -> Line2D:
        """Its legend entry."""
        text = f"{self.label} (stochastic)" if self.stochastic else self.label
        return Line2D([], [], color=self.colour, marker=self.marker, linestyle=self.line, label=text)


def _colour(index: int) -> str:
    colours = setting().theme.colours
    return colours[index % len(colours)]


def look_of(index: int) -> tuple[str, str]:
    """Colour and marker of the so-manieth thing that is drawn."""
    return _colour(index), _MARKERS[index % len(_MARKERS)]


def looks(run: RunFolder) -> dict[str, Look]:
    """One look a series, in the order of the table."""
    first = {view.line: view for view in reversed(run.cells)}
    labels = shorten_apart(unique(view.line for view in run.cells), 40)
    return {
        name: Look(
            label=labels[name],
            colour=_colour(index),
            marker=_MARKERS[index % len(_MARKERS)],
            stochastic=run.stochastic(first[name]) is True,
        )
        for index, name in enumerate(unique(view.line for view in run.cells))
    }


def shorten(text: str, length: int) -> str:
    """Printable text of at most so many characters."""
    text = printable(text)
    return text if len(text) <= length else text[: length - 1] + "…"


def shorten_apart(names: Sequence[str], length: int) -> dict[str, str]:
    """Every name shortened, no two alike: where their beginnings are, they are cut in the middle, or numbered."""
    short = {name: shorten(name, length) for name in names}
    tail = length - length // 3 - 1
    for name in _alike(short):
        whole = printable(name)
        short[name] = whole if len(whole) <= length else f"{whole[: length // 3]}…{whole[-tail:]}"
    for number, name in enumerate(_alike(short), 1):
        short[name] = f"{short[name][: length - 4]} #{number}"
    return short


def _alike(short: Mapping[str, str]) -> list[str]:
    counted = Counter(short.values())
    return [name for name, label in short.items() if counted[label] > 1]


def log_axis(axes: Axes, which: str, low: float, high: float, inches: float, ticks: Sequence[float] = ()) -> None:
    """A log axis ("x" or "y") from low to high with plain tick labels: those given, else as many as ``inches`` hold."""
    decade = inches / log10(high / low) / (0.36 if which == "x" else 0.2) / setting().theme.scale  # in labels
    choices = ((1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
    closest = (0.079, 0.301, 0.477, 1.0)  # decades between the closest two of each
    steps = next((choice for choice, gap in zip(choices, closest, strict=True) if gap * decade >= 1), (1.0,))
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    inside = [s * 10.0**p for p in range(floor(log10(low)), floor(log10(high)) + 1) for s in steps]
    if not ticks and sum(low <= tick <= high for tick in inside) < 2:
        ticks = _close_ticks(low, high, inches, which == "x")
    axis.set_major_locator(FixedLocator(list(ticks)) if ticks else LogLocator(subs=steps, numticks=30))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))


def _close_ticks(low: float, high: float, inches: float, across: bool) -> list[float]:
    """As many round values between ends less than a decade apart as have room for their labels, at least two."""
    found: list[float] = []
    for count in range(7, 0, -1):
        found = [float(tick) for tick in MaxNLocator(count).tick_values(low, high) if low <= tick <= high]
        longest = max((len(f"{tick:.10g}") for tick in found), default=0)
        room = setting().theme.scale * (0.1 + 0.07 * longest if across else 0.2)
        gaps = [inches * log10(b / a) / log10(high / low) for a, b in zip(found, found[1:], strict=False)]
        if len(found) == 2 or (gaps and min(gaps) >= room):
            return found
    return found


def signed_axis(axes: Axes, low: float, high: float, within: float, inches: float) -> None:
    """A y axis from low to high that is linear between -``within`` and ``within`` and logarithmic outside."""
    to = SymmetricalLogTransform(10, within, 1)
    ends = to.transform(np.array([low, high]))
    room = 0.04 * (ends[1] - ends[0])
    low, high = map(float, to.inverted().transform(ends + np.array([-room, room])))
    axes.set_yscale("symlog", linthresh=within)
    axes.set_ylim(low, high)
    powers = [within * 10**k for k in range(1 + max(0, floor(log10(max(-low, high, within) / within) + 1e-9)))]
    every = ceil(2 * len(powers) * 0.2 * setting().theme.scale / inches)
    ticks = [0.0, *powers[::every], *(-power for power in powers[::every])]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))


def decades(axis: Axis, most: int = 12) -> None:
    """Ticks of a log axis at powers of ten, plain from 0.01 on, with an exponent below."""
    axis.set_major_locator(LogLocator(subs=(1.0,), numticks=most))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_power))


def _power(value: float, _: int) -> str:
    return f"{value:.10g}" if value >= 0.009 else f"{value:.0e}".replace("e-0", "e-")


def legend(figure: Figure, *rows: Sequence[Line2D], axes: Axes | None = None) -> None:
    """One legend below all panels; each of ``rows`` starts a line of its own and wraps where the figure ends.

    With ``axes``, which may be among others' in the figure, inside these instead.
    """
    rows = tuple(row for row in rows if row)
    if axes is not None:
        if rows:
            axes.legend(
                handles=[handle for row in rows for handle in row],
                loc="best",
                edgecolor="none",
                framealpha=0.7,
                labelspacing=0.3,
                handlelength=1.8,
                fontsize=setting().theme.points - setting().theme.scale,
            )
        return
    columns = max((len(row) for row in rows), default=0)
    while columns > 1 and _legend_width(rows, columns) > figure.get_figwidth() - 0.1:
        columns -= 1
    lines = [list(row[i : i + columns]) for row in rows for i in range(0, len(row), columns)]
    padded = [line + [Line2D([], [], linestyle="", label=" ")] * (columns - len(line)) for line in lines]
    across = [line[column] for column in range(columns) for line in padded]  # a legend fills column by column
    if across:
        figure.legend(
            handles=across,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            handlelength=1.9 if setting().narrow else 2.4,
            columnspacing=1.2,
            fontsize=setting().theme.points - (setting().theme.scale if setting().narrow else 0),
        )


def _legend_width(rows: Sequence[Sequence[Line2D]], columns: int) -> float:
    """Inches that the legend takes at about 0.062 inches a character of 8 points."""
    longest = [0] * columns
    for row in rows:
        for index, handle in enumerate(row):
            longest[index % columns] = max(longest[index % columns], len(str(handle.get_label())))
    room, character = (0.40, 0.054) if setting().narrow else (0.47, 0.062)
    return setting().theme.scale * sum(room + character * length for length in longest)


def quiet_spines(axes: Axes) -> None:
    """No frame and no ticks: for images."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
