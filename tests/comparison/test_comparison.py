"""Whole runs of a tiny network against each other."""

import json
import shutil
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from tiny_run import run, tiny_suite

from diffbench.comparison.compare import compare
from diffbench.comparison.equality import psnr
from diffbench.comparison.join import differing
from diffbench.comparison.ranking import rank
from diffbench.comparison.rows import as_rows
from diffbench.comparison.side import RunSide
from diffbench.errors import StoreError, UsageError
from diffbench.report.comparison import as_junit, as_markdown, comparison_table, headline
from diffbench.report.content import content
from diffbench.report.findings import best_per_budget
from diffbench.report.folder import open_run
from diffbench.suite.gates import Margin

N = 60


def suite(checkpoint, **changes):
    base = {
        "samples": {"n": N, "shard": 30},
        "metrics": ["is", "kid", "recall"],
        "run": {"batch_size": 30, "device": "cpu"},
    }
    return tiny_suite(checkpoint, **{**base, **changes})


@pytest.fixture(scope="module")
def folders(checkpoint, tmp_path_factory):
    """The same twice, another clip range, and another number of samples."""
    root = tmp_path_factory.mktemp("compared")
    clipped = {"models": [{"id": "tiny", "source": str(checkpoint), "clip": [-0.5, 0.5]}]}
    for name, changes in (("base", {}), ("again", {}), ("clipped", clipped), ("more", {"samples": N + 2})):
        run(suite(checkpoint, **changes), root / name)
    return root


def sides(folders, *names):
    return [RunSide.open(folders / name) for name in names]


def test_the_same_suite_again_is_the_same_everywhere(folders):
    found = compare(*sides(folders, "base", "again"))
    assert {row.verdict.word for row in found.rows} == {"SAME"} and found.gate == "pass"
    assert all(one.equal and one.largest == 0 and not one.changed for one in found.samples.values())
    assert {row.metric for row in found.rows} == {"nfe", "is", "kid", "recall"}
    assert not comparison_table(found).rows and "all bit-equal" in as_markdown(found)


def test_a_change_is_measured_against_the_pairs_spread(folders):
    found = compare(*sides(folders, "base", "clipped"), gates={"is": Margin(0.0)})
    row = next(row for row in found.rows if row.metric == "is")
    base, new = (next(r for r in side.rows if r["metric"] == "is") for side in sides(folders, "base", "clipped"))
    assert row.difference.value == pytest.approx(new["value"] - base["value"]) and row.gated
    influence = [side.stored(r["cell"])[1][r["signature"]] for side, r in
                 zip(sides(folders, "base", "clipped"), (base, new), strict=True)]  # fmt: skip
    assert row.difference.se == pytest.approx(np.std(influence[1] - influence[0], ddof=1) / N**0.5)
    assert not any(one.equal for one in found.samples.values()), "features differ"
    assert all(one.largest > 0 and one.changed for one in found.samples.values())
    assert [r.gated for r in found.rows] == [r.metric == "is" for r in found.rows]


def test_other_numbers_of_samples_are_refused_with_the_field(folders):
    with pytest.raises(
        UsageError, match=rf"can't be compared: n: {N} in the base, {N + 2} in the new \(tiny · ddim @ "
    ):
        compare(*sides(folders, "base", "more"))


def test_every_comparable_part_of_a_signature_is_compared(folders):
    (side,) = sides(folders, "base")
    row = next(row for row in side.rows if row["metric"] == "kid")
    assert differing(row, row) == []
    for field in ("reference_sha256", "extractor", "resize", "quantiser"):
        said = json.loads(row["signature"])
        said["comparable"][field] = "other"
        (told,) = differing(row, {**row, "signature": json.dumps(said)})
        assert told.startswith(f"{field}: ") and told.endswith("other in the new")
    said = json.loads(row["signature"])
    said["other"]["seed"] = 7
    assert differing(row, {**row, "signature": json.dumps(said)}) == [], "another draw of the same quantity"


def test_more_evaluations_fail_the_gate(folders):
    base, new = sides(folders, "base", "again")
    new = replace(new, rows=[{**row, "nfe": row["nfe"] + (row["sampler"] == "ddim")} for row in new.rows])
    found = compare(base, new)
    assert found.gate == "fail" and [r.verdict.word for r in found.rows if r.metric == "nfe"] == [
        "WORSE",
        "SAME",
        "SAME",
    ]
    assert compare(base, new, gates={"kid": Margin()}).gate == "pass"


def test_what_is_missing_never_passes(folders):
    base, new = sides(folders, "base", "again")
    lost = [{**row, "value": None, "se": None, "ci_low": None, "ci_high": None, "signature": None, "reason": "lost"}
            if row["metric"] == "kid" else row for row in new.rows]  # fmt: skip
    assert compare(base, replace(new, rows=lost)).gate == "inconclusive"
    failed = [{**row, "status": "failed"} if row["value"] is None and row["metric"] == "kid" else row for row in lost]
    assert compare(base, replace(new, rows=failed)).gate == "fail"
    fewer = replace(new, rows=[row for row in new.rows if row["sampler"] == "ddim"])
    for gates in (None, {"nfe": Margin(0.0)}):  # a lost cell, whatever the gates are about
        lost_cells, new_cells = compare(base, fewer, gates), compare(fewer, new, gates)
        assert lost_cells.gate == new_cells.gate == "inconclusive"
        assert len(lost_cells.gaps) == 2 and lost_cells.gaps[0].endswith("only in the base")
        assert len(new_cells.gaps) == 2 and new_cells.gaps[0].endswith("only in the new side")
    other = replace(new, provenance={**new.provenance, "code": "f" * 64})
    found = compare(base, other)
    assert found.gate == "inconclusive" and len(found.other_code) == 3 and "other code" in as_markdown(found)


