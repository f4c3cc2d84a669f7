"""Quality held fixed: what each sampler spends to reach a score, and which cells could be on the Pareto front.

A sampler's curve is measured at a few budgets. Between two neighbours it is taken as a power law: a straight line in
log cost and log score (in the score itself where a score or the target is not positive). What a target costs is where
the curve first reaches it; outside of the measured budgets nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from diffbench.report.measured import Measured, number

Standing = Literal["front", "open", "dominated"]

_DIGITS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)


@dataclass(frozen=True)
class Point:
    """One cell of a sampler's curve: evaluations per sample (> 0), seconds per image if timed (> 0), and its score."""

    nfe: float
    seconds: float | None
    score: Measured


@dataclass(frozen=True)
class Cost:
    """What a target costs: ``value``, or None with the ``reason``.

    ``low`` and ``high`` are where the curves of the better and of the worse ends of the scores' 95% intervals reach
    the target; None where such a curve does not cross it within the measured budgets, or there are no intervals.
    Without a value it is ``at_most`` what was reached at the smallest measured cost already, or ``at_least`` what did
    not suffice.
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None
    at_most: float | None = None
    at_least: float | None = None


@dataclass(frozen=True)
class Needed:
    """Evaluations per sample and seconds per image that a sampler needs to reach ``target``."""

    target: float
    nfe: Cost
    seconds: Cost


_Place = tuple[int, float]
"""(i, f): the fraction f of the way from point i to point i + 1, in log cost."""


def needed(points: Sequence[Point], target: float, lower: bool = True) -> Needed:
    """What reaching ``target`` costs on the curve through ``points`` (any order; those without a value don't count).

    Raises ValueError for a target that is not finite.
    """
    if not math.isfinite(target):
        raise ValueError(f"a target is a finite number, got {target}")
    curve = sorted((p for p in points if p.score.value is not None), key=lambda point: point.nfe)
    values = [p.score.value for p in curve if p.score.value is not None]
    if not curve:
        none = Cost(None, None, None, "no cell was scored")
        return Needed(target, none, none)
    logs = target > 0 and min(values) > 0
    ends = [[p.score.low for p in curve], [p.score.high for p in curve]]
    better, worse = ends if lower else ends[::-1]
    places = [_first(scores, target, lower, logs) for scores in (values, better, worse)]
    spent = [p.nfe for p in curve]
    timed = [p.seconds for p in curve]
    if places[0] is not None:
        return Needed(target, _cost(spent, places), _cost(timed, places))
    early = values[0] <= target if lower else values[0] >= target
    if early:
        reason = f"reached at the smallest measured cost already, {spent[0]:.4g} evaluations"
    else:
        best = min(values) if lower else max(values)
        reason = f"not reached by {spent[-1]:.4g} evaluations; the best there is {number(best)}"
    return Needed(target, _bounded(spent, places, early, reason), _bounded(timed, places, early, reason))


def _first(scores: Sequence[float | None], target: float, lower: bool, logs: bool) -> _Place | None:
    """Where a curve first reaches the target after its first point; None if it has at that point, or never does."""
    if any(score is None for score in scores):
        return None
    heights = [_height(score, lower, logs) for score in scores if score is not None]
    goal = _height(target, lower, logs)
    index = next((i for i, height in enumerate(heights) if height <= goal), 0)
    if index == 0:
        return None
    above, below = heights[index - 1], heights[index]
    if math.isinf(below) or math.isinf(above):
        return index - 1, 0.0 if math.isinf(below) else 1.0
    return index - 1, (above - goal) / (above - below)


def _height(score: float, lower: bool, logs: bool) -> float:
    """What falls as a sampler gets better; infinite for the end of an interval that has no logarithm."""
    height = score if not logs else math.log(score) if score > 0 else -math.inf
    return height if lower else -height


def _cost(costs: Sequence[float | None], places: Sequence[_Place | None]) -> Cost:
    value, low, high = (None if place is None else _between(costs, place) for place in places)
    return Cost(value, low, high, "not timed at the budgets around it" if value is None else None)


def _bounded(costs: Sequence[float | None], places: Sequence[_Place | None], early: bool, reason: str) -> Cost:
    """A cost that lies beyond the measured ones, on the side of the smallest or of the largest."""
    _, low, high = (None if place is None else _between(costs, place) for place in places)
    return Cost(None, low, high, reason, costs[0] if early else None, None if early else costs[-1])


def _between(costs: Sequence[float | None], place: _Place) -> float | None:
    index, fraction = place
    before, after = costs[index], costs[index + 1]
    if before is None or after is None:
        return None
    return math.exp((1 - fraction) * math.log(before) + fraction * math.log(after))


def band(points: Sequence[Point], need: Needed, seconds: bool = False) -> tuple[float, float] | None:
    """The ends of a cost's interval for a figure, cut off at the smallest and the largest measured cost.

    None where there is no value, or a score without an interval.
    """
    cost = need.seconds if seconds else need.nfe
    scored = [p for p in points if p.score.value is not None]
    spent = [c for p in scored if (c := p.seconds if seconds else p.nfe) is not None]
    if cost.value is None or any(p.score.low is None or p.score.high is None for p in scored):
        return None
    return min(spent) if cost.low is None else cost.low, max(spent) if cost.high is None else cost.high


def targets(curves: Sequence[Sequence[Point]], lower: bool = True, most: int = 4) -> list[float]:
    """Round scores, the easiest first, that as many of the curves as possible cross between their measured budgets."""
    values = [p.score.value for curve in curves for p in curve if p.score.value is not None]
    if not values:
        return []
    covered = {c: sum(needed(curve, c, lower).nfe.value is not None for curve in curves) for c in _round(values)}
    enough = max(covered.values(), default=0)
    for wanted in range(enough, 0, -1):
        found = sorted((c for c, count in covered.items() if count >= wanted), reverse=lower)
        if len(found) >= most or wanted <= (enough + 1) // 2:
            break
    else:
        return []
    if len(found) <= most:
        return found
    return [found[round(i * (len(found) - 1) / (most - 1))] for i in range(most)]


def _round(values: Sequence[float]) -> list[float]:
    """Round numbers strictly between the smallest and the largest value."""
    low, high = min(values), max(values)
    if low <= 0:
        step = 10.0 ** math.floor(math.log10((high - low) or 1.0)) / 2
        return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1) if low < step * i < high]
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [c for power in powers for digit in _DIGITS if low < (c := float(f"{digit}e{power}")) < high]


def standing(costs: Sequence[Measured], scores: Sequence[Measured], lower: bool = True) -> list[Standing]:
    """Where each cell stands: on the Pareto front, open, or dominated; all have a cost and a score.

    ``front``: by point values none is at least as cheap and as good, and better in one of the two. ``dominated``: one
    is both, with the whole of its 95% intervals (a value without an interval stands for itself). ``open``: neither;
    the intervals leave room for it on the front.
    """
    sign = 1.0 if lower else -1.0
    values = [(c.value or 0.0, sign * (s.value or 0.0)) for c, s in zip(costs, scores, strict=True)]
    spans = [(_span(c, 1.0), _span(s, sign)) for c, s in zip(costs, scores, strict=True)]
    found: list[Standing] = []
    for (cost, score), (cost_span, score_span) in zip(values, spans, strict=True):
        if not any(c <= cost and s <= score and (c, s) != (cost, score) for c, s in values):
            found.append("front")
        elif any(c[1] <= cost_span[0] and s[1] < score_span[0] for c, s in spans):
            found.append("dominated")
        else:
            found.append("open")
    return found


def _span(measured: Measured, sign: float) -> tuple[float, float]:
    """The ends of an interval, the better one first, signed so that less is better."""
    value = measured.value or 0.0
    ends = [sign * (value if end is None else end) for end in (measured.low, measured.high)]
    return min(ends), max(ends)
