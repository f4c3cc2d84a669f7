"""Two sides to one table of verdicts: evaluations and samples, which need no test, then every metric, then costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from diffbench.catalog import COSTS, METRICS
from diffbench.comparison.changed import Changed, changed
from diffbench.comparison.equality import Equality, equality, features_equal
from diffbench.comparison.join import Joined, cell_key, join, label
from diffbench.comparison.paired import Difference, paired
from diffbench.comparison.rows import as_rows
from diffbench.comparison.side import Row, Side, score_of
from diffbench.comparison.verdict import ALPHA, EQUIVALENCE, Gate, Verdict, Word, verdicts
from diffbench.suite.gates import NFE, FailOn, Margin

UNGATED = frozenset({"is", "memorisation"})
"""Metrics that are no ground for a gate unless one asks for it: IS (Barratt & Sharma 2018); memorisation, which samples
that are far from everything improve."""
COST_MARGIN = Margin(0.05)
_BY_INTERVALS = "intervals of separate timing passes"

Adjust = Literal["holm", "bh"]
Outcome = Literal["pass", "worse", "missing", "inconclusive"]


@dataclass(frozen=True)
class Compared:
    """One metric of one cell on both sides; ``gated``: whether its verdict decides the exit code."""

    base: Row
    new: Row
    metric: str
    difference: Difference
    verdict: Verdict
    gated: bool

    @property
    def missing(self) -> bool:
        """Whether one side lacks the score, or both do because samples are missing; not: undefined on both alike."""
        values, statuses = (self.base["value"], self.new["value"]), {self.base["status"], self.new["status"]}
        return None in values and (values != (None, None) or bool(statuses & {"incomplete", "failed"}))

    @property
    def untested(self) -> bool:
        """Whether both sides have the score, but nothing could be tested: such a gate could never fail."""
        told = self.verdict
        known = self.difference.value is not None and told.word == "INCONCLUSIVE"
        return known and told.p_worse is None and told.reason != _BY_INTERVALS

    @property
    def lower_is_better(self) -> bool:
        """Whether a negative difference is an improvement."""
        return self.metric == NFE or bool(self.new["better"] == "lower")


@dataclass(frozen=True)
class Comparison:
    """All that two sides were found to differ in.

    Attributes:
        base: name of the one side.
        new: name of the other.
        rows: cell by cell in the new side's order.
        samples: equality of samples by cell key.
        changed: which of a cell's network and sampler answers other than before, by cell key.
        only_base: rows that the new side lacks.
        only_new: rows that the base lacks.
        gates: the metrics that were to decide; None: the default ones.
        other_code: cells of the new side that other code sampled than that of its last session.
        alpha: false alarms of the whole table, in WORSE and in BETTER each.
        adjust: how they are shared.
        seeds: of both sides' noise, where they are known and differ: then nothing is gained by pairing.
        looks: the numbers of samples a cell at which one looked, where samples were bought for inconclusive cells.
    """

    base: str
    new: str
    rows: tuple[Compared, ...]
    samples: Mapping[tuple[Any, ...], Equality]
    changed: Mapping[tuple[Any, ...], Changed]
    only_base: tuple[Row, ...]
    only_new: tuple[Row, ...]
    gates: tuple[str, ...] | None
    other_code: tuple[str, ...]
    alpha: float
    adjust: Adjust
    seeds: tuple[int, int] | None = None
    looks: tuple[int, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """One row a cell and metric, with pandas' nullable dtypes; a missing value is null with a ``reason``."""
        return pd.DataFrame(as_rows(self)).convert_dtypes()

    def count(self, word: Word) -> int:
        """Gated rows with that verdict."""
        return sum(row.verdict.word == word for row in self.rows if row.gated)

    @property
    def gaps(self) -> list[str]:
        """What is missing on either side, or could not be tested: no verdict on it, whatever the rest says."""
        told = [
            f"{label(row.new)}, {row.metric}: {row.verdict.reason}"
            for row in self.rows
            if row.gated and (row.missing or row.untested) and row.verdict.gate != "fail"
        ]
        decides = {*METRICS} - UNGATED if self.gates is None else set(self.gates)
        known = {cell_key(row.new) for row in self.rows}
        for rows, side in ((self.only_base, "base"), (self.only_new, "new side")):
            lost = {label(row): row for row in rows if cell_key(row) not in known and row["status"] != "skipped"}
            told += [f"{cell}: only in the {side}" for cell in lost]
            told += [
                f"{label(row)}, {row['metric']}: only in the {side}"
                for row in rows
                if row["metric"] in decides and cell_key(row) in known
            ]
        absent = set(self.gates or ()) - {row.metric for row in self.rows if row.difference.value is not None}
        told += [f"{metric}: gated, but no cell has it on both sides" for metric in sorted(absent)]
        return told + [f"{cell}: samples of other code" for cell in self.other_code]

    @property
    def gate(self) -> Gate:
        """The worst outcome of the gated rows; inconclusive as well where there are gaps, or where nothing is gated."""
        gates = [row.verdict.gate for row in self.rows if row.gated]
        if "fail" in gates:
            return "fail"
        return "inconclusive" if "inconclusive" in gates or not gates or self.gaps else "pass"

    def outcome(self, fail_on: FailOn = "worse") -> Outcome:
        """What to end with: ``pass``, or what does not pass, where a regression counts before a gap.

        ``fail_on``: ``worse`` lets pass what is not told; ``inconclusive`` does not; ``nothing`` lets everything pass.
        """
        if fail_on == "nothing":
            return "pass"
        if self.gate == "fail":
            return "worse"
        if self.gaps:
            return "missing"
        return "inconclusive" if self.gate == "inconclusive" and fail_on == "inconclusive" else "pass"


