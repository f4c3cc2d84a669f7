"""solver_error from the suite to the table and the page: on an exactly known mixture, and on an untrained network."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_run import run

from diffbench import results
from diffbench.report.page import draw
from diffbench.runner import distance
from diffbench.runner.distance import CONVERGENCE
from diffbench.runner.gc import free
from diffbench.runner.merge import merge_runs
from diffbench.scoring.solver_error import RESOLVED
from diffbench.status.cost import Rate, Rates
from diffbench.status.explain import explain
from diffbench.status.show import plan_rows, plan_summary
from diffbench.status.stored import CellState, Part, distinct
from diffbench.store.sealed import read_sealed
from diffbench.store.shards import Flaw, ShardRange, Store, shard_ranges
from diffbench.suite.cell import Solution
from diffbench.suite.choices import GridChoice
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite_text, resolved, suite_from_objects
from diffbench.suite.solution import NAME, Solutions, solutions_of

ORDERS = {"ddim": 1, "heun": 2, "dpmpp-2m": 2}
GRID = "log-snr"


def sampler(name, **more):
    return {"id": name, "sampler": name, "grid": GRID, **more}


def suite(**changes):
    base = {
        "name": "solved",
        "samples": {"n": 5, "shard": 3},
        "models": ["gaussian-mixture"],
        "samplers": [*map(sampler, ORDERS), "euler-maruyama"],
        "budgets": {"nfe": [64, 128, 256]},
        "metrics": [{"metric": "solver_error", "reference_steps": 512}, "is"],
        "run": {"batch_size": 3, "device": "cpu", "keep": {"samples": 2}},
        "timing": {"seconds": 0},
    }
    return suite_from_objects({**base, **changes})


def network(checkpoint, **changes):
    tiny = {"models": [{"id": "tiny", "source": str(checkpoint), "clip": None}], "samplers": [sampler("ddim")]}
    both = [{"metric": f"solver_error{end}", "reference_steps": 16} for end in ("", "_features")]
    return suite(**{**tiny, "budgets": {"nfe": [3]}, "metrics": both, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("solved") / "run"
    run(suite(), folder)
    return folder


def of(folder, name, metric="solver_error"):
    table = results.read(folder)
    return table[(table["sampler"] == name) & (table["metric"] == metric)].sort_values("budget")


def test_the_fitted_orders_are_the_documented_ones_through_the_whole_pipeline(finished):
    content = read_sealed(finished / CONVERGENCE)["solver_error"]
    fits = {entry["sampler"]: entry for entry in content["orders"]}
    assert fits.keys() == ORDERS.keys(), "a sampler that adds noise has none"
    for name, order in ORDERS.items():
        assert abs(fits[name]["order"] - order) <= 0.15, (name, fits[name])
        assert fits[name]["ci_low"] < fits[name]["order"] < fits[name]["ci_high"]
    (solution,) = content["solutions"].values()
    errors = [value for name in ORDERS for value in of(finished, name)["value"]]
    assert 0 < solution["own_error"] < min(errors) / RESOLVED
    assert solution["model"] == "gaussian-mixture" and solution["solution"] == "deis, 512 steps on log-snr"


def test_the_table_has_values_intervals_and_how_exact_the_solution_is(finished):
    for name in ORDERS:
        rows = of(finished, name)
        assert rows["value"].is_monotonic_decreasing and (rows["value"] > 0).all(), name
        assert (rows["ci_low"] < rows["value"]).all() and (rows["value"] < rows["ci_high"]).all()
        assert rows["reason"].str.fullmatch(r"the converged solution \(deis, .*\) is exact to [\d.e-]+").all()
    assert of(finished, "ddim")["extractor"].isna().all()


def test_what_has_no_extractor_has_no_other_score(finished):
    rows = of(finished, "ddim", "is")
    assert rows["value"].isna().all() and (rows["status"] == "ok").all()
    assert rows["reason"].str.contains("gaussian-mixture has no feature extractor").all()


def test_what_solves_no_ode_is_null_with_the_reason(finished, checkpoint):
    noisy = of(finished, "euler-maruyama")
    assert noisy["value"].isna().all() and noisy["reason"].str.contains("adds noise").all()
    clipped = plan(network(checkpoint, models=[{"id": "tiny", "source": str(checkpoint)}]))
    assert all("clipped" in reason for cell in clipped for reason in cell.solutions.values())
    assert not solutions_of(clipped)


def test_a_sampler_that_is_not_in_the_catalog_is_not_held_to_an_ode():
    """As those of other libraries: nobody knows whether they add noise."""
    spec = suite(samplers=[sampler("heun")], budgets={"nfe": [4]})
    (cell,) = plan(spec)
    unknown = replace(cell, method="library:heun", solutions={}, nfe=None)
    schedule, grid = cell.card.schedule_object(), GridChoice.model_validate(GRID)
    known = Solutions(spec.metrics).beside(replace(unknown, method="heun"), schedule, grid)
    assert isinstance(known.solutions["solver_error"], Solution), "evaluations that are not planned don't matter"
    planned = Solutions(spec.metrics).beside(unknown, schedule, grid)
    assert planned.solutions["solver_error"].startswith("whether the sampler adds noise is not known")
    assert planned.keep_x0, "there are no features to keep"


def test_adaptive_samplers_converge_along_their_tolerances(tmp_path):
    rk45 = {"id": "rk", "sampler": "rk45", "sweep": {"rtol": [1e-2, 1e-3, 1e-4]}, "atol": 1e-5}
    run(suite(samplers=[rk45]), tmp_path / "run")
    rows = of(tmp_path / "run", "rk").sort_values("nfe")
    assert rows["budget"].isna().all() and rows["value"].is_monotonic_decreasing and (rows["value"] > 0).all()
    (fit,) = read_sealed(tmp_path / "run" / CONVERGENCE)["solver_error"]["orders"]
    assert fit["options"] == {} and fit["order"] is None and "its own steps" in fit["reason"]
    draw(tmp_path / "run")
    assert "| gaussian-mixture | rk | 5 |" in (tmp_path / "run" / "report.md").read_text()


def test_a_scheduler_with_its_own_noise_levels_is_null_with_the_reason(checkpoint):
    of_diffusers = [{"id": name, "sampler": f"diffusers:{name}Scheduler"} for name in ("DDIM", "DDPM")]
    ddim, ddpm = plan(network(checkpoint, samplers=of_diffusers))
    assert "its own noise levels" in ddim.solutions["solver_error"] and ddim.skip is None
    assert "adds noise" in ddpm.solutions["solver_error"]


def test_the_plan_says_what_solutions_cost():
    cells = plan(suite())
    states = [CellState(cell, 2, {shard: Flaw("missing", "") for shard in shard_ranges(cell.n, cell.shard)})
              for cell in [*cells, *solutions_of(cells)] if cell.skip is None]  # fmt: skip
    rates = Rates({(cells[0].model_key, 3): Rate(0.0, 0.01)}, "a device", "a guess")
    lines = plan_summary(plan_rows(states, rates, 0), states, rates)
    evaluations = 5 * (512 + 256)
    said = "2 of these cells are converged solutions for solver errors: 3,840 of these evaluations, about 38 s"
    assert said in lines and evaluations == 3840
    assert any(f"{evaluations + 5 * sum(c.nfe for c in cells):,} evaluations" in line for line in lines)


def test_solutions_share_starts_and_landings_with_the_cells(checkpoint):
    """One for all grids with the model's own ends; others for another start, another landing, and sigma_min kept."""
    samplers = [
        sampler("ddim"),
        {"id": "trailing", "sampler": "heun", "grid": "trailing"},
        {"id": "late", "sampler": "ddim", "grid": {"kind": "karras", "sigma_max": 20.0}},
        {"id": "early", "sampler": "ddim", "grid": {"kind": "karras", "sigma_min": 0.1}},
        {"id": "timed", "sampler": "ddim", "grid": {"kind": "time", "t_end": 0.05}},
        {"id": "kept", "sampler": "ddim", "grid": "karras", "final": "sigma_min"},
    ]
    cells = {cell.sampler: cell for cell in plan(suite(samplers=samplers, budgets={"steps": [4]}))}
    ends = {}
    for name, cell in cells.items():
        solution = cell.solutions["solver_error"]
        assert isinstance(solution, Solution)
        for one, steps in ((solution.cell, 512), (solution.half, 256)):
            assert one.grid.steps == steps == one.nfe and one.grid.final == cell.grid.final
            for own, theirs in ((one.grid.t, cell.grid.t), (one.grid.sigma, cell.grid.sigma)):
                assert (own[0], own[-1]) == (theirs[0], theirs[-1])
        ends[name] = solution.cell.id, float(solution.cell.grid.sigma[-2])
    schedule = cells["ddim"].card.schedule_object()
    assert ends["ddim"] == ends["trailing"] and ends["ddim"][1] == pytest.approx(schedule.sigma_min)
    assert ends["early"][1] == pytest.approx(0.1) and ends["timed"][1] == pytest.approx(schedule.sigma(0.05))
    assert len({solution for solution, _ in ends.values()}) == 5


