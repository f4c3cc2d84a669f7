"""``results.plot``: matplotlib objects that hold the run's own numbers."""

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
    from dataclasses import replace

    def hostile(rows):
        if rows[0].sampler == "ddim":
            return [replace(r, sampler="<script>alert(1)</script>") for r in rows]
        return rows if rows[0].sampler == "heun" else []

    html = diffbench.read(new_run(tmp_path / "run", hostile, models=("ddpm-mnist",), images=False))._repr_html_()
    assert html.count("padding:") == html.count("<td") + html.count("<th ") and "budget by FID" in html
    assert html.startswith("<table>") and html.index("<table>") < html.index("<img") and "<script" not in html
    assert "&lt;script&gt;" in html and 'src="data:image/png;base64,' in html and "<strong>" in html


def test_a_notebook_says_why_nothing_was_scored(new_run, tmp_path):
    from dataclasses import replace

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
