"""Cells of samplers that choose their own steps: one a combination of options, with no budget and no planned cost."""

import pytest
from tiny_run import run

from diffbench import results
from diffbench.suite.plan import plan
from diffbench.suite.read import suite_from_objects

KEYS = {"name": "x", "models": ["score-vp-mnist"], "budgets": {"nfe": [5, 10]}}
RK45 = {"id": "rk", "sampler": "rk45", "sweep": {"rtol": [0.1, 0.01]}}


def cells(*samplers, only=None, **keys):
    return plan(suite_from_objects({**KEYS, "samplers": list(samplers), **keys}), only)


def test_one_cell_for_all_budgets():
    planned = cells(RK45, "ddim")
    own = [cell for cell in planned if cell.sampler == "rk"]
    assert [cell.key for cell in own] == ["score-vp-mnist/rk[rtol=0.1]", "score-vp-mnist/rk[rtol=0.01]"]
    assert {(cell.budget_kind, cell.budget, cell.nfe, cell.grid_label) for cell in own} == {
        (None, None, None, "adaptive")
    }
    assert len({cell.id for cell in planned}) == len(planned) == 4


def test_it_goes_from_end_to_end_of_the_model_and_lands_on_the_data():
    for cell, last in ((cells(RK45)[0], [0.0]), (cells({**RK45, "final": "sigma_min"})[0], [])):
        schedule = cell.card.schedule_object()
        assert cell.grid.sigma.tolist() == pytest.approx([schedule.sigma_max, schedule.sigma_min, *last])


def test_ends_of_its_own():
    ends = {"kind": "log-snr", "sigma_max": 80.0, "sigma_min": 0.02}
    cell = cells({"id": "a", "sampler": "dpm-adaptive", "grid": ends})[0]
    assert cell.grid.sigma.tolist() == pytest.approx([80.0, 0.02, 0.0])
    assert cell.grid_label == "adaptive(sigma_min=0.02, sigma_max=80)"


def test_no_budgets_needed():
    keys = {key: value for key, value in KEYS.items() if key != "budgets"}
    suite = suite_from_objects({**keys, "samplers": ["rk45", "dpm-adaptive"]})
    assert [cell.sampler for cell in plan(suite)] == ["rk45", "dpm-adaptive"]


def test_selected_like_others():
    assert [cell.sampler for cell in cells("rk45", "ddim", only="sampler=rk45")] == ["rk45"]
    assert [cell.sampler for cell in cells("rk45", "ddim", only="nfe<=5")] == ["ddim"]


def test_a_run_reports_the_mean_evaluations(tmp_path, monkeypatch):
    """Those that the samples need one by one, whatever the shards and batches."""
    tables = []
    for shard, batch in ((3, 3), (2, 1)):
        suite = suite_from_objects(
            {
                **KEYS,
                "models": ["ldm-mnist"],
                "samplers": ["dpm-adaptive"],
                "samples": {"n": 5, "shard": shard},
                "metrics": ["is"],
                "run": {"batch_size": batch, "device": "cpu", "keep": {"samples": 0}},
                "timing": {"seconds": 0},
            }
        )
        summary = run(suite, tmp_path / str(shard))
        tables.append(results.read(summary.folder))
    nfe = [table["nfe"].iloc[0] for table in tables]
    assert nfe[0] == pytest.approx(nfe[1]) and nfe[0] > 10
    assert tables[0]["budget"].isna().all()
