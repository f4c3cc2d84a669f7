"""A measured value with its interval, and how both are written as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """One metric of one cell; ``value`` None has a ``reason``. ``low`` and ``high`` are the 95% interval, if any."""

    value: float | None
    low: float | None
    high: float | None
    unit: str | None
    better: str
    status: str
    reason: str | None

    @property
    def half_width(self) -> float | None:
        """Half the interval's length; None without an interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def number(value: float | None, digits: int = 3) -> str:
    """A plain decimal number with so many significant digits; an en dash for a missing one."""
    if value is None:
        return "–"
    if value == 0 or not 1e-6 <= abs(value) < 1e7:
        return f"{value:.{digits}g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def value_and_half_width(measured: Measured, decimals: int | None = None) -> tuple[str, str | None]:
    """Value and half-width as text, rounded alike, tiny ones as powers.

    To two significant digits of the half-width, but at most four of the value. ``decimals``: those of the list that it
    stands in, see :func:`alike`.
    """
    value, half = measured.value, measured.half_width
    if value is None:
        return "–", None
    if not half or half < 0:
        text = number(value, 4) if decimals is None else f"{value:.{decimals}f}"
        return text, None if half is None else "0"
    wanted = max(0, 1 - math.floor(math.log10(half)))
    if wanted > 4 and 0 < abs(value) < 1e-3:
        digits = min(3, max(1, wanted + math.floor(math.log10(abs(value)))))
        return f"{value:.{digits}e}", f"{half:.1e}"
    decimals = _decimals(value, half) if decimals is None else decimals
    return f"{value:.{decimals}f}", _half(half, decimals)


def _half(half: float, decimals: int) -> str:
    """A half-width at the value's decimals; one that is nothing there by its own digits."""
    text = f"{half:.{decimals}f}"
    return text if float(text) else number(half, 2) if half >= 1e-4 else f"{half:.1e}"


def _decimals(value: float, half: float | None) -> int:
    most = _most_decimals(value)
    return min(9, (most if value else 0) if not half else min(most, max(0, 1 - math.floor(math.log10(half)))))


def _most_decimals(value: float) -> int:
    """Those of four significant digits."""
    return 9 if not value else max(0, 3 - math.floor(math.log10(abs(value))))


def alike(measured: Sequence[Measured]) -> list[tuple[str, str | None]]:
    """Values and half-widths of one list at the same number of decimals, so that their order shows.

    It is that of the finest of them, but at most that of four significant digits of the largest.
    """
    known = [(one.value, one.half_width) for one in measured if one.value is not None]
    if not known:
        return [value_and_half_width(one) for one in measured]
    finest = max(_decimals(value, half) for value, half in known)
    decimals = min(finest, min(_most_decimals(value) for value, _ in known))
    return [value_and_half_width(one, decimals) for one in measured]


def with_interval(measured: Measured) -> str:
    """``12.3 ± 1.1``, ``12.34`` without an interval, an en dash for a missing value."""
    return joined(value_and_half_width(measured))


def joined(texts: tuple[str, str | None]) -> str:
    """Value and half-width as one text."""
    value, half = texts
    return value if half is None else f"{value} ± {half}"
