"""Several runs as one: what compares shares panels, what does not stands apart by the run's name, and it is said."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run as run_with_values
from report.conftest import make_run

from diffbench import results
from diffbench.errors import StoreError, UsageError
from diffbench.report.findings import best_per_budget
from diffbench.report.page import draw_into
from diffbench.report.panels import by_model, by_scale, differing, stands_beside
from diffbench.report.pareto import pareto_data
from diffbench.report.sources import open_sources
from diffbench.store.sealed import write_sealed


def only(*samplers, **changes):
    def change(rows):
        return [replace(row, **changes) for row in rows] if rows[0].sampler in samplers else []

    return change


def n_in_signature(n):
    def change(rows):
        def own(row):
            said = None if row.signature is None else row.signature.replace('"n":160', f'"n":{n}')
            return replace(row, n=n, signature=said)

        return [own(row) for row in rows] if rows[0].sampler == "ddim" else []

    return change


def identified(run, network="w", **methods):
    """Say which network and method made each cell."""
    for row in results.rows(results.read(run)):
        identity = {
            "model": {"weights": network, "id": row["model"]},
            "method": methods.get(row["sampler"], row["sampler"]),
        }
        (run / "cells" / row["cell"]).mkdir(parents=True, exist_ok=True)
        write_sealed(run / "cells" / row["cell"] / "cell.json", {"identity": identity, "method": row["sampler"]})
    return run


def on_machine(run, name):
    write_sealed(run / "provenance.json", {"device": {"type": "cuda", "name": name}})
    return run


@pytest.fixture
def pair(tmp_path):
    def make(one, other, **keywords):
        own = {"models": ("ddpm-mnist",), "images": False}
        return [make_run(tmp_path / name, change, **own) for name, change in (("a", one), ("b", other))]

    return make


def given(folder, n, name="theirs", quantiser="given"):
    said = json.dumps({"comparable": {"metric": "fid", "n": n, "quantiser": quantiser}, "other": {}})
    row = results.Row(
        suite="score", cell="c" * 16, model=name, family="external", sampler="external", n=n, metric="fid", value=12.0,
        se=0.5, ci_low=11.0, ci_high=13.0, better="lower", status="ok", reference="mnist", extractor="mnist-features",
        signature=said,
    )  # fmt: skip
    results.write(results.frame([row]), folder)
    return folder / results.PARQUET


def test_other_samplers_of_the_same_network_join_its_panel(pair):
    runs = [identified(run) for run in pair(only("ddim"), only("heun"))]
    joined = open_sources(runs)
    assert {cell.model for cell in joined.cells} == {"ddpm-mnist"} and joined.told == ()
    assert {cell.line for cell in joined.cells} == {"ddim", "heun"}
    (panel,) = by_model(joined.cells, [], "fid", machines=False)
    assert len(panel.cells) == 8 and panel.told == ""
    found = best_per_budget(joined.cells, "fid", joined.worse)
    assert [best.compared for best in found] == [2, 2, 2, 2]


def test_another_network_of_the_same_id_gets_the_runs_name(pair):
    one, other = pair(only("ddim"), only("heun"))
    joined = open_sources([identified(one, "w"), identified(other, "v")])
    assert {cell.model for cell in joined.cells} == {"ddpm-mnist [a]", "ddpm-mnist [b]"}
    assert "different networks" in joined.told[0]


def test_networks_that_are_not_known_are_not_taken_for_one(pair):
    joined = open_sources(pair(only("ddim"), only("heun")))
    assert {cell.model for cell in joined.cells} == {"ddpm-mnist [a]", "ddpm-mnist [b]"}
    assert "no identity" in joined.told[0]


def test_the_same_cells_of_two_runs_are_two_lines(pair):
    def timed_again(rows):
        again = [replace(row, value=row.value * 1.01) if row.unit == "s" else row for row in rows]
        return again if rows[0].sampler == "ddim" else []

    joined = open_sources(pair(only("ddim", "heun"), timed_again))
    assert {cell.model for cell in joined.cells} == {"ddpm-mnist"}  # known by the cell ids that both have
    assert {cell.line for cell in joined.cells} == {"ddim [a]", "ddim [b]", "heun"}
    assert joined.told == ("ddim of a and of b are drawn apart: both have such cells.",)
    assert len({cell.key for cell in joined.cells}) == len(joined.cells)
    assert len(joined.table) == 72 and results.frame(results.rows(joined.table)).equals(joined.table)


def test_another_method_under_the_same_id_gets_the_runs_name(tmp_path):
    def budgets(*kept):
        return lambda rows: rows if rows[0].sampler == "ddim" and rows[0].budget in kept else []

    runs = [make_run(tmp_path / n, budgets(*b), models=("ddpm-mnist",), images=False) for n, b in
            (("a", (5, 10)), ("b", (20, 50)))]  # fmt: skip
    same = open_sources([identified(run) for run in runs])
    assert {cell.line for cell in same.cells} == {"ddim"} and same.told == ()
    other = open_sources([identified(runs[0]), identified(runs[1], ddim="another")])
    assert {cell.line for cell in other.cells} == {"ddim [a]", "ddim [b]"} and "different methods" in other.told[0]


def test_scores_of_other_n_never_share_a_panel(pair, tmp_path):
    joined = open_sources([identified(run) for run in pair(only("ddim"), n_in_signature(500))])
    panels = by_model(joined.cells, [], "fid", machines=False)
    assert [panel.told for panel in panels] == ["n = 160", "n = 500"]
    assert len(by_scale(joined.cells, [], "fid", machines=False)) == 2
    assert joined.told == ("ddpm-mnist of a and of b stand apart: FID differs in n 160 and 500.",)
    draw_into(joined, tmp_path / "out")
    text = (tmp_path / "out" / "tables" / "results.md").read_text()
    assert "ddpm-mnist \\[a\\] (n = 160)" in text and "ddpm-mnist \\[b\\] (n = 500)" in text
    page = " ".join((tmp_path / "out" / "report.md").read_text().split())
    assert "FID differs in n 160 and 500" in page and "Seconds per image of a are" in page


def test_costs_of_two_machines_have_fronts_of_their_own(pair):
    runs = [identified(run) for run in pair(only("ddim"), only("heun"))]
    alike = open_sources([on_machine(run, "H200") for run in runs])
    assert len(by_scale(alike.cells, [], "fid", machines=True)) == 1
    joined = open_sources([on_machine(runs[0], "H200"), on_machine(runs[1], "A100")])
    panels = by_scale(joined.cells, [], "fid", machines=True)
    assert [panel.told for panel in panels] == ["on H200 (cuda)", "on A100 (cuda)"]
    assert len(by_model(joined.cells, [], "fid", machines=False)) == 1  # quality does not depend on it
    (header, rows), _ = pareto_data(joined, "fid")
    table = pd.DataFrame(rows, columns=header)
    assert set(table[table["on_front"]]["machine"]) == {"H200 (cuda)", "A100 (cuda)"}


def test_given_images_are_levels_where_they_compare(pair, tmp_path):
    one, _ = pair(only("ddim"), only("heun"))
    alike = open_sources([one, given(tmp_path / "s", 160)])
    (cell,) = [cell for cell in alike.cells if cell.given]
    (panel,) = by_model([c for c in alike.cells if not c.given], [cell], "fid", machines=False)
    assert panel.given == (cell,) and "8-bit" in alike.told[-1]
    other = open_sources([one, given(tmp_path / "t", 161)])
    (cell,) = [cell for cell in other.cells if cell.given]
    (panel,) = by_model([c for c in other.cells if not c.given], [cell], "fid", machines=False)
    assert panel.given == () and "stands beside no sampler: FID differs in n 161 and 160" in other.told[0]


def test_only_an_unknown_quantiser_stands_beside_any():
    def scale(quantiser, n=10):
        return "r", "e", n, json.dumps({"metric": "fid", "n": n, "quantiser": quantiser})

    assert stands_beside(scale("given"), scale("round")) and stands_beside(scale("floor"), scale("floor"))
    assert not stands_beside(scale("floor"), scale("round")) and not stands_beside(scale("given", 11), scale("round"))
    assert differing(scale("floor"), scale("round")) == "quantiser floor and round"


def test_ties_across_runs_are_by_paired_tests(tmp_path):
    rng = np.random.default_rng(0)
    base, shift = 10 + rng.normal(size=400), 0.05 * rng.normal(size=400)
    a = run_with_values(tmp_path / "a", {("m", "one"): base})
    b = run_with_values(
        tmp_path / "b", {("m", "better"): base - 0.1 + shift, ("m", "tie"): base - 0.1 - shift}, weights=a
    )
    joined = open_sources([a, b])
    (best,) = best_per_budget(joined.cells, "fid", joined.worse)
    assert best.paired and best.cell.sampler in ("better", "tie") and [c.sampler for c in best.ties] != ["one"]
    assert len(best.ties) == 1  # 0.1 apart with intervals of 0.1 each: only pairs tell


def test_sources_given_twice_or_missing_are_one_clear_line(made_run, tmp_path, diffbench):
    with pytest.raises(UsageError, match="twice"):
        open_sources([made_run, made_run])
    with pytest.raises(StoreError, match="no such run folder"):
        open_sources([made_run, tmp_path / "nowhere.parquet"])
    (tmp_path / "text.parquet").write_text("no table")
    code, _, err = diffbench("report", str(made_run), str(tmp_path / "text.parquet"))
    assert code == 4 and "corrupt" in err and "Traceback" not in err
    code, _, err = diffbench("report", str(made_run), "--out", str(made_run.parent))
    assert code == 0


def test_the_command_writes_one_report_and_says_what_stands_apart(pair, diffbench, tmp_path):
    one, other = pair(only("ddim"), only("heun"))
    code, out, err = diffbench("report", str(one), str(other), "--out", "both", "--theme", "dark")
    written = [path for path in (tmp_path / "both").rglob("*") if path.is_file()]
    others = len(written) - 3  # beside the page the table, which was not drawn
    assert code == 0 and out == f"both/report.html and {others} other files beside it\n" and "stand apart" in err
    code, out, _ = diffbench("report", str(one), str(other), "--out", "both", "--json")
    assert code == 0 and len(json.loads(out)) == others + 1
    assert (tmp_path / "both" / "figures" / "pareto.svg").is_file()
    assert len(results.read(tmp_path / "both")) == len(results.read(one)) + len(results.read(other))
    code, _, err = diffbench("report", str(one), str(other), "--out", str(other))
    assert code == 2 and "table would be lost" in err
    code, _, err = diffbench("report", str(one), "--theme", "drak")
    assert code == 2 and 'did you mean "dark"' in err