def test_solutions_are_sampled_once_and_are_not_in_the_table(finished):
    cells = plan(suite())
    hidden = solutions_of(cells)
    assert [(cell.sampler, cell.steps) for cell in hidden] == [(NAME, 512), (NAME, 256)]
    assert len(distinct(cells)) == len(list((finished / "cells").iterdir()))
    assert NAME not in set(results.read(finished)["sampler"])
    arrays, _ = Store(finished).read(hidden[0].id, ShardRange(0, 3), "x0")
    assert arrays["x0"].shape == (3, 1, 4, 4) and arrays["x0"].dtype == np.float32
    assert "2 of 2 shards are there and whole" in explain(hidden[0].id, finished)


def test_an_error_below_the_solutions_own_is_not_told_and_one_near_it_is_marked(tmp_path):
    coarse = suite(
        metrics=[{"metric": "solver_error", "reference_steps": 16}], samplers=[sampler("deis", variable="log-rho")],
        budgets={"nfe": [15, 16, 17]},
    )  # fmt: skip
    run(coarse, tmp_path / "run")
    reasons = of(tmp_path / "run", "deis")["reason"].tolist()
    assert any("not told apart" in reason for reason in reasons)
    assert all("not told apart" in reason or "too near" in reason for reason in reasons)
    (fit,) = read_sealed(tmp_path / "run" / CONVERGENCE)["solver_error"]["orders"]
    assert fit["order"] is None and "0 points above" in fit["reason"]


