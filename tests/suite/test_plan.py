from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from diffbench.catalog import SAMPLERS
from diffbench.diffusion.grid import time_grid
from diffbench.suite.identity import digest
from diffbench.suite.plan import Cell, plan
from diffbench.suite.read import suite_from_objects


def cells(only: str | None = None, **keys: Any) -> list[Cell]:
    suite = {"name": "x", "models": ["ddpm-mnist"], "samplers": ["ddim"], "budgets": {"nfe": [5]}, **keys}
    return plan(suite_from_objects(suite), only)


def test_models_samplers_budgets_in_the_suites_order() -> None:
    planned = cells(
        models=["score-vp-mnist", "ddpm-mnist"], samplers=["heun", "ddim"], budgets={"steps": [3], "nfe": [10, 5]}
    )
    assert [cell.key for cell in planned] == [
        f"{model}/{sampler}/{budget}"
        for model in ("score-vp-mnist", "ddpm-mnist")
        for sampler in ("heun", "ddim")
        for budget in ("nfe=10", "nfe=5", "steps=3")
    ]


def test_sweeps_multiply_and_show_only_what_is_swept() -> None:
    planned = cells(
        models=[
            {"id": "m", "name": "ddpm-mnist", "sweep": {"dtype": ["float32", "bfloat16"], "clip": [None, [-1, 1]]}}
        ],
        samplers=[{"id": "s", "sampler": "heun", "s_min": 0.5, "sweep": {"s_churn": [0, 4], "s_noise": [1, 1.1]}}],
    )
    assert len(planned) == 16
    first, last = planned[0], planned[-1]
    assert first.options == {"dtype": "float32", "clip": None, "s_churn": 0.0, "s_noise": 1.0}
    assert last.options == {"dtype": "bfloat16", "clip": [-1.0, 1.0], "s_churn": 4.0, "s_noise": 1.1}
    assert last.method_options == {"s_churn": 4.0, "s_min": 0.5, "s_max": 1e9, "s_noise": 1.1}
    assert (first.card.clip, last.card.clip) == (None, (-1.0, 1.0))
    assert (first.dtype, last.dtype) == ("float32", "bfloat16")
    assert first.channels_last and last.channels_last
    assert len({cell.id for cell in planned}) == 12, "without churn its noise means nothing"
    assert first.key == "m/s[dtype=float32,clip=null,s_churn=0.0,s_noise=1.0]/nfe=5"


def test_clip_unset_is_the_cards_and_null_is_off() -> None:
    (unset, off) = cells(models=["ddpm-mnist", {"id": "off", "name": "ddpm-mnist", "clip": None}])
    assert unset.card.clip == (-1.0, 1.0)
    assert off.card.clip is None
    assert unset.id != off.id


def test_include_adds_and_exclude_takes_away() -> None:
    planned = cells(
        samplers=["ddim", "heun"],
        budgets={"nfe": [5, 10]},
        include=[
            {"model": "ddpm-mnist", "sampler": "ddim", "steps": 1000},
            {"model": "ddpm-mnist", "sampler": "ddim", "nfe": 5},
        ],
        exclude=[{"sampler": "heun", "nfe": 5}, {"nfe": 10, "model": "ddpm-mnist", "sampler": "ddim"}],
    )
    keys = ["ddpm-mnist/ddim/nfe=5", "ddpm-mnist/heun/nfe=10", "ddpm-mnist/ddim/steps=1000"]
    assert [cell.key for cell in planned] == keys


def test_exclude_also_takes_away_what_include_adds() -> None:
    more = {"model": "ddpm-mnist", "sampler": "ddim", "steps": 7}
    assert [cell.budget for cell in cells(include=[more], exclude=[{"steps": 7}])] == [5]


