"""Options, grids and budgets that no sampler can run with: an error at its place, or a skipped cell with the reason.

Never a wrong number, and never an exception of another kind.
"""

import pytest
import yaml

from diffbench.catalog import GRIDS, SAMPLERS
from diffbench.errors import SuiteError
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite_text

HEAD = "name: x\nmodels: [{model}]\nbudgets: {{{budget}}}\nsamplers: [{{id: a, sampler: {sampler}}}]\n"


def planned(sampler, model="ddpm-mnist", budget="steps: [6]"):
    (cell,) = plan(read_suite_text(HEAD.format(model=model, budget=budget, sampler=sampler), "s.yaml"))
    return cell


def refused(sampler, wrong, **keys):
    """The message of the one error, which must be at ``wrong``, the first time that it stands in the last line."""
    with pytest.raises(SuiteError) as caught:
        planned(sampler, **keys)
    (problem,) = caught.value.problems
    line = f"samplers: [{{id: a, sampler: {sampler}}}]"
    assert (problem.line, problem.column) == (4, line.index(wrong) + 1), problem
    return problem.message


OPTIONS = [
    ("ddim", "eta", "-1e-9", "a number from 0 to 1"),
    ("euler-ancestral", "eta", "2", "a number from 0 to 1"),
    ("ddpm", "variance", "large", "expected one of"),
    ("heun", "s_churn", "-1", "a number of at least 0"),
    ("heun", "s_max", "0", "a number above 0"),
    ("edm-euler", "s_noise", "0", "a number of at most 10 and above 0"),
    ("restart", "s_min", "0", "a number above 0"),
    ("restart", "restart_steps", "0", "a whole number from 1 to 1000"),
    ("restart", "iterations", "1001", "a whole number from 1 to 1000"),
    ("unipc", "order", "4", "a whole number from 1 to 3"),
    ("unipc", "order", "2.5", "a whole number from 1 to 3"),
    ("unipc", "variant", "bh3", "expected one of"),
    ("lms", "order", "0", "a whole number from 1 to 4"),
    ("ipndm", "order", "5", "a whole number from 1 to 4"),
    ("deis", "degree", "-1", "a whole number from 0 to 3"),
    ("deis", "variable", "lambda", "expected one of"),
    ("sa-solver", "tau", "-1", "a number from 0 to 2"),
    ("sa-solver", "predictor_order", "0", "a whole number from 1 to 4"),
    ("sa-solver", "corrector_order", "5", "a whole number from 0 to 4"),
    ("langevin", "snr", "0", "a number of at most 1 and above 0"),
    ("langevin", "corrector_steps", "0", "a whole number from 1 to 1000"),
    ("predictor-corrector", "predictor", "euler", "expected one of"),
    ("rk45", "rtol", "0", "a number above 0"),
    ("dpm-adaptive", "atol", "-1", "a number above 0"),
    ("dpm-adaptive", "order", "1", "expected one of"),
]


@pytest.mark.parametrize(("sampler", "option", "value", "expected"), OPTIONS)
def test_an_option_out_of_its_range_is_an_error_at_its_value(sampler, option, value, expected):
    message = refused(f"{sampler}, {option}: {value}", f"{value}")
    assert message.startswith(f"samplers[0].{option}: ") and expected in message


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "'1'", "true", "[1]"])
def test_no_option_takes_what_is_no_finite_number(value):
    for name, entry in SAMPLERS.items():
        for option, field in entry.options.model_fields.items():
            if field.annotation in (int, float):
                assert refused(f"{name}, {option}: {value}", value).startswith(f"samplers[0].{option}: ")


@pytest.mark.parametrize("value", ["1e308", "1e-308", "-1e-308", "-1e308", "0"])
def test_extreme_options_are_errors_or_make_plans_that_are_finite(value):
    for name, entry in SAMPLERS.items():
        for option, field in entry.options.model_fields.items():
            if field.annotation is not float:
                continue
            try:
                cell = planned(f"{name}, {option}: {value}")
            except SuiteError as error:
                assert [problem.line for problem in error.problems] == [4], (name, option)
            else:
                assert cell.skip or cell.grid is not None


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("restart, s_min: 0.3", "s_min must be below s_max, got 0.3 and 0.3"),
        ("heun, s_churn: 9, s_min: 5, s_max: 1", "s_min must not be above s_max, got 5 and 1"),
        ("edm-euler, s_min: 5, s_max: 1", "s_min must not be above s_max, got 5 and 1"),
        ("sa-solver, s_min: 5, s_max: 1", "s_min must not be above s_max, got 5 and 1"),
    ],
)
def test_an_empty_range_of_sigmas_is_an_error(sampler, message):
    assert refused(sampler, "{id").endswith(message)


RHO = [kind for kind, options in GRIDS.items() if "rho" in options.model_fields]


@pytest.mark.parametrize("kind", RHO)
def test_a_grids_rho_is_a_positive_finite_number(kind):
    for value in ("-1", "-7", "0", "-1e308", ".nan", ".inf", "'7'"):
        message = refused(f"ddim, grid: {{kind: {kind}, rho: {value}}}", value)
        assert message.startswith("samplers[0].grid.rho: ")


@pytest.mark.parametrize("model", ["ddpm-mnist", "score-vp-mnist", "score-ve-mnist", "ldm-mnist"])
@pytest.mark.parametrize("kind", RHO)
def test_an_extreme_rho_skips_the_cell(kind, model):
    for value in ("1e308", "1e-308", "5e-324"):
        cell = planned(f"ddim, grid: {{kind: {kind}, rho: {value}}}", model=model)
        assert cell.skip is not None
        assert "sigma must decrease strictly" in cell.skip or "not finite" in cell.skip


