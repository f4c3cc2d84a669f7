"""Variants of a model, by dtype or guidance, are no samplers of their own, and a cell has one name."""

import re
from dataclasses import replace

import pytest
from chromium import opened

from diffbench.report.content import content
from diffbench.report.folder import open_run
from diffbench.report.page import draw


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """One model in two variants with ddim, that with two etas, and heun; another as it is with heun."""
    from report.conftest import make_run

    options = {5: {"dtype": "float32", "eta": 0.0}, 10: {"dtype": "float32", "eta": 0.5}}
    options |= {20: {"dtype": "bfloat16", "eta": 0.0}, 50: {"dtype": "bfloat16", "eta": 0.5}}

    def change(rows):
        first = rows[0]
        if first.model == "vp-mnist":
            return rows if first.sampler == "heun" else []
        if first.sampler == "ddim":
            return [replace(row, options=options[row.budget]) for row in rows]
        return [replace(r, options={"dtype": "float32"}) for r in rows] if first.sampler == "heun" else []

    folder = tmp_path_factory.mktemp("swept") / "run"
    run = make_run(folder, change, models=("ddpm-mnist", "vp-mnist"), images=False)
    draw(run)
    return run


def test_the_page_counts_models_and_samplers_not_variants(swept):
    run = open_run(swept)
    assert content(run, []).counts == "2 models in 3 variants, 3 samplers, 12 cells"
    assert {(cell.sampler_name, cell.variant) for cell in run.cells} == {
        ("ddim eta=0.0", "dtype=float32"), ("ddim eta=0.5", "dtype=float32"), ("heun", "dtype=float32"), ("heun", ""),
        ("ddim eta=0.0", "dtype=bfloat16"), ("ddim eta=0.5", "dtype=bfloat16"),
    }  # fmt: skip


def test_the_table_filters_by_sampler_and_by_variant(browser, swept):
    with opened(browser, swept / "report.html") as page:
        controls, said = page.locator("#table-controls"), page.locator("#table-controls [role=status]")
        options = {
            name: controls.get_by_label(name).locator("option").all_inner_texts()
            for name in ("Model", "Variant", "Sampler")
        }
        assert options == {
            "Model": ["all", "ddpm-mnist", "vp-mnist"],
            "Variant": ["all", "dtype=float32", "dtype=bfloat16", "as it is"],
            "Sampler": ["all", "ddim eta=0.0", "ddim eta=0.5", "heun"],
        }
        controls.get_by_label("Sampler").select_option("ddim eta=0.0")
        assert said.inner_text() == "2 of 12 cells"
        controls.get_by_label("Variant").select_option("dtype=bfloat16")
        assert said.inner_text() == "1 of 12 cells"
        page.locator("table.sortable th button").nth(2).click()  # sorted, every row stays its cell
        controls.get_by_label("Sampler").select_option("")
        shown = page.locator("table.sortable tbody tr:not([hidden])").all_inner_texts()
        assert said.inner_text() == "2 of 12 cells" and all("dtype=bfloat16" in row for row in shown)


def test_a_list_of_one_name_is_left_out(browser, new_run, tmp_path):
    run = new_run(tmp_path / "run", models=("ddpm-mnist",), images=False)
    draw(run)
    with opened(browser, run / "report.html") as page:
        assert page.locator("#table-controls select").count() == 1
        assert page.locator("#table-controls").get_by_label("Sampler").count() == 1


def test_a_cell_has_one_name_in_the_answer_the_key_and_the_figures(browser, new_run, tmp_path):
    run = new_run(tmp_path / "run", models=("ddpm-mnist",), images=False)
    draw(run)
    names = {cell.name for cell in open_run(run).cells}
    assert "heun @ NFE 10" in names
    with opened(browser, run / "report.html") as page:
        (answer,) = re.findall(r"cheapest first: ([^;.]*)", page.locator(".cards").inner_text())
        key = [line.split("\n")[0] for line in page.locator("#front-key li").all_inner_texts()]
        assert answer.split(", ")[:6] == key[:6] and set(key) <= names
    assert " @ NFE 50\n" in (text := svg_text(run / "figures" / "pareto.svg")) and " NFE\n" not in text


def svg_text(path):
    """The comments that matplotlib leaves of the texts it drew as paths."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", path.read_text(), re.S)) + "\n"
