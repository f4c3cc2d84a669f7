"""Measured against expected: the verdicts, the conditions under which there is one, and a whole run."""

import csv
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from diffbench.comparison.expectation import expected, summary, verdict
from diffbench.suite.plan import plan
from diffbench.suite.read import suite_from_objects

finite = st.floats(-1e6, 1e6)


def test_verdicts_by_hand():
    band = (9.5, 10.5)
    assert verdict(band, 10.5, (8.0, 13.0)) == verdict(band, 9.5, None) == "MET"
    assert verdict(band, 11.0, (10.4, 11.6)) == verdict(band, 9.0, (8.4, 9.6)) == "NEAR"
    assert verdict(band, 11.0, (10.6, 11.4)) == verdict(band, 9.0, (8.6, 9.4)) == "MISSED"
    assert verdict(band, 11.0, None) == "MISSED", "without an interval the value decides"
    assert verdict(band, 1.0, (0.0, 100.0)) == "NEAR", "an interval around the whole band"


@given(*[finite] * 3, *[st.floats(0, 1e6)] * 3)
def test_missed_is_what_no_value_of_the_interval_meets(centre, value, other, tolerance, below, above):
    """MISSED: no value that the interval allows lies in the band; a wider tolerance or interval never misses more."""
    order = ("MET", "NEAR", "MISSED")
    band, interval = (centre - tolerance, centre + tolerance), (value - below, value + above)
    word = verdict(band, value, interval)
    inside = [v for v in (value, *interval, *band) if band[0] <= v <= band[1] and interval[0] <= v <= interval[1]]
    assert (word == "MISSED") == (not inside)
    assert (word == "MET") == (verdict(band, value, None) == "MET")
    wider = (band[0] - abs(other), band[1] + abs(other))
    assert order.index(verdict(wider, value, interval)) <= order.index(word)
    assert order.index(verdict(band, value, (interval[0] - 1, interval[1] + 1))) <= order.index(word)


def suite(**row):
    base = {"model": "ddpm-mnist", "sampler": "ddim", "nfe": 5, "n": 100, "metric": "fid", "value": 10.0}
    return suite_from_objects(
        {
            "name": "x", "samples": 100, "models": ["ddpm-mnist"], "budgets": {"nfe": [5]},
            "samplers": [{"id": "ddim", "sampler": "ddim", "grid": "ddim-quadratic"}],
            "timing": {"seconds": 1},
            "expect": [{"tolerance": "5%", "source": "table 1", **base, **row}],
        }
    )  # fmt: skip


def judged(spec, **score):
    signature = {"comparable": {"reference_sha256": "0123456789abcdef"}, "other": {}}
    found = {
        "model": "ddpm-mnist", "sampler": "ddim", "options": "{}", "budget_kind": "nfe", "budget": 5,
        "metric": spec.expect[0].metric, "value": 10.0, "ci_low": 9.0, "ci_high": 11.0, "status": "ok", "reason": None,
        "signature": json.dumps(signature), **score,
    }  # fmt: skip
    (one,) = expected(spec.expect, plan(spec), [found])
    return one


@pytest.mark.parametrize(
    "row, reason",
    [
        ({"n": 50000}, "n is 100, the figure is of 50,000"),
        ({"grid": "trailing"}, "the grid is ddim-quadratic, the figure's trailing"),
        ({"grid": "leading"}, "the grid is ddim-quadratic, the figure's leading"),
        ({"reference": "cifar10-train"}, "scored against the reference mnist, the figure against cifar10-train"),
        ({"reference": "1123456789"}, "scored against the reference mnist, the figure against 1123456789"),
        ({"reference": "0123456"}, "scored against the reference mnist"),  # too short a beginning of a hash
        ({"ema": False}, "the model has an average of the weights (EMA), the figure is of the last weights"),
    ],
)
def test_other_conditions_have_no_verdict(row, reason):
    one = judged(suite(**row))
    assert one.verdict == "NOT APPLICABLE" and one.reason.startswith(reason) and not one.fails