@pytest.mark.parametrize(
    "sampler, final, budget, steps, nfe",
    [
        ("ddim", "denoise", 10, 10, 10),
        ("heun", "denoise", 10, 5, 9),
        ("heun", "denoise", 1, 1, 1),
        ("heun", "denoise", 2, 1, 1),
        ("heun", "sigma_min", 10, 5, 10),
        ("heun", "sigma_min", 11, 5, 10),
        ("dpmpp-2m", "denoise", 50, 50, 50),
    ],
)
def test_a_budget_of_evaluations_buys_steps(sampler: str, final: str, budget: int, steps: int, nfe: int) -> None:
    (cell,) = cells(samplers=[{"id": "s", "sampler": sampler, "final": final}], budgets={"nfe": [budget]})
    assert (cell.budget_kind, cell.budget, cell.steps, cell.nfe) == ("nfe", budget, steps, nfe)
    assert cell.grid is not None and cell.grid.steps == steps and cell.grid.final == final


def test_a_budget_of_steps_costs_evaluations() -> None:
    (cell,) = cells(samplers=["heun"], budgets={"steps": [10]})
    assert (cell.budget_kind, cell.budget, cell.steps, cell.nfe) == ("steps", 10, 10, 19)


def test_the_grid_is_the_models_own_unless_the_suite_sets_one() -> None:
    karras = {"id": "k", "sampler": "ddim", "grid": {"kind": "karras", "rho": 5, "sigma_max": 40}}
    planned = cells(models=["ddpm-mnist", "score-ve-mnist"], samplers=["ddim", karras])
    assert [cell.grid_label for cell in planned] == [
        "trailing",
        "karras(sigma_max=40, rho=5)",
        "karras(rho=7)",
        "karras(sigma_max=40, rho=5)",
    ]
    ours = ("karras", {"rho": 5, "sigma_max": 40})
    for cell, (kind, options) in zip(planned, [("trailing", {}), ours, ("karras", {"rho": 7}), ours], strict=True):
        expected = time_grid(cell.card.schedule_object(), 5, kind, **options)
        assert cell.grid is not None
        np.testing.assert_array_equal(cell.grid.sigma, expected.sigma)


@pytest.mark.parametrize(
    "sampler, grid, budgets, reason",
    [
        (
            "euler-maruyama",
            None,
            {"nfe": [5]},
            "euler-maruyama needs the family's SDE; ddpm-mnist has a discrete schedule",
        ),
        ("ddim", None, {"steps": [1001]}, "1001 points do not fit into 1000 indices"),
        ("ddim", {"kind": "explicit", "sigmas": [3, 1]}, {"nfe": [3]}, "3 sigmas are needed"),
        ("ddim", {"kind": "karras", "sigma_max": 1e6}, {"nfe": [3]}, "outside the model's range"),
    ],
)
def test_what_can_not_be_run_is_skipped_with_the_reason(sampler: str, grid: Any, budgets: Any, reason: str) -> None:
    entry = {"id": "s", "sampler": sampler, **({"grid": grid} if grid else {})}
    (cell,) = cells(samplers=[entry], budgets=budgets)
    assert cell.skip is not None and reason in cell.skip
    assert (cell.grid, cell.steps, cell.nfe, cell.same_as) == (None, None, None, None)
    assert len(cell.id) == 16
    json.dumps(cell.to_dict(), allow_nan=False)


def test_a_budget_too_small_for_one_step_is_skipped() -> None:
    (cell,) = cells(samplers=[{"id": "s", "sampler": "heun", "final": "sigma_min"}], budgets={"nfe": [1]})
    assert cell.skip == "1 evaluations are too few: one step of heun costs 2"


def test_a_continuous_schedule_without_an_sde_is_skipped_too(tmp_path: Path, ddpm: dict) -> None:
    flow = {**ddpm, "name": "flow", "prediction": "flow", "schedule": {"kind": "flow"}}
    flow["time"] = {"input": "scaled", "scale": 1000}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(flow))
    (cell,) = cells(models=[{"source": str(tmp_path)}], samplers=["euler-maruyama"])
    assert cell.skip == "euler-maruyama needs the family's SDE; flow has a schedule without an SDE"


