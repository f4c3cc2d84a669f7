"""The cells of one run against each other: who is best at a budget, and who can't be told from the best."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from diffbench.comparison.multiple import holm, upper_tail
from diffbench.comparison.paired import FEWEST, Difference, paired
from diffbench.comparison.side import Row, Side, score_of
from diffbench.document.words import swept, text_of
from diffbench.errors import ScoringError, UsageError

ALPHA = 0.05
_AXES = ("sampler", "model", "dtype")


@dataclass(frozen=True)
class Rival:
    """A cell of a group.

    Attributes:
        name: what sets it apart in its group.
        row: its score.
        to_best: the paired difference to the first of the group; None for that one.
        p: adjusted p-value of "no worse than any other"; None: not tested, hence not told from the best.
        worse_than: the name of the one that it is worse than most clearly; None if it may be the best.
    """

    name: str
    row: Row
    to_best: Difference | None
    p: float | None
    worse_than: str | None

    @property
    def among_best(self) -> bool:
        """Whether it can't be told from the best."""
        return self.worse_than is None


@dataclass(frozen=True)
class Ranking:
    """A group of cells that differ in one axis, by one metric, best first.

    The true best is among those with ``among_best`` with a chance of at least 1 - alpha, whoever came out first: being
    the luckiest of many is no merit.
    """

    group: str
    metric: str
    rivals: tuple[Rival, ...]


def not_worse(side: Side, rows: Sequence[Row]) -> list[tuple[float, int] | None]:
    """For each of the rows, scores of one metric, the smallest adjusted p-value of "no worse than that one", and which.

    All ordered pairs are tested one-sidedly on the paired differences, with Holm's adjustment over all of them. None
    for a row that can't be tested against any other (no value, no values per sample, other n, fewer than ``FEWEST``).
    """
    scores = [score_of(side, row) for row in rows]
    lower = bool(rows) and rows[0]["better"] == "lower"
    tests: list[tuple[int, int, float]] = []
    for one, other in permutations(range(len(rows)), 2):
        try:
            difference = paired(scores[other], scores[one])
        except ScoringError:
            continue
        if difference.value is None or difference.se is None or difference.n < FEWEST:
            continue
        harm = difference.value if lower else -difference.value
        if difference.se > 0:
            tests.append((one, other, upper_tail(harm / difference.se, difference.freedom)))
        elif harm == 0:
            tests.append((one, other, 1.0))
    found: list[tuple[float, int] | None] = [None] * len(rows)
    for (one, other, _), adjusted in zip(tests, holm([p for *_, p in tests]), strict=True):
        known = found[one]
        if known is None or adjusted < known[0]:
            found[one] = adjusted, other
    return found


def rank(side: Side, metric: str, by: str, alpha: float = ALPHA) -> list[Ranking]:
    """Rankings of all groups of cells that differ in ``by``: sampler, model, dtype, or a swept option.

    Raises UsageError for an axis or metric that the run does not have, or along which nothing varies.
    """
    rows = [row for row in side.rows if row["metric"] == metric]
    if not rows:
        raise UsageError(f"{side.name} has no metric {metric!r}; it has {', '.join(_metrics(side.rows))}")
    options = sorted({key for row in rows for key in json.loads(row["options"])})
    if by not in (*_AXES, *options):
        raise UsageError(f"nothing is called {by!r} there: compare --by {', '.join((*_AXES, *options))}")
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if by in _AXES or by in json.loads(row["options"]):
            groups.setdefault(_group(row, by), []).append(row)
    found = [_ranked(side, group, metric, by, members, alpha) for group, members in groups.items() if len(members) > 1]
    if not found:
        raise UsageError(f"in {side.name} no two cells differ in {by} alone")
    return found


def _metrics(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["metric"] for row in rows))


def _group(row: Row, by: str) -> str:
    """What the cells of a group share, as text; samplers may each have options and a grid of their own."""
    budget = "adaptive" if row["budget"] is None else f"{row['budget_kind']} {row['budget']}"
    options = {key: value for key, value in json.loads(row["options"]).items() if key != by}
    told = [f"{key}={value}" for key, value in options.items()]
    shared: list[Any] = {
        "sampler": [row["model"], budget],
        "model": [row["sampler"], *told, row["grid"], budget],
    }.get(by, [row["model"], row["sampler"], *told, row["grid"] if by != "dtype" else None, budget])
    return " · ".join(str(part) for part in shared if part is not None)


def _name(row: Row, by: str) -> str:
    options: dict[str, Any] = json.loads(row["options"])
    if by in options:
        return f"{by}={text_of(options[by])}"
    if by != "sampler":
        return str(row[by])
    return " ".join([row["sampler"], *(swept(key, value) for key, value in options.items())])


def _ranked(side: Side, group: str, metric: str, by: str, rows: Sequence[Row], alpha: float) -> Ranking:
    sign = 1.0 if rows[0]["better"] == "lower" else -1.0
    measured = sorted((row for row in rows if row["value"] is not None), key=lambda row: sign * row["value"])
    names = [_name(row, by) for row in measured]
    rivals = []
    for place, (row, tested) in enumerate(zip(measured, not_worse(side, measured), strict=True)):
        same_n = place and row["n"] == measured[0]["n"]
        to_best = paired(score_of(side, measured[0]), score_of(side, row)) if same_n else None
        worse_than = names[tested[1]] if tested is not None and tested[0] < alpha else None
        rivals.append(Rival(names[place], row, to_best, tested and tested[0], worse_than))
    return Ranking(group, metric, tuple(rivals))
