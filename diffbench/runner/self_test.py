"""``compare --self-test``: how often does the comparison alarm where nothing differs, on a suite of one's own?

A run's suite is sampled again with another seed. The two runs are compared as they are, and then many times with
sample i of the one exchanged for sample i of the other by a coin, the same coin in all cells: exchanged or not, the two
sides have one distribution, so that every verdict of better or worse at a margin of 0 is a false alarm.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from diffbench.catalog import METRICS
from diffbench.comparison.compare import UNGATED, Comparison, compare
from diffbench.comparison.paired import FEWEST
from diffbench.comparison.side import RunSide
from diffbench.comparison.verdict import ALPHA, verdicts
from diffbench.document.words import counted
from diffbench.errors import Inconclusive, OtherCode, StoreError, UsageError
from diffbench.models.consent import TENSORS_ONLY, Consent
from diffbench.runner.devices import pick_device
from diffbench.runner.engine import execute
from diffbench.runner.loaded import Loaded
from diffbench.runner.null_suites import Null, NullSuites
from diffbench.runner.resume import answer_alike
from diffbench.status.stored import distinct
from diffbench.suite.gates import Margin
from diffbench.suite.of_run import suite_of_run
from diffbench.suite.plan import Cell, plan
from diffbench.suite.spec import Suite

SUITES, SECONDS = 200, 600.0

Adjust = Literal["holm", "bh"]


@dataclass(frozen=True)
class Rate:
    """False alarms of a family of scores that share alpha: all that gate (``name`` "all gated"), or one metric's.

    Attributes:
        name: of the family.
        scores: how many a suite has.
        suites: how many null suites were compared.
        worse: share of them with a WORSE.
        better: share with a BETTER.
        bound: alpha and two binomial standard errors.
        spread: root mean square of the null differences over that of their standard errors: 1 where these are right,
            above 1 where they are too small; None where nothing varies.
    """

    name: str
    scores: int
    suites: int
    worse: float
    better: float
    bound: float
    spread: float | None

    @property
    def fine(self) -> bool:
        """Whether neither share is above the bound."""
        return max(self.worse, self.better) <= self.bound


@dataclass(frozen=True)
class SelfTest:
    """What a self-test found.

    Attributes:
        run: the run folder.
        again: that of the same suite with another seed.
        direct: the two compared as they are, at a margin of 0.
        rates: of all scores that gate, then metric by metric.
        cells: how many cells the null suites have.
        planned: how many the run has.
        notes: what was left out, and why.
    """

    run: Path
    again: Path
    direct: Comparison
    rates: tuple[Rate, ...]
    cells: int
    planned: int
    notes: tuple[str, ...]

    @property
    def told_apart(self) -> int:
        """Gated scores by which the direct comparison tells the two runs apart."""
        return self.direct.count("WORSE") + self.direct.count("BETTER")

    @property
    def fine(self) -> bool:
        """Whether there are no more false alarms than there may be."""
        return self.rates[0].fine and not self.told_apart


def self_test(
    run: Path,
    out: Path | None = None,
    *,
    seed: int | None = None,
    suites: int = SUITES,
    alpha: float = ALPHA,
    adjust: Adjust = "holm",
    seconds: float = SECONDS,
    gates: Sequence[str] = (),
    device: str | None = None,
    quiet: bool = False,
    tell: Callable[[str], None] = lambda line: None,
    consent: Consent = TENSORS_ONLY,
) -> SelfTest:
    """Sample a run's suite with another seed, and count false alarms of the comparison.

    Args:
        run: a run folder with all its features.
        out: the folder of the second run; default ``<run>-selftest-<seed>``. What it holds already is not made again.
        seed: its seed; default: the suite's plus 1.
        suites: null suites.
        alpha: false alarms that the comparison promises at most, in WORSE and in BETTER each.
        adjust: how scores share it.
        seconds: time box of the null suites; where it does not hold 20 of them, they have fewer cells.
        gates: metrics that gate; default: those of ``compare``.
        device: as of ``run``.
        quiet: no progress of sampling.
        tell: is told what it will cost.
        consent: what checkpoints may do beyond giving tensors.

    Raises:
        Inconclusive: cells have fewer than 50 samples, or no score has values for each sample.
        OtherCode: the run's samples were made by networks or samplers that answer otherwise today.
        StoreError: the folder is no run, or its features were freed.
        UsageError: the seed is the run's own.
    """
    suite = suite_of_run(run)
    if suite.samples.n < FEWEST:
        raise Inconclusive(f"{run} has {suite.samples.n} samples a cell: a test needs {FEWEST}")
    other = (suite.seed + 1) % 2**32 if seed is None else seed
    if other == suite.seed:
        raise UsageError(f"{other} is the seed of {run} itself; give another --seed")
    cells, loaded = _cells(run, suite), Loaded(pick_device(device or suite.run.device), consent)
    alike = answer_alike(run, distinct(cells), loaded)
    if apart := [cell for cell in cells if cell.id not in alike]:
        raise OtherCode(f"{run}: {apart[0].label} was sampled by other code than today's; sample it again first")
    again = out or run.parent / f"{run.name}-selftest-{other}"
    tell(f"sampling {counted(len(distinct(cells)), 'cell')} of {run} again with seed {other} into {again}")
    fresh = suite.model_copy(update={"seed": other, "timing": suite.timing.model_copy(update={"seconds": 0.0})})
    execute(fresh, again, device, None, quiet, consent=consent)
    gated = gates or [choice.name for choice in suite.metrics if choice.name not in UNGATED]
    sides = (RunSide.open(run), RunSide.open(again))
    direct = compare(*sides, {metric: Margin(0.0, False) for metric in gated}, alpha, adjust)
    nulls = NullSuites(suite.metrics, suite.samples.n, loaded, sides, tell)
    drawn, used = nulls.draw(_pairs(cells, fresh, sides[1]), suites, seconds)
    metrics = dict.fromkeys(null.metric for null in drawn[0])
    if not any(metric in gated for metric in metrics):
        raise Inconclusive(f"no gated score of {run} has values for each sample: nothing to exchange")
    families = {"all gated": gated, **{METRICS[metric].title: [metric] for metric in metrics}}
    rates = tuple(_rate(name, chosen, drawn, alpha, adjust) for name, chosen in families.items())
    return SelfTest(run, again, direct, rates, used, len(distinct(cells, False)), tuple(nulls.notes))


def _cells(run: Path, suite: Suite) -> list[Cell]:
    """The cells of a suite that a run has scored."""
    scored = {row["cell"] for row in RunSide.open(run).rows if row["status"] == "ok" and row["metric"] in METRICS}
    cells = [cell for cell in plan(suite) if cell.skip is None and cell.id in scored]
    if not cells:
        raise StoreError(f"{run}: no cell is scored; diffbench run {run / 'suite.yaml'} --out {run} finishes it")
    return cells


def _pairs(cells: Sequence[Cell], fresh: Suite, side: RunSide) -> list[tuple[Cell, Cell, int]]:
    """The cells that both runs scored, one of each set of aliases, with the number of these."""
    scored = {row["cell"] for row in side.rows if row["status"] == "ok" and row["metric"] in METRICS}
    others = {cell.key: cell for cell in plan(fresh) if cell.id in scored}
    counts = Counter(cell.id for cell in cells)
    return [(cell, others[cell.key], counts[cell.id]) for cell in distinct(cells, False) if cell.key in others]


def _rate(name: str, metrics: Sequence[str], drawn: Sequence[Sequence[Null]], alpha: float, adjust: Adjust) -> Rate:
    words = []
    for suite in drawn:
        own = [null for null in suite if null.metric in metrics]
        found = verdicts(
            [null.difference for null in own],
            [METRICS[null.metric].better == "lower" for null in own],
            [Margin(0.0, False)] * len(own),
            alpha,
            adjust,
        )
        words.append({verdict.word for verdict in found})
    chosen = [null.difference for suite in drawn for null in suite if null.metric in metrics]
    tested = [(one.value, one.se) for one in chosen if one.value is not None and one.se is not None]
    expected = sum(se**2 for _, se in tested)
    spread = math.sqrt(sum(value**2 for value, _ in tested) / expected) if expected > 0 else None
    bound = alpha + 2 * math.sqrt(alpha * (1 - alpha) / len(drawn))
    worse, better = (float(np.mean([word in one for one in words])) for word in ("WORSE", "BETTER"))
    return Rate(name, len(chosen) // len(drawn), len(drawn), worse, better, bound, spread)
