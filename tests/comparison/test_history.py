"""Steps of scores over runs: which are real, and where no line may be drawn."""

import numpy as np
import pytest
from made_runs import made_run, noise
from scipy import stats

import diffbench
from diffbench.comparison.history import history
from diffbench.comparison.history_rows import COLUMNS, as_rows, frame_of
from diffbench.comparison.runs import open_runs
from diffbench.errors import UsageError

A, B = ("m", "ddim"), ("m", "heun")


def collected(*folders, **options):
    return history(open_runs(folders), **options)


def test_a_step_is_the_paired_test_and_the_regression_is_found_where_it_was_made(tmp_path):
    shared, runs = noise(0), []
    for place, shift in enumerate((0.0, 0.0, 0.3, 0.3)):
        scores = {A: shared + 0.2 * noise(10 + place) + shift, B: shared + 0.2 * noise(20 + place)}
        runs.append((made_run(tmp_path / f"r{place}", scores), scores))
    found = collected(*(folder for folder, _ in runs))
    first, second = found.series
    assert [step.found for step in first.steps] == ["not told", "worse", "not told"]
    assert [step.found for step in second.steps] == ["not told"] * 3
    assert first.largest is first.steps[1] and first.change.found == "worse" and found.tested == 8
    whole = stats.ttest_rel(runs[2][1][A], runs[1][1][A]).pvalue
    assert first.steps[1].p == pytest.approx(whole) and 7 * whole <= first.steps[1].adjusted * 1.001 <= 8.1 * whole
    for turned, word in (("higher", "better"), ("lower", "worse")):
        for folder, scores in runs:
            made_run(folder, scores, better=turned)
        assert collected(*(folder for folder, _ in runs)).series[0].steps[1].found == word


def test_values_of_different_things_are_split_and_the_field_is_named(tmp_path):
    values = noise(0, 120)
    one = made_run(tmp_path / "one", {A: values[:100]})
    two = made_run(tmp_path / "two", {A: values})
    three = made_run(tmp_path / "three", {A: values}, reference="other")
    four = made_run(tmp_path / "four", {A: values + 1}, reference="other")
    (series,) = collected(one, two, three, four).series
    assert [point.part for point in series.points] == [0, 1, 2, 2]
    assert [point.differs for point in series.points[1:3]] == [("n: 100, then 120",), ("reference: real, then other",)]
    assert [(step.first, step.last) for step in series.steps] == [(2, 3)] and series.change is series.steps[0]


def test_gaps_keep_their_reason_and_the_step_goes_over_them(tmp_path):
    folders = [
        made_run(tmp_path / "a", {A: noise(0), B: noise(1)}),
        made_run(tmp_path / "b", {A: "out of memory"}),
        made_run(tmp_path / "c", {A: noise(3) + 1, B: noise(1)}),
    ]
    first, second = collected(*folders).series
    assert [point.reason for point in first.points] == [None, "out of memory", None]
    assert second.points[1].reason == "not in this run"
    assert [(s.first, s.last, s.found) for s in first.steps] == [(0, 2, "worse")]
    assert [(s.first, s.last, s.found) for s in second.steps] == [(0, 2, "same")], "equal features need no test"
    frame = frame_of(as_rows(collected(*folders)), COLUMNS)
    assert (
        len(frame) == 6
        and frame["value"].isna().sum() == 2
        and frame.loc[frame["value"].isna(), "reason"].notna().all()
    )


def test_order_names_and_what_is_refused(tmp_path):
    late = made_run(tmp_path / "x" / "run", {A: noise(0)}, "2026-02-01T00:00:00+00:00")
    early = made_run(tmp_path / "y" / "run", {A: noise(1)}, "2026-01-01T00:00:00+00:00")
    untimed = made_run(tmp_path / "untimed", {A: noise(1)})
    assert [run.label for run in open_runs([late, early])] == ["x/run", "y/run"]
    assert [run.label for run in open_runs([late, early], "time")] == ["y/run", "x/run"]
    assert open_runs([late])[0].commit == "012345678+"
    for folders, options, said in (
        ([late, late], {}, "twice"),
        ([late, untimed], {"sort": "time"}, "untimed does not record"),
        ([late], {"metrics": ["kid"]}, "no run has the metric 'kid'"),
        ([late], {"only": "sampler=huen"}, "no cell has sampler"),
    ):
        with pytest.raises(UsageError, match=said):
            diffbench.history(folders, **options)
    assert len(diffbench.history([late, early], only="sampler=ddim,nfe<=10").frame) == 2


def test_histories_without_a_change_alarm_as_seldom_as_they_say(tmp_path):
    rng, alpha, count, alarms = np.random.default_rng(3), 0.05, 60, 0
    for _ in range(count):
        shared = rng.normal(size=60)
        folders = [
            made_run(tmp_path / f"r{place}", {("m", f"s{cell}"): shared + rng.normal(size=60) for cell in range(4)})
            for place in range(3)
        ]
        steps = [step for series in collected(*folders, alpha=alpha).series for step in (*series.steps, series.change)]
        alarms += any(step.real for step in steps)
    assert alarms / count <= alpha + 3 * (alpha * (1 - alpha) / count) ** 0.5
