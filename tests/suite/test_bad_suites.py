"""Every way to get a suite wrong (``tests/bad_suites.py``) is one clear error at the right place, and exit code 2."""

from __future__ import annotations

import pytest
from bad_suites import CASES, marked_place

from diffbench.errors import SuiteError
from diffbench.suite.read import read_suite_text


@pytest.mark.parametrize("marked, fragments", CASES, ids=[str(i) for i in range(len(CASES))])
def test_one_clear_error_at_the_right_place(marked: str, fragments: list[str]) -> None:
    text, place = marked_place(marked)
    with pytest.raises(SuiteError) as caught:
        read_suite_text(text, "s.yaml")
    (problem,) = caught.value.problems
    if place is not None:
        assert (problem.line, problem.column) == place, problem
    for fragment in fragments:
        assert fragment in problem.message
    assert str(caught.value) == f"s.yaml:{problem.line}:{problem.column}: {problem.message}"
    assert "\n" not in problem.message


def test_there_are_enough_cases(told) -> None:
    placed = [text for text, _ in CASES if "§" in text]
    told(f"{len(CASES)} bad suites: one error each, {len(placed)} of them with its line and column")
    assert len(placed) >= 180


def test_all_errors_come_at_once_in_the_files_order() -> None:
    text = "name: no\nseed: -1\nmodels: [nope]\nsamplers: [{sampler: ddim, eta: 7}]\nbudgets: {nfe: [0]}\nx: 1\n"
    with pytest.raises(SuiteError) as caught:
        read_suite_text(text)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "name",
        "seed",
        "models[0]",
        "samplers[0].eta",
        "budgets.nfe[0]",
        "x",
    ]
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3, 4, 5, 6]
    assert caught.value.exit_code == 2