def compare(
    base: Side,
    new: Side,
    gates: Mapping[str, Margin] | None = None,
    alpha: float = ALPHA,
    adjust: Adjust = "holm",
    family: int | None = None,
    equivalence: float = EQUIVALENCE,
) -> Comparison:
    """Compare all cells that both sides have.

    Args:
        base: what is expected.
        new: what is judged.
        gates: the margin of each metric that decides (``nfe``, ``seconds_per_image`` … too); None: every quality metric
            but IS and memorisation with 1%, and evaluations exactly.
        alpha: false alarms of the whole table.
        adjust: ``holm`` bounds the chance of one, ``bh`` their share among all alarms.
        family: how many tests share alpha, if more than the gated ones here: see :func:`verdicts`.
        equivalence: level of the two one-sided tests of SAME.

    Raises:
        UsageError: no cell in common, or scores of different things.
        StoreError: stored images are damaged.
    """
    joined = join(base, new)
    rows = [*_evaluations(joined, gates), *_quality(base, new, joined, gates, alpha, adjust, family, equivalence)]
    rows += _costs(base, new, joined, gates)
    order = {cell_key(row): place for place, (_, row) in reversed(list(enumerate(joined.pairs)))}
    rows.sort(key=lambda row: order[cell_key(row.new)])
    cells = {cell_key(row): (first, row) for first, row in joined.pairs if row["status"] == first["status"] == "ok"}
    samples = {key: equality(base, first["cell"], new, row["cell"]) for key, (first, row) in cells.items()}
    answers = {key: changed(base, first["cell"], new, row["cell"]) for key, (first, row) in cells.items()}
    stale = tuple(label(row) for _, row in cells.values() if new.code and new.codes(row["cell"]) != {new.code})
    asked = None if gates is None else tuple(gates)
    only = joined.only_base, joined.only_new
    one, other = base.seed, new.seed
    seeds = (one, other) if one is not None and other is not None and one != other else None
    return Comparison(base.name, new.name, tuple(rows), samples, answers, *only, asked, stale, alpha, adjust, seeds)


def _evaluations(joined: Joined, gates: Mapping[str, Margin] | None) -> list[Compared]:
    """One row a cell with a budget: the counted evaluations must be the same. Adaptive cells spend what they need."""
    cells = {
        cell_key(new): (base, new) for base, new in joined.pairs if base["nfe"] is not None and new["nfe"] is not None
    }
    return [
        Compared(base, new, NFE, *_exactly(base["nfe"], new["nfe"], new["n"] or 0), gates is None or NFE in gates)
        for base, new in cells.values()
        if new["budget"] is not None
    ]


def _exactly(base: float, new: float, n: int) -> tuple[Difference, Verdict]:
    difference = Difference(base, new, new - base, 0.0, None, None, n, None)
    word: Word = "SAME" if new == base else "WORSE" if new > base else "BETTER"
    gate: Gate = "pass" if new == base else "fail"
    return difference, Verdict(word, gate, None, None, 0.0, None, None, None if new == base else "must be equal")


