from __future__ import annotations

from functools import cache

import pytest

from diffbench.errors import UsageError
from diffbench.suite.plan import Cell, plan
from diffbench.suite.read import suite_from_objects
from diffbench.suite.select import select

SUITE = {
    "name": "x",
    "models": ["ddpm-mnist", "score-vp-mnist"],
    "samplers": ["ddim", "heun", {"id": "noisy", "sampler": "ddim", "sweep": {"eta": [0.2, 1.0]}}, "euler-maruyama"],
    "budgets": {"nfe": [5, 10, 20], "steps": [7]},
}


@cache
def cells() -> list[Cell]:
    return plan(suite_from_objects(SUITE))


def keys(rule: str) -> list[str]:
    return [cell.key for cell in select(cells(), rule)]


def count(rule: str) -> int:
    return len(keys(rule))


def test_no_rule_takes_all() -> None:
    assert select(cells(), None) == cells()
    assert len(cells()) == 2 * 5 * 4


@pytest.mark.parametrize(
    "rule, expected",
    [
        ("model=ddpm-mnist", 20),
        ("model=DDPM-MNIST", 20),
        ("model!=ddpm-mnist", 20),
        ("model=ddpm-mnist|score-vp-mnist", 40),
        ("sampler=ddim", 8),
        ("sampler!=ddim|heun", 24),
        ("method=ddim", 24),
        ("family=score-sde", 20),
        ("eta=1", 8),
        ("eta=0.2|1.0", 16),
        ("eta!=1", 32),
        ("eta>=0.2", 16),
        ("eta<0.2", 8),
        ("sampler=heun,steps=7", 2),
        (" model = ddpm-mnist , sampler = ddim ", 4),
        ("dtype=float32", 40),
        ("grid=trailing", 40),
    ],
)
def test_terms_select(rule: str, expected: int) -> None:
    assert count(rule) == expected


def test_the_designs_example() -> None:
    assert keys("model=ddpm-mnist,sampler=ddim,nfe<=20") == [
        "ddpm-mnist/ddim/nfe=5",
        "ddpm-mnist/ddim/nfe=10",
        "ddpm-mnist/ddim/nfe=20",
        "ddpm-mnist/ddim/steps=7",
    ]


def test_a_budget_goes_by_its_number_in_the_suite() -> None:
    assert keys("model=ddpm-mnist,sampler=heun,nfe=10") == ["ddpm-mnist/heun/nfe=10"]
    assert keys("model=ddpm-mnist,sampler=heun,nfe=13") == ["ddpm-mnist/heun/steps=7"]
    assert keys("model=ddpm-mnist,sampler=heun,steps<=5") == ["ddpm-mnist/heun/nfe=5", "ddpm-mnist/heun/nfe=10"]
    assert keys("model=ddpm-mnist,sampler=heun,nfe>10,nfe<20") == ["ddpm-mnist/heun/steps=7"]


def test_skipped_cells_are_selected_by_their_budget() -> None:
    assert keys("model=ddpm-mnist,sampler=euler-maruyama,nfe>10") == ["ddpm-mnist/euler-maruyama/nfe=20"]


@pytest.mark.parametrize(
    "rule, message",
    [
        (
            "model=ddpm-minst",
            'no cell has model "ddpm-minst"; did you mean "ddpm-mnist"? model is ddpm-mnist, score-vp-mnist',
        ),
        ("model!=ddpm-minst", "no cell has model"),
        ("model=ddpm-mnist|nope", 'no cell has model "nope"'),
        ("modle=ddpm-mnist", 'unknown field "modle"; did you mean "model"? Known: model, '),
        ("nfe=11", 'no cell has nfe "11"; nfe is 5, 7, 10, 13, 20'),
        ("nfe<5", "matches no cell; nfe is 5"),
        ("nfe<=many", "<= takes one number"),
        ("nfe<5|6", "< takes one number"),
        ("sampler<5", "matches no cell; sampler is ddim"),
        ("eta=0.3", 'no cell has eta "0.3"; eta is 0.0, 0.2, 1.0'),
        ("", "expected FIELD=VALUE"),
        ("model", "expected FIELD=VALUE"),
        ("model=", "expected FIELD=VALUE"),
        ("model=ddpm-mnist,", "expected FIELD=VALUE"),
        ("=ddim", "expected FIELD=VALUE"),
        ("model=a|", "expected FIELD=VALUE"),
        ("model=ddpm-mnist,family=score-sde", "no cell matches all of them"),
        ("nfe<=nan", "matches no cell"),
    ],
)
def test_rules_that_make_no_sense(rule: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        keys(rule)
    assert message in str(caught.value)
    assert str(caught.value).startswith("--only ")
    assert "\n" not in str(caught.value)
