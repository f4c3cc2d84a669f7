import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbench.report.answers import curves
from diffbench.report.folder import open_run
from diffbench.report.iso_figure import iso_quality
from diffbench.report.iso_quality import Point, band, needed, standing, targets
from diffbench.report.measured import Measured
from diffbench.report.themes import style


def score(value, low=None, high=None):
    return Measured(value, low, high, None, "lower", "ok", None)


def curve(values, nfe=(5, 10, 20, 50), half=None, seconds=0.01):
    return [
        Point(n, None if seconds is None else seconds * n, score(v, *(() if half is None else (v - half, v + half))))
        for n, v in zip(nfe, values, strict=True)
    ]


def test_a_power_law_is_inverted_exactly():
    """FID = 900 / NFE^1.7 at any target within the budgets: the interpolation is exact there."""
    points = curve([900 / n**1.7 for n in (5, 10, 20, 50)])
    for target in (50.0, 12.0, 2.0, 1.2):
        found = needed(points, target)
        assert found.nfe.value == pytest.approx((900 / target) ** (1 / 1.7), rel=1e-12)
        assert found.seconds.value == pytest.approx(0.01 * found.nfe.value, rel=1e-12)
        assert found.nfe.low is None and found.nfe.high is None and found.nfe.reason is None


def test_against_numpy_interp_of_logs():
    values = [40.0, 17.0, 9.0, 6.5]
    for target in (30.0, 17.0, 10.0, 7.0):
        wanted = np.exp(np.interp(-math.log(target), -np.log(values), np.log([5, 10, 20, 50])))
        assert needed(curve(values), target).nfe.value == pytest.approx(wanted, rel=1e-12)


def test_by_hand():
    """From 8 at 4 to 2 at 64: 4 is half of the way in log score, so sqrt(4 * 64) = 16 evaluations."""
    points = [Point(4, 0.1, score(8.0, 4.0, 16.0)), Point(64, 0.4, score(2.0, 1.0, 4.0))]
    found = needed(points, 4.0)
    assert found.nfe.value == pytest.approx(16) and found.seconds.value == pytest.approx(0.2)
    assert found.nfe.low is None  # 4 at 4 evaluations: that curve is there at its first point
    assert found.nfe.high == pytest.approx(64) and found.seconds.high == pytest.approx(0.4)


def test_the_better_ends_arrive_earlier_and_the_worse_ones_later():
    points = curve([40.0, 17.0, 9.0, 6.5], half=1.5)
    found = needed(points, 10.0).nfe
    low = needed([Point(p.nfe, p.seconds, score(p.score.value - 1.5)) for p in points], 10.0).nfe.value
    high = needed([Point(p.nfe, p.seconds, score(p.score.value + 1.5)) for p in points], 10.0).nfe.value
    assert (found.low, found.high) == (low, high) and low < found.value < high
    assert needed(points, 7.0).nfe.high is None  # the worse ends stop at 8
    assert needed(points, 7.0).nfe.value is not None


def test_beyond_the_range_there_is_no_value_but_a_reason():
    points = curve([40.0, 17.0, 9.0, 6.5], half=1.0)
    late, early = needed(points, 5.0), needed(points, 50.0)
    assert late.nfe.value is None and late.nfe.reason == "not reached by 50 evaluations; the best there is 6.50"
    assert early.nfe.value is None and early.seconds.value is None
    assert early.nfe.reason == "reached at the smallest measured cost already, 5 evaluations"
    assert (late.nfe.at_least, late.nfe.at_most) == (50, None) and late.seconds.at_least == pytest.approx(0.5)
    assert (early.nfe.at_least, early.nfe.at_most) == (None, 5) and early.seconds.at_most == pytest.approx(0.05)
    assert needed(points, 6.0).nfe.low is not None  # the better ends do get there, at 5.5
    assert needed([], 5.0).nfe.reason == needed([Point(5, None, score(None))], 5.0).nfe.reason == "no cell was scored"
    untimed = needed(curve([40.0, 17.0, 9.0, 6.5], seconds=None), 10.0)
    assert untimed.nfe.value is not None
    assert untimed.seconds.value is None and untimed.seconds.reason == "not timed at the budgets around it"
    with pytest.raises(ValueError, match="finite"):
        needed(points, math.nan)


def test_a_band_is_cut_off_at_the_measured_costs():
    points = curve([40.0, 17.0, 9.0, 6.5], half=1.5)
    both, late = needed(points, 10.0), needed(points, 7.0)
    assert band(points, both) == (both.nfe.low, both.nfe.high)
    assert band(points, late) == (late.nfe.low, 50) and band(points, late, seconds=True)[1] == pytest.approx(0.5)
    early = needed(points, 39.0)
    assert early.nfe.low is None and band(points, early) == (5, early.nfe.high)
    assert band(points, needed(points, 1.0)) is None
    assert band(curve([40.0, 17.0, 9.0, 6.5]), both) is None


def test_the_first_crossing_counts_where_a_curve_comes_back():
    points = curve([20.0, 8.0, 12.0, 4.0])
    assert 5 < needed(points, 10.0).nfe.value < 10
    assert 20 < needed(points, 6.0).nfe.value < 50


def test_higher_is_better_is_the_mirror_image():
    fid = [40.0, 17.0, 9.0, 6.5]
    up = [Point(p.nfe, p.seconds, score(1 / p.score.value)) for p in curve(fid)]
    assert needed(up, 1 / 10.0, lower=False).nfe.value == pytest.approx(needed(curve(fid), 10.0).nfe.value)
    with_ends = curve([1.0, 5.0, 8.0, 9.0], half=0.5)
    found = needed(with_ends, 7.0, lower=False).nfe
    assert found.low < found.value < found.high


