import shutil
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest
from made_runs import made_run

from diffbench.report.content import _rule, content
from diffbench.report.findings import Best, agreements, best_cell, best_per_budget, overlap
from diffbench.report.folder import RunFolder, open_run
from diffbench.report.frame import CellView
from diffbench.report.html import render_markdown
from diffbench.report.measured import Measured
from diffbench.report.notebook import as_html
from diffbench.report.pareto import front
from diffbench.report.tables import best_table, results_table
from diffbench.store.sealed import write_sealed


def cell(sampler, budget, fid, half=1.0, seconds=1.0, model="m", status="ok", better="lower"):
    low, high = (None, None) if half is None or fid is None else (fid - half, fid + half)
    scores = {
        "fid": Measured(fid, low, high, None, better, status, None if fid is not None else "why"),
        "seconds_per_image": Measured(seconds, None, None, "s", "lower", "ok", None),
    }
    return CellView(
        id=f"{crc32(f'{sampler} {budget} {model}'.encode()):016x}", model=model, family="ddpm", sampler=sampler,
        options="{}", grid="trailing", budget_kind="nfe", budget=budget, steps=budget, nfe=float(budget or 0), n=160,
        reference="r", extractor="e", status=status, scores=scores, signatures={},
    )  # fmt: skip


def test_best_and_those_not_told_apart():
    cells = [
        cell("ddim", 5, 10.0),
        cell("heun", 5, 8.0),
        cell("dpmpp-2m", 5, 10.1),
        cell("x", 5, None, status="failed"),
    ]
    (found,) = best_per_budget(cells, "fid")
    assert (found.cell.sampler, [c.sampler for c in found.ties], found.compared) == ("heun", ["ddim"], 3)
    assert overlap(cells[0], cells[1], "fid") and not overlap(cells[1], cells[2], "fid")  # touching intervals overlap


def test_without_an_interval_a_cell_is_not_tested_and_no_tie():
    cells = [cell("ddim", 5, 100.0, half=None), cell("heun", 5, 8.0), cell("dpmpp-2m", 5, 8.1)]
    (found,) = best_per_budget(cells, "fid")
    assert [c.sampler for c in found.ties] == ["dpmpp-2m"] and [c.sampler for c in found.untested] == ["ddim"]
    (row,) = best_table([found], "fid").rows
    assert row[5].text == "dpmpp-2m 8.1; not tested: ddim 100.0"
    first, other = cell("ddim", 5, 1.0, half=None), cell("heun", 5, 8.0)
    (found,) = best_per_budget([first, other], "fid")
    assert found.ties == () and found.untested == (other,)


def test_what_was_never_tested_against_the_best_does_not_tie_with_it():
    cells = [cell("first", 5, 1.0), cell("second", 5, 2.0), cell("third", 5, 3.0)]
    (found,) = best_per_budget(cells, "fid", lambda views, metric: [None, False, True])
    assert found.ties == () and [c.sampler for c in found.untested] == ["second"]


def test_a_cell_without_values_per_sample_is_not_tested(tmp_path):
    base, shift = 10 + np.random.default_rng(0).normal(size=400), 0.05 * np.random.default_rng(1).normal(size=400)
    values = {("m", "best"): base, ("m", "tie"): base + shift - shift.mean(), ("m", "untold"): base + 0.01}
    run = open_run(made_run(tmp_path / "run", values))
    (lost,) = (view for view in run.cells if view.sampler == "untold")
    shutil.rmtree(run.path / "cells" / lost.id)
    (found,) = best_per_budget(run.cells, "fid", run.worse)
    assert found.paired and found.cell.sampler in ("best", "tie") and [c.sampler for c in found.untested] == ["untold"]
    assert len(found.ties) == 1 and found.ties[0].sampler in ("best", "tie")
    said = content(run, [])
    assert said.best is not None and "; not tested: untold" in said.best.rows[0][5].text
    assert not any(entry.strong for row in said.results.rows for entry in row if row[1].text == "untold")


def test_higher_is_better_where_the_rows_say_so():
    cells = [cell("ddim", 5, 10.0, better="higher"), cell("heun", 5, 8.0, better="higher", seconds=2.0)]
    assert best_cell(cells, "fid").sampler == "ddim"
    assert [c.sampler for c in front(cells, "fid")] == ["ddim"]


def test_budgets_ascend_within_a_model_and_models_keep_their_order():
    cells = [cell("a", b, 1.0, model=m) for m in ("z", "y") for b in (50, 5, 10)]
    assert [(b.model, b.budget) for b in best_per_budget(cells, "fid")] == [
        (m, f"NFE {b}") for m in ("z", "y") for b in (5, 10, 50)
    ]


