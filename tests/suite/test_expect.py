"""``expect:`` of a suite: what is refused and where, and that what is read is written back."""

import pytest

from diffbench.errors import SuiteError
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite_text, resolved

SUITE = """name: x
models: [{id: one, name: ddpm-mnist, sweep: {clip: [null, [-2, 2]]}}]
samplers: [ddim, {id: noisy, sampler: ddim, sweep: {eta: [0.0, 0.5]}}, rk45]
budgets: {nfe: [5, 10]}
include: [{model: one, sampler: ddim, steps: 1000}]
exclude: [{sampler: ddim, nfe: 10}]
metrics: [fid]
timing: {seconds: 0}
"""
ROW = "{model: one, sampler: ddim, nfe: 5, n: 10, metric: fid, value: 1.5, tolerance: 5%, source: table 1}"
BAD = [
    ("model: one", "model: §onne", 'expect[0].model: unknown model id "onne"; did you mean "one"? Known: one'),
    ("sampler: ddim", "sampler: §dim", 'unknown sampler id "dim"; did you mean "ddim"? Known: ddim, noisy, rk45'),
    ("metric: fid", "metric: §fdi", 'expect[0].metric: unknown metric "fdi"'),
    ("metric: fid", "metric: §precision", '"precision" is expected, but not measured: it is not among the suite'),
    ("metric: fid", "metric: §images_per_second", "is expected, but not measured: timing.seconds is 0"),
    ("nfe: 5", "nfe: §7", 'expect[0].nfe: no cell of "ddim" on "one" has nfe 7: it is not among its budgets'),
    ("nfe: 5", "steps: §5", 'expect[0].steps: no cell of "ddim" on "one" has steps 5'),
    ("ddim, nfe: 5", "noisy, steps: §1000", 'no cell of "noisy" on "one" has steps 1000'),
    ("ddim, nfe: 5", "rk45, nfe: §5", "expect[0].nfe: rk45 chooses its own steps; leave nfe out"),
    ("{model: one, sampler: ddim, nfe: 5,", "§{model: one, sampler: ddim,", 'expect[0]: give either "nfe" or "steps"'),
    ("{model: one, sampler: ddim, nfe: 5", "§{model: one, sampler: ddim, nfe: 5, steps: 1000", '"steps", not both'),
    ("{model: one, sampler: ddim, nfe: 5", "§{model: one, sampler: ddim, nfe: 10", "about no cell: exclude[0] leaves"),
    ("nfe: 5", "nfe: 5, options: {eta: §0.5}", 'expect[0].options.eta: unknown swept option "eta"; known: clip'),
    ("ddim, nfe: 5", "noisy, nfe: 5, options: {eta: §0.2}", "0.2 is not among the swept values of eta: 0.0, 0.5"),
    ("5%", "§5%%", 'tolerance: "5%%" is not allowed; expected a share of the value such as 5%, or a number'),
    ("5%", "§-1", 'tolerance: "-1" is not allowed; expected a share'),
    ("1.5", "§high", 'expect[0].value: "high" is not allowed; expected a number'),
    ("{model: one", "{§mode: one", 'unknown key "mode"; did you mean "model"?'),
    ("n: 10", "n: 10, grid: §quadratc", 'expect[0].grid: unknown grid "quadratc"'),
    ("n: 10", "n: §0", "expect[0].n: 0 is not allowed; expected a whole number from 1"),
    ("n: 10", "n: 10, §ena: true", 'unknown key "ena"'),
    ("source", "unverified: §true, source", "expect[0].unverified: true is not allowed; expected text"),
]  # fmt: skip


@pytest.mark.parametrize("old, new, said", BAD, ids=[new for _, new, _ in BAD])
def test_a_row_that_can_not_hold_is_an_error_at_its_place(old: str, new: str, said: str) -> None:
    assert ROW.count(old) == 1
    marked = SUITE + f"expect: [{ROW.replace(old, new)}]\n"
    before = marked[: marked.index("§")]
    with pytest.raises(SuiteError) as caught:
        read_suite_text(marked.replace("§", ""), "s.yaml")
    places = {(problem.line, problem.column): problem.message for problem in caught.value.problems}
    assert said in places[before.count("\n") + 1, len(before) - before.rfind("\n")]


def test_rows_are_read_and_written_back() -> None:
    more = "grid: {kind: karras, rho: 5}, reference: mnist, ema: true, unverified: conflicting step counts"
    rows = [
        ROW,
        ROW.replace("ddim, nfe: 5", "noisy, options: {eta: 0, clip: [-2, 2]}, nfe: 10").replace("5%", f"0.1, {more}"),
        ROW.replace("nfe: 5", "steps: 1000"),
        ROW.replace("ddim, nfe: 5", "rk45"),
    ]
    suite = read_suite_text(SUITE + "expect:\n" + "".join(f"  - {row}\n" for row in rows))
    assert [row.band for row in suite.expect[:2]] == [pytest.approx((1.425, 1.575)), pytest.approx((1.4, 1.6))]
    assert read_suite_text(resolved(suite)).expect == suite.expect
    assert "expect" not in resolved(read_suite_text(SUITE))


def test_a_row_selects_the_cells_with_its_swept_values() -> None:
    """Swept values that it leaves out are free: here both clip ranges."""
    row = ROW.replace("ddim, nfe: 5", "noisy, options: {eta: 0}, nfe: 10")
    suite = read_suite_text(SUITE + f"expect: [{row}]\n")
    found = [
        cell.key
        for cell in plan(suite)
        if cell.budget_kind is not None
        and suite.expect[0].selects(cell.model, cell.sampler, cell.options, (cell.budget_kind, cell.budget or 0))
    ]
    assert found == ["one/noisy[clip=null,eta=0.0]/nfe=10", "one/noisy[clip=[-2.0, 2.0],eta=0.0]/nfe=10"]
