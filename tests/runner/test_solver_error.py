"""solver_error from the suite to the table, on an untrained network without clipping."""

import json

import numpy as np
import pytest

from diffbench import results
from diffbench.report.folder import open_run
from diffbench.report.page import draw
from diffbench.runner.engine import execute as run_suite
from diffbench.runner.merge import merge_runs
from diffbench.status.stored import Part, distinct
from diffbench.store.shards import ShardRange, Store
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite_text, resolved, suite_from_objects
from diffbench.suite.solution import solutions_of

METRICS = ["solver_error", "solver_error_features"]
GRID = {"kind": "log-snr"}


def suite(checkpoint, **changes):
    base = {
        "name": "solved",
        "samples": {"n": 3, "shard": 2},
        "models": [{"id": "tiny", "source": str(checkpoint), "clip": None}],
        "samplers": [
            {"id": "ddim", "sampler": "ddim", "grid": GRID},
            {"id": "heun", "sampler": "heun", "grid": GRID},
            {"id": "dpmpp-2m", "sampler": "dpmpp-2m", "grid": GRID},
            "ddpm",
        ],
        "budgets": {"steps": [8, 16, 32]},
        "metrics": [{"metric": name, "reference_steps": 128} for name in METRICS],
        "run": {"batch_size": 2, "device": "cpu", "keep": {"samples": 2}},
        "timing": {"seconds": 0},
    }
    return suite_from_objects({**base, **changes})


@pytest.fixture(scope="module")
def finished(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("solved") / "run"
    run_suite(suite(checkpoint), folder, quiet=True)
    return folder


def of(folder, sampler, metric="solver_error"):
    table = results.read(folder)
    return table[(table["sampler"] == sampler) & (table["metric"] == metric)].sort_values("budget")


def test_error_falls_and_states_the_reference_s_own_convergence(finished):
    for sampler in ("ddim", "heun", "dpmpp-2m"):
        rows = of(finished, sampler)
        assert rows["value"].is_monotonic_decreasing and (rows["value"] > 0).all(), sampler
        assert (rows["ci_low"] <= rows["value"]).all()
        assert rows["reason"].str.contains("moves by .* when its steps are halved").all()


def test_the_converged_solution_is_sampled_once_a_model_and_not_in_the_table(checkpoint, finished):
    cells = plan(suite(checkpoint))
    hidden = solutions_of(cells)
    assert [(c.method, c.steps) for c in hidden] == [("heun", 128), ("heun", 64)] * (len(hidden) // 2)
    starts = {float(c.grid.sigma[0]) for c in cells if not isinstance(next(iter(c.solutions.values())), str)}
    assert {float(c.grid.sigma[0]) for c in hidden} == starts
    assert len(distinct(cells)) == len(list((finished / "cells").iterdir()))
    assert "converged solution" not in set(results.read(finished)["sampler"])
    arrays, _ = Store(finished).read(hidden[0].id, ShardRange(0, 2), "x0")
    assert arrays["x0"].shape == (2, 1, 28, 28) and arrays["x0"].dtype == np.float32


def test_what_solves_no_ode_is_null_with_the_reason(checkpoint, finished, tmp_path):
    noisy = of(finished, "ddpm")
    assert noisy["value"].isna().all() and noisy["reason"].str.contains("adds noise").all()
    clipped = suite(checkpoint, models=[{"id": "tiny", "source": str(checkpoint)}], budgets={"steps": [2]})
    run_suite(clipped, tmp_path / "run", quiet=True)
    rows = of(tmp_path / "run", "ddim")
    assert rows["value"].isna().all() and rows["reason"].str.contains("clipped").all()
    assert not solutions_of(plan(clipped))


def test_an_error_below_the_reference_s_own_movement_is_not_told(checkpoint, tmp_path):
    coarse = suite(checkpoint, metrics=[{"metric": "solver_error", "reference_steps": 4}], budgets={"steps": [64]})
    run_suite(coarse, tmp_path / "run", quiet=True)
    far = of(tmp_path / "run", "dpmpp-2m")
    assert far["value"].isna().all() or (far["reason"].str.contains("moves by")).all()


def test_a_lost_x0_is_made_again_and_the_table_stays(checkpoint, finished):
    before = (finished / results.PARQUET).read_bytes()
    assert run_suite(suite(checkpoint), finished, quiet=True).sampled == 0
    hidden = solutions_of(plan(suite(checkpoint)))[0]
    next(Store(finished).folder(hidden.id).glob("*.x0.safetensors")).unlink()
    assert run_suite(suite(checkpoint), finished, quiet=True).sampled == 1
    assert (finished / results.PARQUET).read_bytes() == before


def test_a_run_without_x0_samples_again_when_it_is_asked_for(checkpoint, tmp_path):
    few = {"samplers": [{"id": "ddim", "sampler": "ddim", "grid": GRID}], "budgets": {"steps": [4]}}
    run_suite(suite(checkpoint, metrics=["is"], **few), tmp_path / "run", quiet=True)
    asked = suite(checkpoint, metrics=["is", {"metric": "solver_error", "reference_steps": 16}], **few)
    assert run_suite(asked, tmp_path / "run", quiet=True).sampled == 2 * 3
    assert of(tmp_path / "run", "ddim")["value"].notna().all()


def test_parts_merge_to_the_same_table(checkpoint, finished, tmp_path):
    parts = [tmp_path / f"part{i}" for i in range(2)]
    for index, folder in enumerate(parts):
        run_suite(suite(checkpoint), folder, quiet=True, part=Part(index, 2))
    merge_runs(tmp_path / "whole", parts)
    assert run_suite(suite(checkpoint), tmp_path / "whole", quiet=True).sampled == 0
    for name in METRICS:
        assert list(of(tmp_path / "whole", "heun", name)["value"]) == list(of(finished, "heun", name)["value"])


def test_the_suite_reads_back(checkpoint):
    again = read_suite_text(resolved(suite(checkpoint)))
    assert [c.id for c in distinct(plan(again))] == [c.id for c in distinct(plan(suite(checkpoint)))]


def test_the_figure_and_its_orders(finished):
    files = {path.name for path in draw(finished)}
    assert {"solver_error_convergence.png", "solver_error_features_convergence.csv"} <= files
    run = open_run(finished)
    assert "solver_error_convergence" in (finished / "report.md").read_text()
    assert json.loads(run.cells[0].options) == {}
