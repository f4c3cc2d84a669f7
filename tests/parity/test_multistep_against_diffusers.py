"""Samplers that remember earlier estimates equal diffusers', wherever its schedulers are right.

Schedulers that end at the sigma of t = 0 are compared on a grid that lands there (``sigma_min``).
"""

import pytest
from diffusers import (
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    SASolverScheduler,
    UniPCMultistepScheduler,
)
from parity.trajectories import (
    TRAILING,
    assert_close,
    edm_ours,
    edm_theirs,
    feed,
    grid_of,
    in_x_t,
    ours,
    schedule_of,
    steps_of_noise,
    theirs,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


@pytest.mark.parametrize("steps", [10, 20])
@pytest.mark.parametrize("kind", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc(order, kind, steps):
    """With bh1 diffusers can't land on sigma = 0."""
    final = "zero" if kind == "bh2" else "sigma_min"
    scheduler = UniPCMultistepScheduler(**TRAILING, solver_order=order, solver_type=kind, final_sigmas_type=final)
    schedule = schedule_of(scheduler)
    grid = grid_of(schedule, steps, "denoise" if kind == "bh2" else "sigma_min")
    mine = ours("unipc", {"order": order, "variant": kind}, schedule, grid)
    assert_close(in_x_t(mine, grid), theirs(scheduler, steps))


@pytest.mark.parametrize("steps", [5, 20, 50])
def test_dpmpp_2m(steps):
    """Diffusers falls back to first order only for the last step; so do we, since it lands on sigma = 0."""
    scheduler = DPMSolverMultistepScheduler(**TRAILING, final_sigmas_type="zero")
    schedule = schedule_of(scheduler)
    assert_close(ours("dpmpp-2m", {}, schedule, grid_of(schedule, steps)), theirs(scheduler, steps))


@pytest.mark.parametrize(("steps", "lower"), [(10, True), (20, False)])
def test_dpmpp_3m(steps, lower):
    """Diffusers lowers the order at the end of fewer than 15 steps."""
    scheduler = DPMSolverMultistepScheduler(**TRAILING, solver_order=3, final_sigmas_type="zero")
    schedule = schedule_of(scheduler)
    mine = ours("dpmpp-3m", {"lower_order_final": lower}, schedule, grid_of(schedule, steps))
    assert_close(mine, theirs(scheduler, steps))


@pytest.mark.filterwarnings("ignore:algorithm_types dpmsolver")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("order", [2, 3])
def test_dpm_solver_multistep(order):
    scheduler = DPMSolverMultistepScheduler(
        **TRAILING, solver_order=order, algorithm_type="dpmsolver", final_sigmas_type="sigma_min"
    )
    schedule = schedule_of(scheduler)
    grid = grid_of(schedule, 20, "sigma_min")
    options = {"lower_order_final": False} if order == 3 else {}
    mine = ours(f"dpm-solver-{order}m", options, schedule, grid)
    assert_close(in_x_t(mine, grid), theirs(scheduler, 20))


@pytest.mark.parametrize("order", [1, 2])
def test_sde_dpmpp(order):
    scheduler = DPMSolverMultistepScheduler(
        **TRAILING, solver_order=order, algorithm_type="sde-dpmsolver++", final_sigmas_type="zero"
    )
    schedule = schedule_of(scheduler)
    mine = ours(["sde-dpmpp-1", "sde-dpmpp-2m"][order - 1], {}, schedule, grid_of(schedule, 20))
    assert_close(mine, theirs(scheduler, 20, noise=True))


@pytest.mark.parametrize(("algorithm", "tau"), [("dpmsolver++", 0.0), ("sde-dpmsolver++", 1.0)])
def test_the_heun_type_of_2m_is_sa_solver_without_a_corrector(algorithm, tau):
    """It takes the moment M_1 of the step itself, where 2M takes M_0 / 2 for it."""
    scheduler = DPMSolverMultistepScheduler(
        **TRAILING, algorithm_type=algorithm, solver_type="heun", final_sigmas_type="zero"
    )
    schedule = schedule_of(scheduler)
    options = {"tau": tau, "predictor_order": 2, "corrector_order": 0}
    mine = ours("sa-solver", options, schedule, grid_of(schedule, 20))
    assert_close(mine, theirs(scheduler, 20, noise=tau > 0))


@pytest.mark.parametrize("kind", ["karras", "exponential"])
@pytest.mark.parametrize(
    ("name", "order", "steps"),
    [("euler", 1, 20), ("dpmpp-2m", 2, 10), ("dpmpp-2m", 2, 20), ("dpmpp-3m", 3, 10), ("dpmpp-3m", 3, 20)],
)
def test_edm_dpm_solver_multistep(name, order, steps, kind):
    """It lowers the order at the end of fewer than 15 steps."""
    scheduler = EDMDPMSolverMultistepScheduler(sigma_schedule=kind, solver_order=order)
    sample = edm_theirs(scheduler, steps)
    assert_close(edm_ours(name, {"lower_order_final": steps < 15} if order == 3 else {}, scheduler), sample)


@pytest.mark.parametrize("order", [1, 2])
def test_edm_sde_dpm_solver_multistep(order, monkeypatch):
    scheduler = EDMDPMSolverMultistepScheduler(solver_order=order, algorithm_type="sde-dpmsolver++")
    feed(monkeypatch, "scheduling_edm_dpmsolver_multistep", steps_of_noise(20))
    sample = edm_theirs(scheduler, 20)
    assert_close(edm_ours(["sde-dpmpp-1", "sde-dpmpp-2m"][order - 1], {}, scheduler), sample)


@pytest.mark.parametrize("steps", [20, 50])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_deis(order, steps):
    """Its polynomial is in log rho. It ends at the sigma of t = 0, and lowers the order there if steps are fewer than
    15. Given its coefficients in float64: see test_where_diffusers_differs.py."""
    scheduler = DEISMultistepScheduler(**TRAILING, solver_order=order)
    schedule = schedule_of(scheduler)
    grid = grid_of(schedule, steps, "sigma_min")
    mine = ours("deis", {"variable": "log-rho", "degree": order - 1}, schedule, grid)
    assert_close(in_x_t(mine, grid), theirs(scheduler, steps, precise=True))


@pytest.mark.parametrize("warm_up", ["heun", "runge-kutta"])
def test_pndm(warm_up):
    """With a number of steps that divides 1000: diffusers takes t - 1000 // steps for the next time."""
    scheduler = PNDMScheduler(**TRAILING, set_alpha_to_one=True, skip_prk_steps=warm_up == "heun")
    schedule = schedule_of(scheduler)
    mine = ours("pndm", {"warm_up": warm_up}, schedule, grid_of(schedule, 20))
    assert_close(mine, theirs(scheduler, 20))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_lms(order):
    scheduler = LMSDiscreteScheduler(**TRAILING)
    step = scheduler.step
    scheduler.step = lambda *args: step(*args, order=order)
    schedule = schedule_of(scheduler)
    assert_close(ours("lms", {"order": order}, schedule, grid_of(schedule, 20)), theirs(scheduler, 20, scaled=True))


@pytest.mark.parametrize("tau", [1.0, 0.0])
def test_sa_solver_of_first_order(tau, monkeypatch):
    """From order 2 on diffusers alters the coefficients, and it lowers the order at the end of few steps."""
    feed(monkeypatch, "scheduling_sasolver", steps_of_noise(20))
    scheduler = SASolverScheduler(
        **TRAILING, predictor_order=1, corrector_order=1, tau_func=lambda t: tau, algorithm_type="data_prediction"
    )
    schedule = schedule_of(scheduler)
    grid = grid_of(schedule, 20, "sigma_min")
    mine = ours("sa-solver", {"tau": tau, "predictor_order": 1, "corrector_order": 1}, schedule, grid)
    assert_close(in_x_t(mine, grid), theirs(scheduler, 20))
