"""``results.plot``: matplotlib objects that hold the run's own numbers."""

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import diffbench
from diffbench.errors import UsageError
from diffbench.report.content import content
from diffbench.report.folder import open_run


@pytest.fixture(scope="module")
def results(made_run):
    return diffbench.read(made_run)


def fid(results, sampler, model="ddpm-mnist"):
    table = results.frame
    mine = table[(table.metric == "fid") & (table.sampler == sampler) & (table.model == model)].dropna(subset=["value"])
    return mine.sort_values("nfe")


def test_lines_are_the_tables_numbers(results):
    figure = results.plot.fid_vs_nfe(model="ddpm-mnist")
    assert isinstance(figure, Figure)
    for sampler in ("ddim", "heun"):
        wanted = fid(results, sampler)
        drawn = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4]
        match = [line for line in drawn if list(line.get_ydata()) == pytest.approx(wanted["value"].tolist())]
        assert len(match) == 1 and list(match[0].get_xdata()) == wanted["nfe"].tolist()


def test_into_axes_of_ones_own(results):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert results.plot.fid_vs_nfe(model="ddpm-mnist", ax=left) is left and isinstance(left, Axes)
    assert results.plot.pareto(ax=right) is right
    assert left.get_legend() is not None and right.get_ylabel() == "FID" and left.get_xscale() == "log"
    with pytest.raises(UsageError, match="3 panels don't fit"):
        results.plot.fid_vs_nfe(ax=left)


@pytest.mark.parametrize("name", ["metric_vs_seconds", "pareto"])
def test_on_given_axes_everything_is_named_inside_them(results, name):
    figure = Figure(figsize=(3.3, 2.5))
    axes = figure.subplots()
    getattr(results.plot, name)("fid", model="ddpm-mnist", ax=axes)
    assert {"ddim", "heun", "dpmpp-2m"} <= {text.get_text() for text in axes.get_legend().get_texts()}
    assert not axes.texts and axes.get_title("left") == "ddpm-mnist  (ddpm)"
    with pytest.raises(UsageError, match="theme 'dark' is for whole figures"):
        getattr(results.plot, name)("fid", model="ddpm-mnist", ax=axes, theme="dark")


def test_one_outlier_does_not_hide_scores_of_both_signs(new_run, tmp_path):
    def outlier(rows):
        first = rows[0]
        value = (
            16.0
            if (first.sampler, first.budget) == ("heun", 5)
            else {5: 0.05, 10: 0.02, 20: 0.003}.get(first.budget, -0.004)
        )
        return [
            replace(r, value=value, ci_low=value - 0.01, ci_high=value + 0.01)
            if r.metric == "kid" and r.status == "ok"
            else r
            for r in rows
        ]

    plot = diffbench.read(new_run(tmp_path / "run", outlier, models=("vp-mnist",), images=False)).plot
    for axes in (plot.metric_vs_nfe("kid").axes[0], plot.pareto("kid", width="column").axes[0]):
        assert axes.get_yscale() == "symlog" and axes.get_ylabel() == "KID (linear within ±0.01)"
        heights = axes.transAxes.inverted().transform(axes.transData.transform([(1, -0.004), (1, 0.05), (1, 16.0)]))[
            :, 1
        ]
        assert 0 < heights[0] and heights[1] - heights[0] > 0.2 and heights[2] < 1
        assert len([tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= axes.get_ylim()[1]]) >= 4
    assert plot.metric_vs_nfe("is").axes[0].get_ylabel() == "IS (higher is better)"


@pytest.mark.parametrize("spread", [1.02, 1.3, 3.0, 40.0])
@pytest.mark.parametrize("width", ["text", "column"])
def test_tick_labels_of_any_range_are_two_at_least_and_do_not_touch(new_run, tmp_path, spread, width):
    def near(rows):
        seconds = 0.25 * spread ** (rows[0].budget / 50)
        ends = {"value": seconds, "ci_low": seconds * 0.999, "ci_high": seconds * 1.001}
        return [replace(r, **ends) if r.metric == "seconds_per_image" else r for r in rows]

    run = diffbench.read(new_run(tmp_path / "run", near, models=("ddpm-mnist",), images=False))
    figure = run.plot.pareto(width=width)
    axes = figure.axes[0]
    shown = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    shown = [box for box in shown if axes.bbox.x0 <= (box.x0 + box.x1) / 2 <= axes.bbox.x1]
    assert len(shown) >= 2 and all(a.x1 < b.x0 for a, b in zip(shown, shown[1:], strict=False))


@pytest.mark.parametrize(("theme", "least"), [("paper", 2.6), ("talk", 4.3)])
def test_a_front_says_how_wide_it_must_be(results, theme, least, recwarn):
    with pytest.raises(
        UsageError, match=rf"width 2: a Pareto front .* at least {least - 0.1 * (theme == 'talk'):.1f} inches"
    ):
        results.plot.pareto(width=2.0, theme=theme)
    figure = results.plot.pareto(width=least, theme=theme)
    (key,) = [text for text in figure.axes[0].texts if text.get_text().startswith("Front")]
    assert key.get_window_extent().x1 <= figure.bbox.x1 and figure.axes[0].bbox.height > 0.2 * figure.bbox.height
    assert not [one for one in recwarn if "constrained_layout" in str(one.message)]


