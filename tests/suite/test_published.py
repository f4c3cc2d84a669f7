"""The published suites: every card and suite is read, every figure is about a cell sampled under its conditions."""

import json
from collections import Counter

import pytest

from diffbench import shipped
from diffbench.comparison.expectation import expected
from diffbench.models.find import load_card
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite, read_suite_text, resolved

CARDS = sorted(shipped.reference_models().glob("published/*/card.yaml"))
SUITES = sorted(shipped.suites().glob("published/*.yaml"))


@pytest.fixture(scope="module", autouse=True)
def shipped_cards():
    """The cards that are really there, not those that the other tests of suites make."""


def as_published(row, cell):
    """A score of this cell that is exactly what the row expects."""
    where = {name: getattr(cell, name) for name in ("model", "sampler", "budget_kind", "budget")}
    options = json.dumps(cell.options, sort_keys=True)
    score = {"value": row.value, "ci_low": None, "ci_high": None, "status": "ok", "reason": None, "signature": None}
    return {**where, "options": options, "metric": row.metric, **score}


def test_there_are_all_of_them():
    assert len(CARDS) >= 30 and len(SUITES) >= 18
    used = {choice.read_card().name for path in SUITES for choice in read_suite(path).models}
    assert used == {path.parent.name for path in CARDS}, "no card without a suite"


@pytest.mark.parametrize("path", CARDS, ids=[path.parent.name for path in CARDS])
def test_a_published_card_says_where_its_weights_are(path):
    card = load_card(path)
    assert card.name == path.parent.name and card.checkpoint is not None and card.flops is not None
    assert not card.sha256, "pinned: its files have to be here"
    assert not list(path.parent.rglob("*.safetensors"))


@pytest.mark.parametrize("path", SUITES, ids=[path.stem for path in SUITES])
def test_every_figure_is_of_a_cell_under_its_conditions(path):
    suite = read_suite(path)
    cells = plan(suite)
    assert suite.name == path.stem and not [cell.skip for cell in cells if cell.skip]
    assert not [cell.same_as for cell in cells if cell.same_as and not cell.same_as.startswith(cell.model)]
    for row in suite.expect:
        (cell,) = [c for c in cells if row.selects(c.model, c.sampler, c.options, budget_of(c))]
        (one,) = expected([row], cells, [as_published(row, cell)])
        wanted = "NOT APPLICABLE" if row.reference == "cifar10-test" else "MET"
        assert one.verdict == wanted, one
        assert row.n == 50_000 or row.metric == "images_per_second"
        assert row.grid is not None or cell.budget is None or row.metric == "images_per_second"
        assert row.ema is not None and row.reference is not None
    expecting = {(row.model, row.sampler, row.nfe, row.steps) for row in suite.expect}
    idle = [c.key for c in cells if (c.model, c.sampler, *split(c)) not in expecting]
    assert len(idle) <= len(cells) / 2, idle
    assert read_suite_text(resolved(suite)).expect == suite.expect


def budget_of(cell):
    return None if cell.budget is None else (cell.budget_kind, cell.budget)


def split(cell):
    return tuple(cell.budget if cell.budget_kind == kind else None for kind in ("nfe", "steps"))


def test_the_readme_counts_the_figures_of_every_suite():
    readme = (shipped.suites() / "published" / "README.md").read_text(encoding="utf-8")
    for path in SUITES:
        rows = read_suite(path).expect
        (line,) = [line for line in readme.splitlines() if line.startswith(f"| `{path.stem}` |")]
        assert line.endswith(f"| {len(rows)} | {sum(row.unverified is not None for row in rows)} |"), path.stem


def test_what_conditional_models_are_told_is_said():
    """Uniform labels, as EDM's generate.py and ADM's script draw them; guidance where LDM-4-G has it."""
    told = {}
    for path in SUITES:
        for choice in read_suite(path).models:
            if choice.read_card().labels is not None:
                assert choice.labels == "uniform", (path, choice.id)
                told.setdefault(path.stem, []).append(choice.id)
    assert set(told) == {"edm-cifar10", "edm-imagenet64", "diff-sampler", "ldm-imagenet"}
    cells = plan(read_suite(shipped.suites() / "published" / "ldm-imagenet.yaml"))
    guided = [cell for cell in cells if cell.options.get("guidance")]
    assert {cell.condition.guidance.scale for cell in guided} == {1.0, 1.25, 1.5}
    assert {cell.card.labels.unconditional for cell in guided} == {1000}


def test_figures_of_one_cell_are_not_given_twice():
    for path in SUITES:
        rows = [
            (row.model, row.sampler, str(row.options), row.nfe, row.steps, row.metric, row.source)
            for row in read_suite(path).expect
        ]
        assert not [row for row, count in Counter(rows).items() if count > 1], path


def test_what_the_facts_doubt_stays_marked():
    """Quoted figures, conflicting step counts and digests never fail a run."""
    doubted = {
        "scire": lambda row: True,
        "dpm-solver-v3": lambda row: True,
        "ldm-imagenet": lambda row: True,
        "ldm-celebahq": lambda row: row.source == "LDM Table 1",
        "ldm-ffhq": lambda row: True,
        "edm-cifar10": lambda row: "Table 2" in row.source or "Fig. 2" in row.source,
        "ddpm-cifar10": lambda row: "ddpmx" in row.source or "issue" in row.source or "discussion" in row.source,
    }
    for name, doubt in doubted.items():
        rows = [row for row in read_suite(shipped.suites() / "published" / f"{name}.yaml").expect if doubt(row)]
        assert rows and all(row.unverified for row in rows), name