def test_the_outcome_is_a_regression_then_a_gap_then_what_is_not_told(folders):
    base, new = sides(folders, "base", "again")
    same = compare(base, new)
    row = next(row for row in same.rows if row.metric == "kid")

    def verdict(**changes):
        """The comparison with another verdict in one gated row."""
        other = replace(row, verdict=replace(row.verdict, p_worse=0.5, **changes))
        return replace(same, rows=tuple(other if one is row else one for one in same.rows))

    def outcomes(found):
        return tuple(found.outcome(fail_on) for fail_on in ("worse", "inconclusive", "nothing"))

    assert outcomes(same) == ("pass", "pass", "pass")
    open_, worse = verdict(word="INCONCLUSIVE", gate="inconclusive"), verdict(word="WORSE", gate="fail")
    assert outcomes(open_) == ("pass", "inconclusive", "pass")
    assert outcomes(worse) == ("worse", "worse", "pass")
    for found, told in ((same, "missing"), (open_, "missing"), (worse, "worse")):
        assert outcomes(replace(found, other_code=("a cell",))) == (told, told, "pass")
    assert outcomes(replace(same, rows=())) == ("pass", "inconclusive", "pass"), "nothing gated"


def test_a_folder_that_is_no_run_is_told_apart_from_a_regression(folders, tmp_path):
    with pytest.raises(StoreError, match="not a run folder"):
        RunSide.open(tmp_path)
    with pytest.raises(UsageError, match="no cell in common"):
        base, new = sides(folders, "base", "again")
        compare(base, replace(new, rows=[{**row, "model": "other"} for row in new.rows]))


def test_costs_tell_only_where_intervals_lie_apart_on_one_device(folders):
    base, new = sides(folders, "base", "again")

    def timed(side, seconds):
        ends = {"ci_low": 0.98 * seconds, "ci_high": 1.02 * seconds, "reason": None}
        own = {"value": seconds, "n": round(1000 * seconds), "status": "ok", **ends}  # n: what was timed
        return replace(
            side, rows=[{**row, **own} if row["metric"] == "seconds_per_image" else row for row in side.rows]
        )

    def word(seconds, device=base.provenance["device"]):
        other = replace(timed(new, seconds), provenance={**new.provenance, "device": device})
        found = compare(timed(base, 1.0), other, gates={"seconds_per_image": Margin(0.05)})
        return {row.verdict.word for row in found.rows if row.gated}, found.gate

    assert word(1.0) == ({"SAME"}, "pass") and word(1.2) == ({"WORSE"}, "fail") and word(0.8) == ({"BETTER"}, "pass")
    lacking = compare(timed(base, 1.0), new, gates={"seconds_per_image": Margin(0.05)})
    assert lacking.gate == "inconclusive" and "seconds_per_image" in lacking.gaps[0], "not timed is not fast"
    assert word(1.05) == ({"INCONCLUSIVE"}, "inconclusive")
    assert word(1.2, {"type": "cuda", "name": "another"}) == ({"INCONCLUSIVE"}, "inconclusive")


def test_outputs(folders):
    base, new = sides(folders, "base", "again")
    new = replace(new, rows=[{**row, "nfe": row["nfe"] + 1} for row in new.rows])
    found = compare(base, new)
    text = as_markdown(found)
    assert (
        text.startswith("### diffbench: ❌ regression") and "| tiny · ddim @ nfe 2 | NFE | 2.000 | 3.000 | +1 |" in text
    )
    assert headline(found) == "3 worse, 0 better, 6 the same, 0 inconclusive of 9 gated"
    suite_element = ElementTree.fromstring(as_junit(found))
    assert suite_element.attrib["tests"] == "9" and suite_element.attrib["failures"] == "3"
    assert len(suite_element.findall("testcase/failure")) == 3
    rows = json.loads(json.dumps(as_rows(found), allow_nan=False))
    assert {row["verdict"] for row in rows} == {"WORSE", "SAME"} and rows[0]["samples"] == "bit-equal"


def test_the_reports_best_is_told_by_pairs_where_they_are_stored(folders, tmp_path):
    for name, more in (("base", "cells"), ("alone", "")):
        if not more:
            shutil.copytree(folders / "base", tmp_path / name, ignore=shutil.ignore_patterns("cells"))
        folder = folders / name if more else tmp_path / name
        found = open_run(folder)
        told = best_per_budget(found.cells, "kid", found.worse)
        assert told and all(best.paired is bool(more) for best in told)
        assert ("paired test" in content(found, []).rule) is bool(more)
        side = RunSide.open(folder)
        (ranking,) = rank(side, "kid", "sampler")
        names = [rival.name for rival in ranking.rivals if rival.among_best]
        if more:
            assert [best.cell.sampler for best in told] == names[:1]
            assert [cell.sampler for cell in told[0].ties] == names[1:]


def test_psnr():
    black, grey = np.zeros((2, 1, 2, 2), np.uint8), np.zeros((2, 1, 2, 2), np.uint8)
    grey[1] = 255
    assert psnr(black, grey) == [float("inf"), 0.0]
    grey[1] = 1
    assert psnr(black, grey)[1] == pytest.approx(48.1308, abs=1e-4)