def test_scores_that_are_not_positive_are_joined_in_themselves():
    """KID from 0.3 to -0.1: 0 is at 3/4 of the way, 5 * 2^(3/4)."""
    points = [Point(5, None, score(0.3)), Point(10, None, score(-0.1))]
    assert needed(points, 0.0).nfe.value == pytest.approx(5 * 2**0.75)
    below = [Point(5, None, score(4.0, 1.0, 7.0)), Point(10, None, score(1.0, -2.0, 4.0))]
    assert needed(below, 2.0).nfe.low is None  # 1 at the first point
    assert needed(below, 0.5).nfe.low == pytest.approx(5)  # a log can't say where: as early as can be


numbers = st.floats(0.01, 100.0)
halves = st.floats(0.001, 20.0)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(numbers, halves, halves), min_size=2, max_size=6), numbers, st.booleans())
def test_intervals_hold_their_value_and_costs_lie_within_the_budgets(cells, target, lower):
    points = [Point(2.0**i, 0.1 * 3.0**i, score(v, v - a, v + b)) for i, (v, a, b) in enumerate(cells)]
    found = needed(points, target, lower)
    for cost, first, last in ((found.nfe, 1.0, points[-1].nfe), (found.seconds, 0.1, points[-1].seconds)):
        assert (cost.value is None) == (cost.reason is not None)
        known = [c for c in (cost.low, cost.value, cost.high) if c is not None]
        assert known == sorted(known) or np.allclose(known, sorted(known), rtol=1e-9)
        assert all(first * (1 - 1e-9) <= c <= last * (1 + 1e-9) for c in known)


def test_targets_are_round_and_crossed():
    curves = [curve([40.0, 17.0, 9.0, 6.5]), curve([90.0, 30.0, 14.0, 8.0])]
    chosen = targets(curves)
    assert chosen == sorted(chosen, reverse=True) and 2 <= len(chosen) <= 4
    assert all(needed(c, target).nfe.value is not None for target in chosen for c in curves)
    assert all(float(f"{target:.2g}") == target for target in chosen)
    assert targets([curve([1.0, 2.0, 3.0, 9.5])], lower=False) == sorted(targets([curve([9.5, 3.0, 2.0, 1.0])]))
    assert targets([]) == [] and targets([curve([7.0] * 4)]) == []
    assert targets([curve([0.3, 0.1, -0.02, -0.1])])[0] == pytest.approx(0.25)


def brute(costs, scores):
    """The definition, word by word."""
    found = []
    for i, (c, s) in enumerate(zip(costs, scores, strict=True)):
        others = [(a, b) for j, (a, b) in enumerate(zip(costs, scores, strict=True)) if j != i]
        beaten = any(
            a.value <= c.value and b.value <= s.value and (a.value < c.value or b.value < s.value) for a, b in others
        )
        surely = any(a.high <= c.low and b.high < s.low for a, b in others)
        found.append("front" if not beaten else "dominated" if surely else "open")
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2), st.integers(1, 9), st.integers(0, 2)), max_size=8))
def test_standing_by_its_definition(cells):
    costs = [score(c, c - h, c + h) for c, h, _, _ in cells]
    scores = [score(s, s - h, s + h) for _, _, s, h in cells]
    found = standing(costs, scores)
    assert found == brute(costs, scores)
    mirrored = [score(-s.value, -s.high, -s.low) for s in scores]
    assert standing(costs, mirrored, lower=False) == found


def test_an_exact_cost_and_an_equal_one():
    costs = [score(10), score(10), score(20)]
    scores = [score(5, 4, 6), score(9, 8, 10), score(5.5, 4.5, 6.5)]
    assert standing(costs, scores) == ["front", "dominated", "open"]


def test_an_outlier_presses_no_panel_and_each_says_what_sets_it_apart(new_run, tmp_path, monkeypatch):
    def change(rows):
        values = {"ddim": 6.0, "heun": 5.0, "dpmpp-2m": 4.5, "euler-maruyama": 7.0}
        first = rows[0]
        fid = values[first.sampler] + 20 / first.budget
        if (first.model, first.sampler, first.budget) == ("vp-mnist", "heun", 5):
            fid = 400.0
        n = 96 if first.model == "vp-mnist" else 160
        scored = {"value": fid, "ci_low": fid - 0.1, "ci_high": fid + 0.1}
        rows = [replace(r, n=n, signature=r.signature and r.signature.replace("160", str(n))) for r in rows]
        return [replace(r, **scored if r.metric == "fid" and r.status == "ok" else {}) for r in rows]

    run = open_run(new_run(tmp_path / "run", change, images=False))
    saved = []
    monkeypatch.setattr("diffbench.report.iso_figure.save", lambda figure, *rest: saved.append(figure) or [])
    with style():
        iso_quality(run, "fid", curves(run, "fid"), tmp_path)
        saved[0].draw_without_rendering()
    for axes, n in zip(saved[0].axes, (160, 160, 96), strict=True):
        low, high = axes.get_xlim()
        assert low < 4.9 + 0.1 and high < 14, "to where two samplers have curves"
        assert axes.get_title("left").endswith(f"n = {n}") and axes.get_xlabel() == "FID to reach"
        assert (
            sum(label.get_visible() and low < label.get_position()[0] < high for label in axes.get_xticklabels()) >= 2
        )