def test_a_learned_variance_is_skipped_where_the_network_predicts_none(tmp_path: Path, ddpm: dict) -> None:
    (tmp_path / "card.yaml").write_text(yaml.safe_dump({**ddpm, "name": "learned", "variance": "learned-range"}))
    swept = {"id": "d", "sampler": "ddpm", "sweep": {"variance": ["fixed_large", "learned"]}}
    planned = cells(models=["ddpm-mnist", {"source": str(tmp_path)}], samplers=[swept, "ddim"])
    reason = "ddpm with variance learned needs a network that predicts it; that of ddpm-mnist does not"
    assert [(cell.model, cell.options.get("variance"), cell.skip) for cell in planned] == [
        ("ddpm-mnist", "fixed_large", None),
        ("ddpm-mnist", "learned", reason),
        ("ddpm-mnist", None, None),
        ("learned", "fixed_large", None),
        ("learned", "learned", None),
        ("learned", None, None),
    ]
    assert len({cell.id for cell in planned}) == 6


def test_skipped_cells_have_ids_of_their_own() -> None:
    planned = cells(samplers=["euler-maruyama"], budgets={"nfe": [5, 10], "steps": [5]})
    assert len({cell.id for cell in planned}) == 3


def test_identical_cells_point_at_the_first() -> None:
    planned = cells(
        models=["ddpm-mnist", {"id": "copy", "name": "ddpm-mnist"}],
        samplers=["ddpm", {"id": "a", "sampler": "ddim", "sweep": {"eta": [0.0, 1.0]}}],
        budgets={"nfe": [5], "steps": [5]},
    )
    by_key = {cell.key: cell for cell in planned}
    first = "ddpm-mnist/ddpm/nfe=5"
    assert by_key[first].same_as is None
    for key in (
        "ddpm-mnist/ddpm/steps=5",
        "ddpm-mnist/a[eta=1.0]/nfe=5",
        "ddpm-mnist/a[eta=1.0]/steps=5",
        "copy/ddpm/nfe=5",
        "copy/a[eta=1.0]/steps=5",
    ):
        assert by_key[key].same_as == first
        assert by_key[key].id == by_key[first].id
    assert by_key["ddpm-mnist/a[eta=0.0]/nfe=5"].same_as is None
    assert by_key["copy/a[eta=0.0]/nfe=5"].same_as == "ddpm-mnist/a[eta=0.0]/nfe=5"


def test_same_as_never_points_at_a_cell_that_was_not_selected() -> None:
    (cell,) = cells("sampler=a", samplers=["ddpm", {"id": "a", "sampler": "ddim", "eta": 1}])
    assert cell.same_as is None


def test_a_batch_is_never_larger_than_a_shard() -> None:
    (cell,) = cells(samples={"n": 100, "shard": 20}, run={"batch_size": 64})
    assert (cell.batch_size, cell.shard, cell.n) == (20, 20, 100)


def test_keys_are_unique() -> None:
    names = [name for name, entry in SAMPLERS.items() if not entry.adaptive]
    planned = cells(samplers=names, budgets={"nfe": [5, 10], "steps": [5, 10]})
    assert len({cell.key for cell in planned}) == len(planned) == 4 * len(names)


def test_a_cell_can_be_written_down() -> None:
    (cell,) = cells(samples=32)
    said = json.loads(json.dumps(cell.to_dict(), allow_nan=False))
    assert said["id"] == cell.id == digest(said["identity"]) and said["method"] == "ddim"
    assert said["identity"]["model"]["clip"] == [-1.0, 1.0] and said["identity"]["final"] == "denoise"
    assert cell.grid is not None
    np.testing.assert_array_equal(said["sigma"], cell.grid.sigma)
    np.testing.assert_array_equal(said["t"], cell.grid.t)


def test_the_largest_suite_is_planned() -> None:
    sweep = {"eta": [i / 200 for i in range(200)]}
    planned = cells(samplers=[{"id": "s", "sampler": "ddim", "sweep": sweep}], budgets={"nfe": list(range(1, 11))})
    assert len({cell.id for cell in planned}) == 2000
