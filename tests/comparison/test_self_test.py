"""``compare --self-test``: it passes where errors are right, and fails where they are too small."""

import dataclasses
import json

import numpy as np
import pytest
from tiny_run import run, tiny_suite

from diffbench.comparison import paired as paired_module
from diffbench.comparison.paired import Difference
from diffbench.runner import null_suites, provenance, references
from diffbench.runner.null_suites import Null, _exchanged_means, _fitting
from diffbench.runner.self_test import _rate, self_test
from diffbench.scoring.interval import score_of_mean


@pytest.fixture
def folder(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "code_state", lambda: None)
    monkeypatch.setattr(references, "floor", lambda reference, n, draws: (0.0, 0.0))
    shared = {"samples": {"n": 80, "shard": 40}, "metrics": ["is", "kid"], "run": {"batch_size": 40, "device": "cpu"}}
    run(tiny_suite(checkpoint, **shared), tmp_path / "run")
    return tmp_path / "run"


def test_right_errors_pass_and_halved_ones_fail(diffbench, folder, monkeypatch):
    arguments = ["compare", str(folder), "--self-test", "--suites", "60", "--alpha", "0.05", "--json"]
    code, out, err = diffbench(*arguments)
    rates = json.loads(out)
    assert code == 0, err
    assert [rate["name"] for rate in rates][0] == "all gated" and all(rate["fine"] for rate in rates)
    assert all(0.8 < rate["spread"] < 1.25 for rate in rates), "errors are what the differences spread by"
    assert (folder.parent / "run-selftest-1" / "results.parquet").is_file()

    right = paired_module.paired

    def halved(base, new):
        found = right(base, new)
        return dataclasses.replace(found, se=None if found.se is None else found.se / 2)

    monkeypatch.setattr(null_suites, "paired", halved)
    code, out, err = diffbench(*arguments)
    rates = json.loads(out)
    assert code == 1 and "can't be trusted" in err and not rates[0]["fine"] and rates[0]["spread"] > 1.6


def test_a_small_time_box_leaves_fewer_suites_of_fewer_cells(folder):
    found = self_test(folder, seconds=1e-3, suites=60, quiet=True)
    assert found.cells == 1 < found.planned and 1 <= found.rates[0].suites < 60
    assert _fitting(list(range(10)), took=1.0, seconds=100.0) == [0, 3, 6, 9], "20 suites of 5 cells, the first apart"


def test_an_exchange_moves_every_sample_to_the_other_side():
    values = np.random.default_rng(0).random((2, 50))
    heads = np.random.default_rng(1).random(50) < 0.5
    base, new = _exchanged_means([score_of_mean(one) for one in values])(heads)
    assert base.value == pytest.approx(np.where(heads, *values).mean())
    assert base.value + new.value == pytest.approx(values.mean(axis=1).sum())


def test_differences_that_never_vary_have_no_spread():
    still = Null("precision", Difference(0.0, 0.0, 0.0, 0.0, None, None, 60, None))
    assert _rate("precision", ["precision"], [[still], [still]], 0.05, "holm").spread is None


def test_refusals(diffbench, folder, checkpoint, tmp_path):
    for more, code, said in (
        (["--seed", "0"], 2, "is the seed of"),
        ([str(folder)], 2, "give one folder"),
        (["--by", "sampler"], 2, "give one folder"),
    ):
        found, _, err = diffbench("compare", str(folder), "--self-test", *more)
        assert found == code and said in err
    run(tiny_suite(checkpoint), tmp_path / "few")
    found, _, err = diffbench("compare", str(tmp_path / "few"), "--self-test")
    assert found == 3 and "a test needs 50" in err
