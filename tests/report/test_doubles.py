"""Sources that share cells, and sources that do not share their metrics: what is drawn, and what is said of it."""

import shutil
from dataclasses import replace

import pytest

import diffbench as library
from diffbench import results
from diffbench.report.content import content
from diffbench.report.frame import main_metric
from diffbench.report.sources import open_sources


@pytest.fixture
def run(new_run, tmp_path):
    def few(rows):
        return rows if rows[0].sampler in ("ddim", "heun") and rows[0].budget <= 10 else []

    return new_run(tmp_path / "own", few, models=("ddpm-mnist",), images=False)


@pytest.mark.parametrize("name", ["table", "own"])
@pytest.mark.parametrize("first", ["run", "table"])
def test_a_run_and_its_own_table_are_drawn_once(run, tmp_path, name, first):
    table = library.read(run).to_parquet(tmp_path / f"{name}.parquet")
    found = open_sources([run, table] if first == "run" else [table, run])
    assert found.path == run and len(found.cells) == 4 and {cell.series for cell in found.cells} == {"ddim", "heun"}
    (said,) = found.told
    assert said.endswith("with the same scores, drawn once.") and "4 cells" in said
    assert said in content(found, []).notes


def test_cells_that_were_scored_again_stay_apart(run, tmp_path):
    def other(row):
        changed = row["cell"] == first and row["metric"] == "fid"
        return {**row, **({"value": row["value"] + 0.1} if changed else {})}

    rows = results.rows(results.read(run))
    first = rows[0]["cell"]
    (tmp_path / "again").mkdir()
    results.write(results.frame(map(other, rows)), tmp_path / "again")
    found = open_sources([run, tmp_path / "again" / results.PARQUET])
    assert len(found.cells) == 5 and len(found.table) == 5 * 6
    assert found.told[0] == "again has 3 cells of own with the same scores, drawn once."
    assert {cell.series for cell in found.cells} == {"ddim [own]", "ddim [again]", "heun"}


def test_cells_without_any_value_are_no_doubles(new_run, tmp_path):
    def skipped(rows):
        gone = {"value": None, "se": None, "ci_low": None, "ci_high": None, "status": "skipped", "reason": "why"}
        return [replace(row, **gone, signature=None) for row in rows] if rows[0].budget == 5 else []

    one = new_run(tmp_path / "one", skipped, models=("ddpm-mnist",), images=False)
    found = open_sources([one, shutil.copytree(one, tmp_path / "other")])
    assert not any("drawn once" in said for said in found.told)


def test_a_file_beside_the_folder_of_its_name_is_a_source_of_its_own(run, new_run, tmp_path):
    def heun(rows):
        return rows if rows[0].sampler == "heun" and rows[0].budget == 50 else []

    other = new_run(tmp_path / "elsewhere", heun, models=("ddpm-mnist",), images=False)
    shutil.copy(other / results.PARQUET, tmp_path / "own.parquet")
    found = open_sources([run, tmp_path / "own.parquet"])
    assert len(found.cells) == 5 and len(found.parts) == 2


def metrics(*kept):
    def change(rows):
        return [row for row in rows if row.metric in kept or row.unit] if rows[0].sampler == "ddim" else []

    return change


@pytest.mark.parametrize(
    ("one", "other", "leads", "said"),
    [
        (("fid", "is"), ("fid", "kid"), "fid", None),
        (("fid", "kid"), ("kid",), "kid", "KID, which all of them have, leads this report; alone they are led by "
         "another: a by FID."),
        (("fid",), ("kid",), "fid", "FID leads this report; b has no FID, and no metric is in all."),
        (("fid",), (), "fid", None),
    ],
)  # fmt: skip
def test_the_metric_that_leads_several_runs_is_one_that_all_have_and_is_told(
    new_run, tmp_path, one, other, leads, said
):
    runs = [
        new_run(tmp_path / name, metrics(*kept), models=models, images=False)
        for name, kept, models in (("a", one, ("ddpm-mnist",)), ("b", other, ("vp-mnist",)))
    ]
    for sources in (runs, runs[::-1]):
        found = open_sources(sources)
        assert main_metric(found.cells) == leads
        assert [line for line in found.told if "leads" in line] == ([said] if said else [])
        assert said is None or said in content(found, []).notes
