import json
from dataclasses import replace

import pytest

from diffbench.comparison.paired import Difference
from diffbench.document.words import slug
from diffbench.inert import printable
from diffbench.report.folder import open_run
from diffbench.report.frame import main_metric, short_title, signed
from diffbench.report.measured import Measured, alike, number, value_and_half_width, with_interval
from diffbench.report.style import looks


def measured(value, half=None):
    low, high = (None, None) if half is None else (value - half, value + half)
    return Measured(value, low, high, None, "lower", "ok", None)


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (12.3456, 0.957, "12.35 ± 0.96"),
        (208.4, 11.2, "208 ± 11"),
        (0.059712, 0.00471, "0.0597 ± 0.0047"),
        (1234.5, 120.0, "1234 ± 120"),
        (-0.0012, 0.003, "-0.0012 ± 0.0030"),
        (12.3456, None, "12.35"),
        (0.0, None, "0"),
        (5.0, 0.0, "5.000 ± 0"),
        (1.000000004, 3e-9, "1.000 ± 3.0e-09"),
        (330.52, 0.62, "330.5 ± 0.6"),
        (12.3456, 0.0012, "12.35 ± 0.0012"),
    ],
)
def test_value_and_half_width_are_rounded_alike(value, half, text):
    assert with_interval(measured(value, half)) == text


def test_values_of_one_list_have_the_decimals_of_the_finest():
    listed = [measured(4.79, 1.1), measured(4.8, 1.2), measured(4.94, 0.91)]
    assert alike(listed) == [("4.79", "1.10"), ("4.80", "1.20"), ("4.94", "0.91")]
    assert [text for text, _ in alike([measured(208.4, 11.0), measured(4.943, 0.01)])] == ["208.4", "4.9"]
    gone = Measured(None, None, None, None, "lower", "skipped", "why")
    assert alike([gone, measured(0.0)]) == [("–", None), ("0", None)] and alike([gone]) == [("–", None)]


def test_a_missing_value_is_a_dash():
    gone = Measured(None, None, None, None, "lower", "skipped", "why")
    assert value_and_half_width(gone) == ("–", None)
    assert number(None) == "–"


@pytest.mark.parametrize(
    ("value", "text"), [(0.021938, "0.0219"), (12.0, "12.0"), (0.00633, "0.00633"), (1500.0, "1500"), (2e-9, "2e-09")]
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (2.0134, 0.731, "+2.01 ± 0.73"),
        (-0.648, 0.35, "-0.65 ± 0.35"),
        (0.03901, 0.0131, "+0.039 ± 0.013"),
        (0.0, 0.35, "+0.00 ± 0.35"),
        (-351.2, 120.4, "-351 ± 120"),
        (1.2e-6, 3.4e-6, "+1.2e-6 ± 3.4e-6"),
        (1.0, 0.0, "+1"),
        (0.0, 0.0, "0"),
        (-0.5, None, "-0.5"),
        (None, None, "–"),
    ],
)
def test_a_difference_is_signed_and_rounded_as_its_half_width(value, half, text):
    se = None if half is None else half / 1.96
    assert signed(Difference(None, None, value, se, None, None, 100, None)) == text


def test_short_titles():
    said = [short_title(metric) for metric in ("nfe", "fid", "seconds_per_image", "peak_memory_mb", "own")]
    assert said == ["NFE", "FID", "s/image", "peak MB", "own"]


def test_printable_shows_what_would_act():
    assert printable("a\x1b[31m\u202eb\nc") == "a\\u001b[31m\\u202eb\\u000ac"
    assert printable("ε-θ 数") == "ε-θ 数"


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/abs", "a/b", "CON ", "..", ".hidden", "", "x" * 300, "A", "ä", "a\x00b", "$(rm)", "-rf"],
)
def test_slug_is_one_safe_file_name(name):
    made = slug(name)
    assert made and set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-") and len(made) < 80
    assert made[0] not in ".-" and made != slug(name + "x")


def test_slug_keeps_plain_names_and_tells_others_apart():
    assert slug("ddpm-mnist_2.1") == "ddpm-mnist_2.1"
    assert len({slug(name) for name in ("a b", "a-b", "A b", "a/b", "a  b")}) == 5


def test_cells_of_the_made_up_run(made_run):
    run = open_run(made_run)
    assert len(run.cells) == 48
    cell = next(c for c in run.cells if (c.model, c.sampler, c.budget) == ("vp-mnist", "heun", 20))
    assert (cell.family, cell.nfe, cell.steps, cell.n, cell.series) == ("score-sde", 19.0, 10, 160, "heun")
    assert (cell.budget_label, cell.name, cell.status) == ("NFE 20", "heun @ NFE 20", "ok")
    assert cell["fid"].half_width == pytest.approx(0.05 * cell["fid"].value + 0.35)
    assert cell["peak_memory_mb"].reason == "the operating system does not say"
    assert cell["never"].value is None and cell["never"].reason
    assert run.floor(cell, "fid") == (4.1, 0.3) and run.floor(cell, "kid") is None
    assert run.stochastic(cell) is False and run.order(cell) == 2
    skipped = next(c for c in run.cells if c.status == "skipped")
    assert run.stochastic(skipped) and len(run.images(skipped, 8)) == 0
    assert [c.status for c in run.cells].count("failed") == 1


def test_an_adaptive_sampler_moves_along_one_line_by_its_tolerances(new_run, tmp_path):
    def adaptive(rows):
        if rows[0].sampler != "ddim":
            return rows if rows[0].sampler == "heun" else []
        options = json.dumps({"order": 3, "rtol": 1 / rows[0].budget})
        return [replace(row, budget=None, budget_kind=None, options=options) for row in rows]

    run = open_run(new_run(tmp_path / "run", adaptive, models=("ddpm-mnist",), images=False))
    cells = [cell for cell in run.cells if cell.sampler == "ddim"]
    assert len({cell.series for cell in cells}) == 4 and {cell.line for cell in cells} == {"ddim order=3"}
    assert {cell.budget_label for cell in cells} == {"adaptive"} and set(looks(run)) == {"ddim order=3", "heun"}
    fixed = [cell for cell in run.cells if cell.sampler == "heun"]
    assert all(cell.line == cell.series for cell in fixed)


def test_the_main_metric_is_one_with_intervals(new_run, tmp_path):
    def without(*metrics):
        return lambda rows: [
            replace(row, se=None, ci_low=None, ci_high=None) if row.metric in metrics else row for row in rows
        ]

    for place, (lacking, main) in enumerate([((), "fid"), (("fid",), "is"), (("fid", "is", "kid"), "fid")]):
        run = open_run(new_run(tmp_path / str(place), without(*lacking), models=("ddpm-mnist",), images=False))
        assert main_metric(run.cells) == main
