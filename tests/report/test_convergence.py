"""The figure and the table of fitted orders, drawn from a made-up run folder."""

import csv
import hashlib

import pytest

from diffbench.report.convergence import caption, convergence, convergence_figure, order, orders_table, solution
from diffbench.report.folder import open_run
from diffbench.report.page import draw
from diffbench.report.style import looks, paper_style
from diffbench.report.themes import style
from diffbench.results import Row, frame, write
from diffbench.store.sealed import write_sealed

ORDERS = {"ddim": 1.0, "heun": 2.0, "a-sampler-with-a-very-long-name-indeed": 2.9, "noisy": None}
BUDGETS = (5, 10, 20, 50)
OWN = 1e-4


def row(model, sampler, budget, **more):
    order, digest = ORDERS[sampler], hashlib.sha256(f"{model}{sampler}{budget}".encode()).hexdigest()[:16]
    value = None if order is None else 2.0 * budget**-order
    ends = {} if value is None else {"se": value / 10, "ci_low": 0.8 * value, "ci_high": 1.2 * value}
    base = Row(
        suite="made-up", cell=digest, model=model, family="score-sde", sampler=sampler, grid="log-snr",
        budget_kind="nfe", budget=budget, steps=budget, nfe=float(budget), network_evals=float(budget), n=64,
        metric="solver_error", better="lower", status="ok", batch_size=32, device="cpu", dtype="float32", value=value,
        reason="adds noise" if value is None else None, **ends,
    )  # fmt: skip
    return base


def made(folder, models, stated=True):
    folder.mkdir(parents=True)
    write(frame(row(m, s, b) for m in models for s in ORDERS for b in BUDGETS), folder)
    if stated:
        fits = [
            {"model": m, "sampler": s, "options": {}, "grid": "log-snr", "n": 64, "reason": None, "order": p + 0.01,
             "ci_low": p - 0.04, "ci_high": p + 0.06}
            for m in models for s, p in ORDERS.items() if p is not None
        ]  # fmt: skip
        known = {"solution": "deis, 64 steps on log-snr", "sigma_max": 80.0, "n": 64}
        solutions = {f"{i}{m}": {**known, "model": m, "own_error": OWN / (i + 1), "resolved": 5 * OWN / (i + 1)}
                     for m in models for i in range(2)}  # fmt: skip
        write_sealed(folder / "convergence.json", {"solver_error": {"solutions": solutions, "orders": fits}})
    return folder


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_figure_has_a_panel_a_model_and_its_numbers_beside_it(tmp_path, count):
    models = [f"model-{i}" for i in range(count)]
    folder = made(tmp_path / "run", models)
    files = {path.name for path in draw(folder)}
    assert {"solver_error_convergence.png", "solver_error_convergence.pdf", "orders.tex"} <= files
    with (folder / "figures" / "solver_error_convergence.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count * 3 * len(BUDGETS), "what has no value is not drawn"
    heun = next(r for r in rows if r["sampler"] == "heun" and r["budget"] == "10")
    assert float(heun["solver_error"]) == pytest.approx(0.02) and float(heun["fitted_order"]) == pytest.approx(2.01)
    assert float(heun["fitted_order_low"]) == pytest.approx(1.96)


def test_the_least_known_solution_counts_and_the_caption_names_it(tmp_path):
    run = open_run(made(tmp_path / "run", ["a", "b"]))
    assert solution(run, "a", "solver_error")["own_error"] == OWN
    text = caption(run, "solver_error")
    assert "a: deis, 64 steps on log-snr, exact to 0.0001; b: deis" in text and "5 times" in text


def test_the_table_sets_fitted_orders_beside_the_documented_ones(tmp_path):
    table = orders_table(open_run(made(tmp_path / "run", ["a", "b"])))
    assert table.columns == ("model", "sampler", "order", "fitted to solver error") and table.groups == (0, 3)
    assert [entry.text for entry in table.rows[1]] == ["a", "heun", "2", "2.01 ± 0.05"]
    assert table.rows[2][2].text == "–", "an unknown sampler has no documented order"


def test_a_run_without_fits_is_drawn_and_has_no_table(tmp_path):
    folder = made(tmp_path / "run", ["a"], stated=False)
    assert "solver_error_convergence.png" in {path.name for path in draw(folder)}
    run = open_run(folder)
    assert orders_table(run) is None and order(run, run.cells[0], "solver_error").value is None


def test_the_page_says_what_the_error_is_and_asks_no_question_of_agreement(tmp_path):
    folder = made(tmp_path / "run", ["a"])
    draw(folder)
    page = (folder / "report.md").read_text()
    assert "discretisation error alone" in page and "## Orders" in page
    assert "Do the deterministic ODE samplers agree" not in page and "extractor None" not in page


def test_looks_are_those_of_the_other_figures(tmp_path, monkeypatch):
    run = open_run(made(tmp_path / "run", ["a"]))
    saved = []
    monkeypatch.setattr("diffbench.report.convergence.save", lambda figure, *rest: saved.append(figure) or [])
    with paper_style():
        convergence(run, "solver_error", tmp_path)
    (axes,) = saved[0].axes
    drawn = {line.get_color() for line in axes.lines if line.get_linestyle() == "-"}
    assert drawn == {look.colour for name, look in looks(run).items() if ORDERS[name] is not None}
    (legend,) = saved[0].legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert "1.01 ± 0.05" in labels and "a-sampler-with-a-very-lon…" in labels
    bottom, top = axes.get_ylim()
    assert bottom < 5 * OWN < top, "the floor is in sight"


@pytest.mark.parametrize("count", [1, 3, 7])
def test_in_a_column_every_row_of_the_table_has_its_mark_and_lies_inside(tmp_path, count):
    run = open_run(made(tmp_path / "run", [f"a-model-with-a-long-name-{i}" for i in range(count)]))
    with style("paper", "column"):
        figure = convergence_figure(run, "solver_error")
        figure.draw_without_rendering()
    (legend,) = figure.legends
    box, page = legend.get_window_extent(), figure.bbox
    assert box.x0 >= page.x0 and box.x1 <= page.x1
    texts = [text.get_text() for text in legend.get_texts()]
    marks = dict(zip(texts, (handle.get_marker() for handle in legend.legend_handles if hasattr(handle, "get_marker")),
                     strict=False))  # fmt: skip
    assert {marks[name] for name in ("ddim", "heun")} == {"o", "s"}
    assert texts.count("2.01 ± 0.05") == count, "no model's order is left out"


def test_an_axis_does_not_go_down_to_a_floor_far_below_the_data(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "OWN", 1e-12)
    run = open_run(made(tmp_path / "run", ["a"]))
    with paper_style():
        figure = convergence_figure(run, "solver_error")
    bottom, _ = figure.axes[0].get_ylim()
    assert bottom > 2.0 * 50**-2.9 * 0.8 / 40
    assert "not resolved" not in {text.get_text() for text in figure.legends[0].get_texts()}
    assert "where fewer than three" in caption(run, "solver_error")