def test_no_order_is_fitted_across_solutions(tmp_path):
    """Grids of few steps that keep their own last noise level land elsewhere at every budget."""
    kept = {"id": "kept", "sampler": "ddim", "grid": "trailing", "final": "sigma_min"}
    run(suite(samplers=[kept], metrics=[{"metric": "solver_error", "reference_steps": 64}]), tmp_path / "run")
    assert of(tmp_path / "run", "kept")["value"].notna().all()
    content = read_sealed(tmp_path / "run" / CONVERGENCE)["solver_error"]
    (fit,) = content["orders"]
    assert fit["order"] is None and "different solutions" in fit["reason"] and len(content["solutions"]) == 3


def test_features_are_exact_to_the_rounding_of_images_at_best(checkpoint, tmp_path, monkeypatch):
    """Where both solutions round to the same images."""
    monkeypatch.setattr(distance, "own_error", lambda solution, half: 0.0)
    run(network(checkpoint), tmp_path / "run")
    content = read_sealed(tmp_path / "run" / CONVERGENCE)
    (pixels,), (features,) = (content[f"solver_error{end}"]["solutions"].values() for end in ("", "_features"))
    assert pixels["own_error"] == 0 and 1e-4 < features["own_error"] < 1


def test_a_lost_x0_is_made_again_and_the_table_stays(finished):
    before = (finished / results.PARQUET).read_bytes()
    assert run(suite(), finished).sampled == 0
    hidden = solutions_of(plan(suite()))[0]
    next(Store(finished).folder(hidden.id).glob("*.x0.safetensors")).unlink()
    assert run(suite(), finished).sampled == 1
    assert (finished / results.PARQUET).read_bytes() == before


