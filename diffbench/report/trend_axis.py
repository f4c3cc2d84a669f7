"""The value axis of panels over runs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from diffbench.report.style import log_axis

_WIDE = 4.0  # ratio of largest to smallest value above which the axis is logarithmic


def value_axis(
    axes: Axes, values: Sequence[float], ends: Sequence[float], inches: float = 1.35, log: bool = True
) -> None:
    """Limits that hold all values and their intervals: linear, or ``log`` where positive values are far apart."""
    everything = [*values, *ends]
    low, high = min(everything), max(everything)
    if log and min(values) > 0 and max(values) / min(values) > _WIDE:
        positive = [end for end in everything if end > min(values) / 2]
        room = (high / min(positive)) ** 0.08  # rings around points need it
        log_axis(axes, "y", min(positive) / room, high * room, inches)
        return
    margin = 0.08 * ((high - low) or abs(high) or 1.0)
    axes.set_ylim(low - margin, high + margin)
    axes.yaxis.set_major_locator(MaxNLocator(5))