def _quality(
    base: Side, new: Side, joined: Joined, gates: Mapping[str, Margin] | None, alpha: float, adjust: Adjust,
    family: int | None, equivalence: float,
) -> list[Compared]:  # fmt: skip
    pairs = [(one, other) for one, other in joined.pairs if other["metric"] in METRICS and _comparable(one, other)]
    differences = [_difference(base, one, new, other) for one, other in pairs]
    margins = [(gates or {}).get(other["metric"], Margin()) for _, other in pairs]
    lower = [bool(other["better"] == "lower") for _, other in pairs]
    gated = [other["metric"] in gates if gates is not None else other["metric"] not in UNGATED for _, other in pairs]
    found: list[Verdict] = [_ABSENT] * len(pairs)
    for decides in (True, False):  # what only informs costs those that decide no power
        own = [index for index, yes in enumerate(gated) if yes is decides]
        chosen = verdicts(
            [differences[i] for i in own], [lower[i] for i in own], [margins[i] for i in own], alpha, adjust,
            family if decides else None, equivalence,
        )  # fmt: skip
        for index, verdict in zip(own, chosen, strict=True):
            new_failed = pairs[index][0]["value"] is not None and pairs[index][1]["status"] == "failed"
            found[index] = _failed(pairs[index][1]["reason"]) if new_failed else verdict
    return [
        Compared(*pair, pair[1]["metric"], difference, verdict, yes)
        for pair, difference, verdict, yes in zip(pairs, differences, found, gated, strict=True)
    ]


def _difference(base: Side, one: Row, new: Side, other: Row) -> Difference:
    """The paired difference; exactly none where all features are the same, whether the score has an error or not."""
    found = paired(score_of(base, one), score_of(new, other))
    same = found.value == 0 and features_equal(base, one["cell"], new, other["cell"])
    return replace(found, se=0.0, reason=None, equal=True) if same else found


def _failed(reason: str) -> Verdict:
    return Verdict("WORSE", "fail", None, None, None, None, None, f"failed: {reason}")


_ABSENT = Verdict("INCONCLUSIVE", "inconclusive", None, None, None, None, None, None)


def _comparable(base: Row, new: Row) -> bool:
    """Whether there is anything to tell: cells that both sides skipped are the same."""
    return not (base["status"] == new["status"] == "skipped")


def _costs(base: Side, new: Side, joined: Joined, gates: Mapping[str, Margin] | None) -> list[Compared]:
    """Costs of separate runs can't be paired: only intervals that lie apart tell, and only on the same device."""
    rows = []
    for one, other in joined.pairs:
        metric, gated = other["metric"], other["metric"] in (gates or {})
        known = one["value"] is not None and other["value"] is not None
        if metric not in COSTS or not (known or (gated and _comparable(one, other))):
            continue
        reason = None if known else f"no value: {(one if one['value'] is None else other)['reason']}"
        change = other["value"] - one["value"] if known else None
        difference = Difference(one["value"], other["value"], change, None, None, None, other["n"] or 0, reason)
        verdict = replace(_ABSENT, reason=reason)
        if known:
            alike = base.device == new.device != ""
            verdict = _apart(one, other, (gates or {}).get(metric, COST_MARGIN)) if alike else _ELSEWHERE
        rows.append(Compared(one, other, metric, difference, verdict, gated))
    return rows


_ELSEWHERE = Verdict("INCONCLUSIVE", "inconclusive", None, None, None, None, None, "timed on different devices")


def _apart(base: Row, new: Row, margin: Margin) -> Verdict:
    """By the intervals' ends: WORSE where even the best ratio is beyond the margin, SAME where all are inside."""
    sides = [(row["ci_low"], row["ci_high"]) for row in (base, new)]
    delta = margin.of(base["value"])
    if any(end is None for side in sides for end in side):
        return Verdict(
            "INCONCLUSIVE", "inconclusive", None, None, delta, None, None, "no interval: too few timed blocks"
        )
    (base_low, base_high), (new_low, new_high) = sides if new["better"] == "lower" else _turned(sides)
    least, most = new_low - base_high, new_high - base_low
    word: Word = "WORSE" if least > delta else "BETTER" if most < -delta else "INCONCLUSIVE"
    if most < delta and least > -delta:
        word = "SAME"
    gate: Gate = "fail" if word == "WORSE" else "pass" if most < delta else "inconclusive"
    return Verdict(word, gate, None, None, delta, None, None, _BY_INTERVALS)


def _turned(sides: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(-high, -low) for low, high in sides]