@pytest.mark.parametrize("width", ["text", "column"])
def test_numbers_of_the_front_lie_inside_the_axes(results, width):
    figure = results.plot.pareto(width=width)
    for axes in figure.axes:
        numbers = [text for text in axes.texts if text.get_text().isdigit()]
        assert len(numbers) >= 3
        for number in numbers:
            box = number.get_window_extent()
            assert box.x0 >= axes.bbox.x0 and box.y0 >= axes.bbox.y0 and box.y1 <= axes.bbox.y1


@pytest.mark.parametrize("name", ["pareto", "metric_vs_nfe", "metric_vs_seconds", "fid_vs_nfe", "fid_vs_seconds"])
def test_each_gives_a_figure_with_the_table_behind_it(results, name):
    before = {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}
    figure = getattr(results.plot, name)()
    assert {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"} == before
    header, rows = figure.behind
    assert {"cell", "model", "sampler", "fid", "fid_low"} <= set(header) and len(rows) == 46
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_other_metrics_and_images(results):
    assert results.plot.metric_vs_nfe("kid", model="vp-mnist").axes[0].get_ylabel() == "KID"
    assert len(results.plot.grid("vp-mnist").axes) == 16 and len(results.plot.best().axes) == 1


def test_what_can_not_be_drawn_is_said(results, tmp_path, new_run):
    with pytest.raises(UsageError, match='did you mean "vp-mnist"'):
        results.plot.fid_vs_nfe(model="vp-mnis")
    with pytest.raises(UsageError, match="unknown metric"):
        results.plot.metric_vs_nfe("fids")
    with pytest.raises(UsageError, match="unknown metric"):
        results.plot.convergence()
    with pytest.raises(UsageError, match="is a cost, not a metric of quality; metric_vs_seconds"):
        results.plot.metric_vs_nfe("seconds_per_image")
    bare = diffbench.read(new_run(tmp_path / "run", models=("ddpm-mnist",), images=False))
    with pytest.raises(UsageError, match="no samples of ddpm-mnist were kept"):
        bare.plot.grid()


def test_tables_in_other_formats(results, tmp_path):
    assert results.to_pandas().equals(results.frame) and results.to_pandas() is not results.frame
    path = results.to_parquet(tmp_path / "scored.parquet")
    from diffbench.results import read_file

    assert read_file(path).equals(results.frame)
    assert results.to_csv(tmp_path / "r.csv").read_text() == (results.folder / "results.csv").read_text()
    latex = results.to_latex(["fid"])
    assert latex.count(r"\\") == 49 and r"\begin{tabular}{llrrr}" in latex and latex.count("{") == latex.count("}")
    assert r"\mathbf" in latex and r"^{\dagger}$" in latex and "dagger: not told apart" in latex
    comments = content(open_run(results.folder), []).table_notes
    assert [line[2:] for line in results.to_latex().splitlines() if line[0] == "%"][1:] == list(comments)
    by_kid = results.to_latex(["kid", "fid"])
    assert "bold: the best of a budget by KID; dagger" in by_kid and r"KID & FID & s/image" in by_kid
    assert all(r"\mathbf" not in line.split(" & ")[4] for line in by_kid.splitlines() if line.count(" & ") == 5)
    assert by_kid.count(r"\mathbf") == 12
    markdown = results.to_markdown(["fid", "kid"])
    assert len(markdown.splitlines()) == 50 and " † |" in markdown and markdown.count("**") == 24


def test_a_notebook_shows_the_table_first_and_nothing_acts(new_run, tmp_path):
    def hostile(rows):
        if rows[0].sampler == "ddim":
            return [replace(r, sampler="<script>alert(1)</script>") for r in rows]
        return rows if rows[0].sampler == "heun" else []

    html = diffbench.read(new_run(tmp_path / "run", hostile, models=("ddpm-mnist",), images=False))._repr_html_()
    assert html.count("padding:") == html.count("<td") + html.count("<th ") and "budget by FID" in html
    assert html.startswith("<table>") and html.index("<table>") < html.index("<img") and "<script" not in html
    assert "&lt;script&gt;" in html and 'src="data:image/png;base64,' in html and "<strong>" in html


def test_a_notebook_says_why_nothing_was_scored(new_run, tmp_path):
    def unscored(rows):
        gone = {"value": None, "se": None, "ci_low": None, "ci_high": None, "reason": "no extractor <b>"}
        return [replace(row, **gone) if row.unit is None else row for row in rows] if rows[0].sampler == "ddim" else []

    html = diffbench.read(new_run(tmp_path / "run", unscored, models=("ddpm-mnist",), images=False))._repr_html_()
    assert "No cell was scored: no extractor &lt;b&gt;." in html and "bold" not in html


def test_results_say_what_they_are(results):
    assert repr(results).startswith("<Results of 48 cells in ")
    one = diffbench.api.Results(Path(), results.frame[:1])
    assert repr(one) == "<Results of 1 cell>"
    with pytest.raises(UsageError, match="written nowhere; score"):
        one.report()