@pytest.mark.parametrize(
    "row", [{}, {"grid": "quadratic"}, {"reference": "mnist"}, {"reference": "01234567"}, {"ema": True}]
)
def test_the_conditions_of_the_figure_have_one(row):
    """``quadratic`` and ``ddim-quadratic`` are the same noise levels under two names."""
    assert judged(suite(**row)).verdict == "MET"


def test_what_was_not_measured_has_none():
    one = judged(suite(), value=None, status="incomplete", ci_low=None, ci_high=None, reason="3 of 4 shards")
    assert (one.verdict, one.reason, one.value) == ("NOT MEASURED", "3 of 4 shards", None)
    spec = suite()
    (one,) = expected(spec.expect, plan(spec), [])
    assert (one.verdict, one.reason) == ("NOT MEASURED", "the cell is not among those of this run")


def test_a_cost_has_no_n_and_an_unverified_figure_never_fails():
    speed = judged(suite(metric="images_per_second", n=5000), value=20.0, ci_low=19.0, ci_high=21.0)
    assert speed.verdict == "MISSED" and speed.fails
    doubtful = judged(suite(unverified="from memory"), value=20.0, ci_low=19.0, ci_high=21.0)
    assert doubtful.verdict == "MISSED" and not doubtful.fails
    assert summary([speed, doubtful]).startswith("2 expectations: 2 MISSED (1 of them unverified figures")


def test_a_run_says_what_was_expected_of_it(diffbench, tmp_path):
    """One figure met, one near, one missed (exit code 1), one of another n: on a model that is known exactly."""
    content = {
        "name": "expecting", "models": ["gaussian-mixture"], "samplers": ["ddim"], "budgets": {"nfe": [4]},
        "samples": {"n": 60, "shard": 60}, "metrics": [{"metric": "solver_error", "reference_steps": 16}],
        "run": {"batch_size": 60, "device": "cpu"}, "timing": {"seconds": 0},
    }  # fmt: skip

    def run(*values, **changes):
        row = {"model": "gaussian-mixture", "sampler": "ddim", "nfe": 4, "n": 60, "metric": "solver_error"}
        rows = [{**row, "value": v, "tolerance": 1e-6, "source": "table 1", **changes} for v in values]
        (tmp_path / "s.yaml").write_text(yaml.safe_dump({**content, **({"expect": rows} if rows else {})}))
        return diffbench("run", "./s.yaml", "--out", "run", "--quiet", "--json")

    code, out, _ = run()
    (score,) = [row for row in json.loads(out) if row["metric"] == "solver_error"]
    value, high = score["value"], score["ci_high"]
    assert code == 0 and "expectations" not in score and not (tmp_path / "run" / "expectations.json").exists()

    code, out, err = run(value, high, 10 * high)
    verdicts = [row["expectations"] for row in json.loads(out) if row["metric"] == "solver_error"][0]
    assert [one["verdict"] for one in verdicts] == ["MET", "NEAR", "MISSED"]
    assert code == 1 and "1 expected score missed, such as solver_error of gaussian-mixture, ddim: " in err
    lines = list(csv.DictReader((tmp_path / "run" / "expectations.csv").read_text().splitlines()))
    assert [line["verdict"] for line in lines] == ["MET", "NEAR", "MISSED"] and float(lines[0]["value"]) == value
    for page in ("report.md", "report.html"):
        text = (tmp_path / "run" / page).read_text()
        assert "Expected and measured" in text and "3 expectations: 1 MET, 1 NEAR, 1 MISSED" in text

    assert run(value, 10 * high, unverified="made up")[0] == 0
    code, out, _ = run(10 * high, n=50_000)
    assert code == 0 and "NOT APPLICABLE" in out and "n is 60, the figure is of 50,000" in out
    code, out, err = diffbench("run", "./s.yaml", "--out", "run", "--quiet")
    assert "1 expectation: 1 NOT APPLICABLE" in out and "Every shard was there already" in out
    assert run()[0] == 0 and not (tmp_path / "run" / "expectations.csv").exists()
    assert "Expected and measured" not in (tmp_path / "run" / "report.md").read_text()
