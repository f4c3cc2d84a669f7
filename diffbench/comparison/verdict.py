"""Differences to verdicts: BETTER, SAME, WORSE or INCONCLUSIVE, with an error rate that holds for the whole table.

``harm`` is a difference turned so that positive is bad. With a margin delta >= 0 that a user would not mind,

- WORSE: the adjusted p-value of "harm <= delta" is below alpha;
- BETTER: that of "harm >= -delta" is;
- SAME: two one-sided tests at 5% (Schuirmann 1987) put harm inside ±delta;
- INCONCLUSIVE: none of these; more samples would tell.

A gate passes where the one-sided 95% upper end of harm is below delta, and fails where the verdict is WORSE.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from diffbench.comparison.multiple import ADJUSTMENTS, quantile, upper_tail
from diffbench.comparison.paired import FEWEST, Difference
from diffbench.suite.gates import Margin

Word = Literal["BETTER", "SAME", "WORSE", "INCONCLUSIVE"]
Gate = Literal["pass", "fail", "inconclusive"]

ALPHA, EQUIVALENCE, POWER = 0.01, 0.05, 0.8


@dataclass(frozen=True)
class Verdict:
    """What a difference amounts to.

    Attributes:
        word: the verdict.
        gate: whether a gate lets it pass.
        p_worse: adjusted p-value against "no worse than the margin"; None where there is no error to test with.
        p_better: the same for "no better".
        margin: delta in the metric's unit.
        detectable: the smallest harm that this many samples find in 80% of cases; None without an error.
        samples: how many would decide, in 80% of cases at least, if the difference stays; None where it is decided, or
            where no number would do.
        reason: what it rests on, where that is not the test.
    """

    word: Word
    gate: Gate
    p_worse: float | None
    p_better: float | None
    margin: float | None
    detectable: float | None
    samples: int | None
    reason: str | None


def verdicts(
    differences: Sequence[Difference],
    lower_is_better: Sequence[bool],
    margins: Sequence[Margin],
    alpha: float = ALPHA,
    adjust: Literal["holm", "bh"] = "holm",
    family: int | None = None,
    equivalence: float = EQUIVALENCE,
) -> list[Verdict]:
    """One verdict a difference; all those that can be tested share ``alpha``.

    ``family``: how many tests share it, where these are only some of them, chosen by what was seen: the others count as
    p = 1. That keeps the promise, since larger p-values never make Holm reject more. ``equivalence``: the level of the
    two one-sided tests of SAME.

    Scores of equal features are SAME without a test; equal values per sample of other samples (all of them inside a
    manifold, say) are not. A missing value, an unknown error or fewer than
    ``FEWEST`` samples is INCONCLUSIVE, never a pass.
    """
    cases = [_Case.of(*one) for one in zip(differences, lower_is_better, margins, strict=True)]
    tested = [case for case in cases if case.se is not None and case.se > 0]
    others = [1.0] * (max(len(tested), family or 0) - len(tested))
    worse = ADJUSTMENTS[adjust]([*(case.tail(case.harm) for case in tested), *others])[: len(tested)]
    better = ADJUSTMENTS[adjust]([*(case.tail(-case.harm) for case in tested), *others])[: len(tested)]
    p_values = {id(case): pair for case, pair in zip(tested, zip(worse, better, strict=True), strict=True)}
    level = 1 - alpha / max(1, len(tested) + len(others))
    return [
        _tested(case, p_values[id(case)], alpha, level, equivalence) if id(case) in p_values else _untested(case)
        for case in cases
    ]


@dataclass(frozen=True, eq=False)
class _Case:
    difference: Difference
    harm: float
    delta: float
    se: float | None

    @classmethod
    def of(cls, difference: Difference, lower_is_better: bool, margin: Margin) -> _Case:
        value, base = difference.value, difference.base
        harm = math.nan if value is None else value if lower_is_better else -value
        usable = value is not None and difference.n >= FEWEST
        return cls(difference, harm, margin.of(base or 0.0), difference.se if usable else None)

    def tail(self, harm: float) -> float:
        """The p-value of "harm <= delta"."""
        assert self.se is not None
        return upper_tail((harm - self.delta) / self.se, self.difference.freedom)

    def quantile(self, p: float) -> float:
        return quantile(p, self.difference.freedom)


def _tested(case: _Case, p_values: tuple[float, float], alpha: float, level: float, equivalence: float) -> Verdict:
    assert case.se is not None
    p_worse, p_better = p_values
    edge = case.quantile(1 - equivalence) * case.se
    detectable = case.delta + (case.quantile(level) + case.quantile(POWER)) * case.se
    not_worse = case.harm + edge < case.delta
    word: Word = "INCONCLUSIVE"
    if p_worse < alpha:
        word = "WORSE"
    elif p_better < alpha:
        word = "BETTER"
    elif not_worse and case.harm - edge > -case.delta:
        word = "SAME"
    gate: Gate = "fail" if word == "WORSE" else "pass" if not_worse else "inconclusive"
    samples = _deciding(case, level, equivalence) if word == "INCONCLUSIVE" else None
    return Verdict(word, gate, p_worse, p_better, case.delta, detectable, samples, None)


def _untested(case: _Case) -> Verdict:
    difference, nothing = case.difference, (None, None, case.delta, None, None)
    if difference.value is None:
        return Verdict("INCONCLUSIVE", "inconclusive", None, None, None, None, None, difference.reason)
    if difference.equal:
        return Verdict("SAME", "pass", *nothing, "equal sample by sample")
    if difference.se is None:
        return Verdict("INCONCLUSIVE", "inconclusive", *nothing, difference.reason)
    if difference.n < FEWEST:
        reason = f"{difference.n} samples: a test needs {FEWEST}"
        return Verdict("INCONCLUSIVE", "inconclusive", *nothing, reason)
    return Verdict("INCONCLUSIVE", "inconclusive", *nothing, "the difference has no spread: nothing to test it with")


def _deciding(case: _Case, level: float, equivalence: float) -> int | None:
    """Samples at which harm, if it stays, is told from delta: as SAME inside the margin, else as WORSE or BETTER."""
    assert case.se is not None
    room = case.delta - abs(case.harm)
    if room == 0:
        return None
    inside = case.quantile(1 - equivalence) + case.quantile(0.5 + POWER / 2)
    needed = inside if room > 0 else case.quantile(level) + case.quantile(POWER)
    return math.ceil(case.difference.n * (needed * case.se / room) ** 2)
