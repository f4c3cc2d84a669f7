"""More samples where a comparison could not tell: the same cells of both sides, doubled up to a limit.

The false alarms of all looks together are those that were asked for: each of K looks gets alpha / K, as does the level
of SAME (Bonferroni over the looks, which holds however they depend on each other). Within a look alpha is shared by all
tests of the first one, those that are decided counting as p = 1: which rows are looked at again depends on the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from diffbench.comparison.compare import Adjust, Compared, Comparison, compare
from diffbench.comparison.join import cell_key
from diffbench.comparison.side import Row, RunSide
from diffbench.comparison.verdict import EQUIVALENCE
from diffbench.document.words import counted
from diffbench.errors import OtherCode, UsageError
from diffbench.models.consent import TENSORS_ONLY, Consent
from diffbench.runner.engine import execute
from diffbench.runner.merge import merge_runs
from diffbench.runner.progress import Progress
from diffbench.suite.gates import Margin
from diffbench.suite.of_run import suite_of_run
from diffbench.suite.plan import plan
from diffbench.suite.select import select

REACH = 4
"""Samples are bought for a cell whose estimate of what would tell is at most so many times the limit."""


def looks(n: int, limit: int) -> list[int]:
    """Numbers of samples at which one looks: ``n``, doubled as long as it stays within ``limit``."""
    found = [n]
    while 2 * found[-1] <= limit:
        found.append(2 * found[-1])
    return found


def extend(
    base: RunSide,
    new: RunSide,
    limit: int,
    gates: Mapping[str, Margin] | None,
    alpha: float,
    adjust: Adjust,
    quiet: bool = False,
    consent: Consent = TENSORS_ONLY,
) -> Comparison:
    """Compare two runs, and again with more samples of the gated cells that are inconclusive.

    The samples go to ``<run>-extended`` beside each run, whose own table stays as it is. ``Comparison.looks`` holds the
    numbers of samples; a row's ``n`` is that of the look that decided it.

    Raises:
        UsageError: nothing to double within the limit, or a model is no longer the one that a run sampled.
        OtherCode: today's code or networks do not answer as when a run was sampled.
        StoreError: a folder can't be read or written.
    """
    n = max((row["n"] or 0 for row in new.rows if row["signature"] is not None), default=0)
    planned = looks(n, limit) if n else [n]
    if len(planned) < 2:
        raise UsageError(f"--extend {limit}: the runs have {n} samples a cell; give twice that at least, {2 * n}")
    count = len(planned)
    look = partial(compare, gates=gates, alpha=alpha / count, adjust=adjust, equivalence=EQUIVALENCE / count)
    found = look(base, new)
    family = sum(row.gated and row.verdict.p_worse is not None for row in found.rows)
    done = [n]
    for more in planned[1:]:
        undecided = [row for row in found.rows if _may_tell(row, limit)]
        if not undecided:
            break
        cells = len({cell_key(row.new) for row in undecided})
        Progress(quiet).note(f"{counted(cells, 'cell')} to {more} samples on both sides, of at most {limit}")
        sides = [
            _sampled(side, [getattr(row, name) for row in undecided], more, quiet, consent)
            for side, name in ((base, "base"), (new, "new"))
        ]
        again = look(sides[0], sides[1], family=family)
        found = replace(found, rows=_replaced(found.rows, again.rows))
        done.append(more)
    return replace(found, alpha=alpha, looks=tuple(done))


def _may_tell(row: Compared, limit: int) -> bool:
    samples = row.verdict.samples
    return row.gated and row.verdict.word == "INCONCLUSIVE" and samples is not None and samples <= REACH * limit


def _sampled(side: RunSide, rows: Sequence[Row], n: int, quiet: bool, consent: Consent) -> RunSide:
    """The side with ``n`` samples of the cells of these rows, and only these rows."""
    out = side.path.with_name(f"{side.path.resolve().name}-extended")
    suite = suite_of_run(side.path, [f"samples.n={n}", "timing.seconds=0"])
    rules = dict.fromkeys(map(_rule, rows))
    own = {cell.id for rule in rules for cell in select(plan(suite), rule)}
    if not {row["cell"] for row in rows} <= own:
        raise UsageError(f"{side.name}: a model is no longer the one that was sampled; its samples can't be extended")
    merge_runs(out, [side.path])
    for rule in rules:
        try:
            execute(suite, out, only=rule, quiet=quiet, consent=consent)
        except OtherCode as error:
            raise OtherCode(f"{side.name} can't be extended, for other code sampled it: {error}") from None
    wanted = {(*cell_key(row), row["metric"]) for row in rows}
    whole = RunSide.open(out)
    return replace(whole, rows=[row for row in whole.rows if (*cell_key(row), row["metric"]) in wanted])


def _rule(row: Row) -> str:
    budget = [] if row["budget"] is None else [f"{row['budget_kind']}={row['budget']}"]
    return ",".join([f"model={row['model']}", f"sampler={row['sampler']}", *budget])


def _replaced(rows: Sequence[Compared], others: Sequence[Compared]) -> tuple[Compared, ...]:
    """The rows, with those that were looked at again in their place; evaluations stay as they were."""
    newer: dict[tuple[Any, ...], Compared] = {(*cell_key(row.new), row.metric): row for row in others}
    return tuple(newer.get((*cell_key(row.new), row.metric), row) if row.metric != "nfe" else row for row in rows)