def test_front_against_brute_force():
    cells = [cell(f"s{i}", 5, 30.0 / (i + 1) + (i * 7) % 5, seconds=float(i // 2 + 1)) for i in range(11)]
    points = {c.sampler: (c.value("seconds_per_image"), c.value("fid")) for c in cells}
    wanted = [
        s for s, (x, y) in points.items()
        if not any((a < x and b <= y) or (a <= x and b < y) for a, b in points.values())
    ]  # fmt: skip
    got = [c.sampler for c in front(cells, "fid")]
    assert sorted(got) == sorted(wanted)
    assert got == sorted(got, key=lambda s: points[s])
    assert 1 < len(got) < len(cells)


def test_equal_points_share_the_front():
    assert len(front([cell("a", 5, 2.0), cell("b", 5, 2.0), cell("c", 5, 3.0)], "fid")) == 2


def folder(tmp_path, cells):
    return RunFolder(path=tmp_path, cells=cells)


def test_agreement(tmp_path):
    cells = [cell("ddim", 20, 14.0), cell("ddim", 50, 11.0), cell("heun", 50, 10.0), cell("euler-maruyama", 50, 40.0)]
    (one,) = agreements(folder(tmp_path, cells), "fid")
    assert one.agree is True and "NFE 50" in one.sentences[0] and "euler" not in " ".join(one.sentences)


def test_disagreement_names_the_sampler_that_still_moves(tmp_path):
    cells = [cell("ddim", 20, 20.0), cell("ddim", 50, 14.0), cell("heun", 20, 10.2), cell("heun", 50, 10.0)]
    (one,) = agreements(folder(tmp_path, cells), "fid")
    said = " ".join(one.sentences)
    assert one.agree is False
    assert "Apart: ddim from heun." in said
    assert "ddim (order 1) still moves: it was 20.0 ± 1.0 at NFE 20." in said
    assert "heun (order 2) has settled: it was 10.2 ± 1.0 at NFE 20." in said
    assert "ddim moved most, by 6.0, the others less (heun 0.20)" in said and "discretisation error" in said


def test_disagreement_of_settled_samplers_is_not_put_down_to_discretisation(tmp_path):
    cells = [cell("ddim", 20, 14.1), cell("ddim", 50, 14.0), cell("heun", 20, 10.2), cell("heun", 50, 10.0)]
    (one,) = agreements(folder(tmp_path, cells), "fid")
    assert one.agree is False and "does not explain" in one.sentences[-1]


@pytest.mark.parametrize(
    ("cells", "word"),
    [
        ([cell("ddim", 50, 9.0), cell("heun", 50, None, status="failed")], "heun failed there"),
        ([cell("ddim", 50, 9.0), cell("heun", 50, 9.0, half=None)], "not all scores have an interval"),
        ([cell("ddim", 50, 9.0), cell("heun", 50, 19.0)], None),
    ],
)
def test_agreement_that_can_not_be_said(tmp_path, cells, word):
    (one,) = agreements(folder(tmp_path, cells), "fid")
    said = " ".join(one.sentences)
    if word is None:
        assert one.agree is False and "single budget" in said
    else:
        assert one.agree is None and word in said


def test_nothing_is_said_of_a_model_without_a_scored_deterministic_sampler(tmp_path):
    cells = [cell("euler-maruyama", 50, 9.0), cell("of-a-plug-in", 50, 9.0), cell("ddim", 50, None, model="unscored")]
    assert agreements(folder(tmp_path, cells), "fid") == []


def test_aliases_count_once_and_swept_noise_counts_as_stochastic(tmp_path):
    ddim = cell("ddim", 50, 9.0)
    alias = replace(ddim, sampler="alias")
    noisy = replace(cell("noisy", 50, 30.0), id="00000000000000aa")
    place = tmp_path / "cells" / noisy.id
    place.mkdir(parents=True)
    write_sealed(place / "cell.json", {"method": "ddim", "method_options": {"eta": 1.0}})
    (one,) = agreements(folder(tmp_path, [ddim, alias, noisy]), "fid")
    assert one.agree is None and "Only one deterministic sampler" in one.sentences[0]


def test_a_cell_alone_at_its_budget_and_given_images_are_not_the_best():
    alone = [cell("ddim", 5, 10.0), cell("ddim", 10, 8.0)]
    assert not any(entry.strong for row in results_table(alone).rows for entry in row)
    assert not any(entry.strong for row in best_table(best_per_budget(alone, "fid"), "fid").rows for entry in row)
    assert any(entry.strong for row in results_table([*alone, cell("heun", 5, 12.0)]).rows for entry in row)
    given = [replace(cell("external", None, fid), family="external", options=f'{{"label":{fid}}}') for fid in (1, 2)]
    assert best_per_budget(given, "fid") == []


def test_scores_not_told_apart_have_the_same_decimals():
    cells = [cell("heun", 5, 4.79), cell("ddim", 5, 4.94, half=0.9), cell("dpmpp-2m", 5, 4.8, half=1.2)]
    (row,) = best_table(best_per_budget(cells, "fid"), "fid").rows
    assert (row[3].text, row[5].text) == ("4.79 ± 1.00", "dpmpp-2m 4.80, ddim 4.94")


def test_given_images_without_an_interval_have_a_page_that_says_why(tmp_path):
    few = cell("external", None, 12.3, half=None, seconds=None)
    scores = {**few.scores, "fid": replace(few["fid"], reason="rank-deficient: n <= d"), "is": few["fid"]}
    scores["is"] = replace(few["fid"], value=1.000000004, low=1.000000001, high=1.000000007, better="higher")
    view = replace(few, family="external", steps=None, nfe=None, budget_kind=None, scores=scores)
    run = RunFolder(path=tmp_path, cells=[view])
    page = content(run, [])
    assert page.heading == "Scores of the given images" and page.best is None and not page.marked
    assert page.answers == (("m", ("FID 12.30; IS 1.000 ± 3.0e-09",)),)
    assert "FID has no ±: rank-deficient: n <= d." in page.notes and "FID has no ±: rank-deficient: n <= d." in (
        page.table_notes
    )
    assert "FID has no ±: rank-deficient: n &lt;= d" in as_html(run)
    text = render_markdown(page)
    assert "No scores" not in text and "est sampler" not in text and "In bold" not in text


def test_the_rule_names_the_runs_without_values_of_single_samples():
    near = [replace(cell(name, 5, 4.8), source=source) for name, source in (("ddim", "a"), ("heun", "b"))]
    best = [Best("m", "NFE 5", one, (), (), 2, one.source == "a") for one in near]
    assert "no values of single samples (b), its 95%" in _rule(best)
    assert "(b)" not in _rule(best[1:]) and "interval" not in _rule(best[:1])
