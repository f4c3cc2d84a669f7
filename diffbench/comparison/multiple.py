"""Many tests at once: p-values adjusted so that a threshold holds for all of them together."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.special import stdtr, stdtrit


def upper_tail(t: float, freedom: int) -> float:
    """P(T > t) of Student's law, without cancellation for large t."""
    return float(stdtr(freedom, -t))


def quantile(p: float, freedom: int) -> float:
    """The t with P(T <= t) = p of Student's law."""
    return float(stdtrit(freedom, p))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the chance of any false alarm, whatever their dependence (Holm 1979).

    The i-th smallest of m becomes the largest of (m - j + 1) p_(j) over j <= i, at most 1.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the expected share of false alarms among all alarms (Benjamini & Hochberg 1995).

    The i-th smallest of m becomes the smallest of m p_(j) / j over j >= i. Holds for independent and for
    positively dependent tests.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, smallest = [0.0] * len(p_values), 1.0
    for rank in range(len(order), 0, -1):
        index = order[rank - 1]
        smallest = min(smallest, p_values[index] * len(p_values) / rank)
        adjusted[index] = smallest
    return adjusted


ADJUSTMENTS = {"holm": holm, "bh": benjamini_hochberg}