def test_a_run_without_x0_samples_again_when_it_is_asked_for(checkpoint, tmp_path):
    run(network(checkpoint, metrics=["is"]), tmp_path / "run")
    assert not (tmp_path / "run" / CONVERGENCE).exists()
    assert run(network(checkpoint), tmp_path / "run").sampled == 2 * 3
    assert of(tmp_path / "run", "ddim")["value"].notna().all()
    features = of(tmp_path / "run", "ddim", "solver_error_features")
    assert features["value"].notna().all() and features["extractor"].notna().all()


def test_freed_features_cost_no_score_and_solutions_are_kept(checkpoint, tmp_path):
    folder, whole = tmp_path / "run", network(checkpoint)
    run(whole, folder)
    before = (folder / results.PARQUET).read_bytes()
    assert free(folder, features=True)["features of scored cells"][0] == 4, "features and x0 of the cell's two shards"
    for hidden in solutions_of(plan(whole)):
        assert len(list(Store(folder).folder(hidden.id).glob("*.x0.safetensors"))) == 2
    assert run(whole, folder).sampled == 0
    assert (folder / results.PARQUET).read_bytes() == before


def test_parts_merge_to_the_same_table(tmp_path):
    few = suite(metrics=[{"metric": "solver_error", "reference_steps": 32}], budgets={"nfe": [4, 6, 8]})
    parts = [tmp_path / f"part{i}" for i in range(2)]
    for index, folder in enumerate(parts):
        run(few, folder, part=Part(index, 2))
    merge_runs(tmp_path / "merged", parts)
    assert run(few, tmp_path / "merged").sampled == 0
    run(few, tmp_path / "whole")
    for name in (results.CSV, CONVERGENCE):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_selection_makes_its_own_solutions_only(tmp_path):
    both = suite(
        samplers=[sampler("ddim"), {"id": "late", "sampler": "ddim", "grid": {"kind": "karras", "sigma_max": 20.0}}],
        budgets={"nfe": [4]}, metrics=[{"metric": "solver_error", "reference_steps": 16}],
    )  # fmt: skip
    assert run(both, tmp_path / "run", only="sampler=ddim").sampled == 2 * 3
    assert run(both, tmp_path / "run", only="sampler=late").sampled == 2 * 3
    assert set(results.read(tmp_path / "run")["sampler"]) == {"ddim", "late"}


def test_the_suite_reads_back():
    again = read_suite_text(resolved(suite()))
    assert [c.id for c in distinct(plan(again))] == [c.id for c in distinct(plan(suite()))]


def test_the_figure_its_numbers_and_the_page(finished):
    files = {path.name for path in draw(finished)}
    assert {"solver_error_convergence.png", "solver_error_convergence.csv", "orders.md", "orders.csv"} <= files
    page = (finished / "report.md").read_text()
    assert "figures/solver_error_convergence.png" in page and "| gaussian-mixture | heun | 2 |" in page
    numbers = (finished / "figures" / "solver_error_convergence.csv").read_text()
    assert "fitted_order,fitted_order_low,fitted_order_high" in numbers
    order = next(e["order"] for e in read_sealed(finished / CONVERGENCE)["solver_error"]["orders"])
    assert repr(order)[:8] in numbers
    assert json.loads((finished / CONVERGENCE).read_text())["sha256"], "sealed like every file of a run"