GRID_ERRORS = [
    ("{kind: explicit, sigmas: [5, 4, 3, 2, 1, §1]}", "grid.sigmas[5]: 1 is not allowed"),
    ("{kind: explicit, sigmas: [5, 4, 3, 2, 1, §.nan]}", "grid.sigmas[5]: .nan is not a finite number"),
    ("{kind: explicit, sigmas: [5, 4, 3, 2, 1, §0]}", "grid.sigmas[5]: 0 is not allowed"),
    ("{kind: time, t_end: §-1}", "grid.t_end: -1 is not allowed"),
    ("{kind: log-snr, sigma_min: §-1}", "grid.sigma_min: -1 is not allowed"),
    ("{kind: karras, sigma_max: §.nan}", "grid.sigma_max: .nan is not a finite number"),
]


@pytest.mark.parametrize(("grid", "message"), GRID_ERRORS)
def test_grids_with_wrong_points_are_errors(grid, message):
    wrong = grid[grid.index("§") + 1 :]
    assert message in refused(f"ddim, grid: {grid.replace('§', '')}", wrong)


SKIPPED = [
    ("ddim, grid: {kind: karras, sigma_min: 1, sigma_max: 1.0000000000000002}", {}, "sigma must decrease strictly"),
    ("ddim, grid: quadratic", {"budget": "steps: [900]"}, "points 417 and 418 of 901"),
    ("ddim, grid: {kind: log-snr, sigma_min: 1e-308}", {}, "outside the model's range"),
    ("ddim, grid: {kind: explicit, sigmas: [1e308, 5, 4, 3, 2, 1]}", {}, "sigma 1e+308 lies outside"),
    ("ddim, grid: {kind: time, t_end: 2000}", {}, "t_end must lie within"),
    ("ddim, grid: leading", {"model": "score-vp-mnist"}, "defined on discrete schedules only"),
    ("ddim", {"budget": "steps: [1001]"}, "1001 points do not fit"),
    ("euler-maruyama", {}, "needs the family's SDE"),
    ("predictor-corrector", {"budget": "nfe: [1]"}, "one step of predictor-corrector costs 2"),
    ("langevin, corrector_steps: 9", {"budget": "nfe: [8]"}, "one step of langevin costs 9"),
    ("restart", {"budget": "nfe: [10]"}, "10 evaluations are too few: 2 steps of restart cost 11"),
    ("restart", {"budget": "steps: [1]"}, "1 steps are too few: 2 steps of restart cost 11"),
    ("pndm", {"budget": "nfe: [4]"}, "4 evaluations are too few: 2 steps of pndm cost 5"),
]
LEAST = [name for name, entry in SAMPLERS.items() if not entry.adaptive and entry.nfe(1, "sigma_min") > 1]


@pytest.mark.parametrize(("sampler", "keys", "reason"), SKIPPED)
def test_what_can_not_be_run_is_a_skipped_cell_with_its_reason(sampler, keys, reason):
    cell = planned(sampler, **keys)
    assert cell.skip is not None and reason in cell.skip
    assert (cell.grid, cell.steps, cell.nfe) == (None, None, None)


@pytest.mark.parametrize("name", LEAST)
def test_a_budget_below_one_step_skips_the_cell(name):
    least = SAMPLERS[name].nfe(1, "sigma_min")
    cell = planned(f"{name}, final: sigma_min", model="score-vp-mnist", budget=f"nfe: [{least - 1}]")
    assert cell.skip == f"{least - 1} evaluations are too few: one step of {name} costs {least}"
    assert planned(f"{name}, final: sigma_min", model="score-vp-mnist", budget=f"nfe: [{least}]").steps == 1


def test_a_schedule_whose_sigma_is_infinite_at_its_start_begins_below(tmp_path, ddpm):
    flow = {**ddpm, "prediction": "flow", "schedule": {"kind": "flow"}, "time": {"input": "scaled", "scale": 1000}}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(flow))
    for kind in ("trailing", "linspace", "karras", "time", "log-snr"):
        grid = planned(f"heun, grid: {kind}", model=f"{{source: {tmp_path}}}").grid
        assert grid.sigma[0] == pytest.approx(1e4, rel=1e-9)
    cell = planned("heun, grid: {kind: karras, sigma_max: 1e5}", model=f"{{source: {tmp_path}}}")
    assert "sigma 100000 lies outside the model's range" in cell.skip


def test_a_chain_that_ends_at_pure_noise_is_no_card(tmp_path, ddpm):
    """Its last sigma is infinite: beta = 1, zero terminal signal-to-noise ratio."""
    chain = {**ddpm, "schedule": {**ddpm["schedule"], "beta_end": 1.0}}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(chain))
    with pytest.raises(SuiteError, match="beta") as caught:
        planned("ddim", model=f"{{source: {tmp_path}}}")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, len("models: [{source: ") + 1)


@pytest.mark.parametrize("clip", [[-1, 1], [0, 5]])
def test_a_latent_card_with_a_clip_is_refused(tmp_path, ldm, clip):
    (tmp_path / "card.yaml").write_text(yaml.safe_dump({**ldm, "clip": clip}))
    with pytest.raises(SuiteError, match="latents have no range to clip to"):
        planned("ddim", model=f"{{source: {tmp_path}}}")
