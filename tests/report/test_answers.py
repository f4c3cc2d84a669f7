"""What a run answers beside the best of each budget, held to what one works out from its table."""

import json
import math
import re

import pytest

from diffbench.report.answers import (
    curves,
    front_axis,
    front_sentence,
    front_table,
    iso_sentence,
    iso_table,
    levels,
    standings,
    untimed,
)
from diffbench.report.content import content
from diffbench.report.folder import open_run
from diffbench.report.page import _pictures
from diffbench.report.page_data import page_data, script_text
from diffbench.report.pareto import front, pareto_figure
from diffbench.report.themes import style


@pytest.fixture(scope="module")
def run(made_run):
    return open_run(made_run)


def test_a_cost_is_where_the_measured_scores_lie_on_both_sides(run):
    found = curves(run, "fid")
    assert {(c.model, c.line) for c in found} == {(v.model, v.line) for v in run.cells if v.value("fid") is not None}
    crossed = 0
    for curve in found:
        for need in curve.needed:
            if need.nfe.value is None:
                continue
            before = max((p for p in curve.points if p.nfe <= need.nfe.value), key=lambda p: p.nfe)
            after = min((p for p in curve.points if p.nfe >= need.nfe.value), key=lambda p: p.nfe)
            assert before.score.value >= need.target >= after.score.value
            assert before.seconds <= need.seconds.value <= after.seconds
            crossed += 1
    assert crossed > 20


def test_the_table_begins_with_the_cheapest_in_bold(run):
    table = iso_table(curves(run, "fid"), "fid")
    ends = [*table.groups[1:], len(table.rows)]
    for start, stop in zip(table.groups, ends, strict=True):
        group = table.rows[start:stop]
        assert len({(row[0].text, row[1].text) for row in group}) == 1 and len(group) == 4
        assert group[0][2].strong and not group[-1][2].strong
        costs = [row[3].text for row in group]
        first = [c.startswith("≤") for c in costs].count(True)
        assert all(c.startswith("≤") for c in costs[:first])
        known = [float(c.split()[0]) for c in costs if c[0] not in "≤>"]
        assert known == sorted(known)
        for row in group:
            assert (row[3].text[0] in "≤>") == bool(row[5].text)


def test_a_cost_of_seconds_follows_that_of_evaluations(run):
    sentence = iso_sentence(curves(run, "fid"), "ddpm-mnist", "fid")
    assert sentence.startswith("evaluations to reach FID 25: dpmpp-2m about 8 [") and "not reached by euler" in sentence
    _, low, high, *_ = re.split(r"\[(\w+|\?), (\w+|\?)\]", sentence, maxsplit=1)
    assert (low == "?" or int(low) <= 8) and (high == "?" or int(high) >= 8) and "." not in sentence
    assert iso_sentence([], "ddpm-mnist", "fid") is None and iso_table([], "fid") is None


def test_the_front_is_that_of_the_figure(run):
    stands = standings(run.cells, "fid", "seconds")
    best = [cell for cell in run.cells if stands.get(id(cell)) == "front"]
    measured = [cell for cell in run.cells if cell.value("fid") is not None]
    assert {id(cell) for cell in best} == {id(cell) for cell in front(measured, "fid")} and len(best) > 5
    table = front_table(run, "fid")
    assert [row[1].text for row in table.rows if row[0].text == "front"] == [
        cell.model for cell in sorted(best, key=lambda cell: cell.value("seconds_per_image"))
    ]
    mine = [cell for cell in run.cells if cell.model == "ddpm-mnist"]
    assert "cheapest first: ddim @ NFE 5, dpmpp-2m @ NFE 5" in front_sentence(mine, "fid", "seconds")
    assert front_sentence([], "fid", "nfe") is None


def test_untimed_runs_have_a_front_against_evaluations(new_run, tmp_path):
    def untimed(rows):
        return [row for row in rows if row.unit is None and row.sampler in ("ddim", "heun")]

    run = open_run(new_run(tmp_path / "run", untimed, models=("ddpm-mnist",), images=False))
    assert front_axis(run.cells, "fid") == "nfe"
    assert "against NFE, cheapest first" in front_sentence(run.cells, "fid", "nfe")
    assert all(row[4].text == "–" for row in front_table(run, "fid").rows)


def test_a_front_of_a_run_that_is_timed_in_part_is_against_evaluations(new_run, tmp_path):
    def one_timed(rows):
        kept = (rows[0].model, rows[0].sampler, rows[0].budget) == ("ddpm-mnist", "ddim", 5)
        return rows if kept else [row for row in rows if row.unit is None]

    path = new_run(tmp_path / "run", one_timed, models=("ddpm-mnist", "vp-mnist"), images=False)
    run = open_run(path)
    scored = [cell for cell in run.cells if cell.value("fid") is not None]
    assert len(untimed(run.cells, "fid")) == len(scored) - 1 == 30
    told = content(run, [])
    assert all("against NFE, cheapest first" in " ".join(said) for _, said in told.answers)
    assert {row[1].text for row in told.front.rows} == {"ddpm-mnist", "vp-mnist"}
    assert page_data(run, [])["front"] == "nfe"
    with style():
        axes = pareto_figure(run, "fid").axes[0]
    assert axes.get_xlabel() == "seconds per image (30 untimed cells left out)"
    (caption,) = (one.caption for one in _pictures(run, {"pareto.png"}))
    assert caption.endswith("30 scored cells without a time are left out.")


def test_levels_are_even_in_the_logarithm(run):
    found = levels(curves(run, "fid"), "ddpm-mnist", 9)
    steps = [math.log(b / a) for a, b in zip(found, found[1:], strict=False)]
    assert steps == pytest.approx([steps[0]] * 8)
    assert levels([], "ddpm-mnist") == []


def test_the_pages_data_is_the_tables(run):
    data = page_data(run, curves(run, "fid"))
    assert len(data["cells"]) == len(run.cells) == 48
    for cell, view in zip(data["cells"], run.cells, strict=True):
        assert data["models"][cell["model"]] == view.model and cell["budget"] == view.budget_label
        assert cell["scores"].get("fid", [None])[0] == view.value("fid")
        assert (cell["sheet"] is None) == (view.value("fid") is None) == (cell["trajectory"] is None)
    sheet = next(iter(data["sheets"].values()))
    assert (sheet["rows"], sheet["columns"], sheet["width"], sheet["height"]) == (1, 16, 28, 28)
    assert data["quality"] == {"samples": "without loss", "trajectories": "without loss"}
    assert data["metrics"][0] == {"key": "fid", "title": "FID", "lower": True}
    assert json.loads(script_text(data)) == json.loads(json.dumps(data))


def test_no_markup_is_left_in_the_scripts_data():
    hostile = {"</script><!--": "<script>&amp;\u2028\u2029]]>'\""}
    text = script_text(hostile)
    assert not set("<>&\u2028\u2029") & set(text) and json.loads(text) == hostile
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_text(math.nan)
