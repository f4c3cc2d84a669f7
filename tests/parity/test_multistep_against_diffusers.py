"""More trajectories of diffusers' schedulers, and where they differ: the same network, noise and noise levels.

Schedulers that end at the sigma of t = 0 are compared on a grid that lands there (``sigma_min``).
"""

import numpy as np
import pytest
import torch
from diffusers import (
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    SASolverScheduler,
    ScoreSdeVeScheduler,
    UniPCMultistepScheduler,
)

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.denoiser import Denoised, NetworkDenoiser
from diffbench.diffusion.discrete import DiscreteDDPM
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import VE
from diffbench.samplers.integrate import integrate

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]

SHAPE = (1, 6, 6)
BETAS = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
TRAILING = {**BETAS, "timestep_spacing": "trailing"}


def network(x, t):
    """A smooth stand-in for an epsilon network, of order one at every noise level."""
    phase = t.to(x.dtype).view(-1, 1, 1, 1) / 300
    return 0.8 * torch.tanh(x + 0.3 * torch.sin(3 * x + phase)) + 0.1 * torch.cos(phase)


def timeless(x, t):
    """For schedulers that round the times of their noise levels."""
    return network(x, torch.zeros_like(t))


def schedule_of(scheduler):
    """A schedule of the scheduler's own float32 product, which is 8e-5 off in sigma at t = 0."""
    abar = scheduler.alphas_cumprod.double().numpy()
    schedule = DiscreteDDPM.from_betas("linear", 1e-4, 0.02, 1000)
    schedule.__dict__["betas"] = 1 - abar / np.concatenate([[1.0], abar[:-1]])
    return schedule


def ours(name, options, schedule, grid, net=network):
    noise = NoiseSource(3, range(5), SHAPE)
    return integrate(
        load(SAMPLERS[name].target)(**options), NetworkDenoiser(net, schedule, "epsilon"), grid, schedule, noise
    )


def grid_of(schedule, steps, final="denoise"):
    """Trailing; for ``sigma_min`` with the sigma of t = 0 as one more point."""
    grid = time_grid(schedule, steps, "trailing")
    if final == "denoise":
        return grid
    sigmas = (*grid.sigma[:-1].tolist(), schedule.sigma_min)
    return time_grid(schedule, steps, "explicit", "sigma_min", sigmas=sigmas)


def theirs(scheduler, steps, scaled=False, noise=False, net=network, calls=None):
    """The scheduler's sample in x_hat; ``scaled``: it works in x_hat itself."""
    source = NoiseSource(3, range(5), SHAPE)
    scheduler.set_timesteps(steps)
    grid = time_grid(schedule_of(scheduler), steps, "trailing")
    x = source.normal("start", 0) / (float(grid.scale[0]) if scaled else 1.0)
    for i, t in enumerate(scheduler.timesteps[:calls]):
        entering = scheduler.scale_model_input(x, t) if scaled else x
        extra = {"variance_noise": source.normal("step", i)} if noise else {}
        x = scheduler.step(net(entering, t.expand(5)), t, x, **extra).prev_sample
    return x


def assert_close(mine, theirs, tolerance=1e-5):
    distance = float((mine - theirs).abs().max() / theirs.abs().max())
    assert distance <= tolerance, distance


def in_x_t(x_hat, grid):
    return x_hat * float(grid.scale[-1])


@pytest.mark.parametrize("steps", [10, 20])
@pytest.mark.parametrize("kind", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc(order, kind, steps):
    """With bh1 diffusers can't land on sigma = 0: its B(h) = h is infinite there, and it returns NaN."""
    final = "zero" if kind == "bh2" else "sigma_min"
    scheduler = UniPCMultistepScheduler(**TRAILING, solver_order=order, solver_type=kind, final_sigmas_type=final)
    schedule = schedule_of(scheduler)
    grid = grid_of(schedule, steps, "denoise" if kind == "bh2" else "sigma_min")
    mine = ours("unipc", {"order": order, "variant": kind}, schedule, grid)
    assert_close(in_x_t(mine, grid), theirs(scheduler, steps), 2e-5)


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


def test_diffusers_third_order_sde_has_a_wrong_sign():
    """Its weight of the second difference, (1 - e^{-2h} - 2h) / (2h)^2 - 1/2, tends to -1 as h does to 0; with + 1/2 it
    vanishes. Its samples therefore stay away from those of the second order, ours come close."""
    runs = {}
    for order in (2, 3):
        scheduler = DPMSolverMultistepScheduler(
            **TRAILING, solver_order=order, algorithm_type="sde-dpmsolver++", final_sigmas_type="zero"
        )
        schedule = schedule_of(scheduler)
        grid = grid_of(schedule, 250)
        options = {"lower_order_final": False} if order == 3 else {}
        runs[order] = ours(f"sde-dpmpp-{order}m", options, schedule, grid), theirs(scheduler, 250, noise=True)
    gaps = [float((third - second).abs().max()) for second, third in zip(runs[2], runs[3], strict=True)]
    assert gaps[0] < 0.1 * gaps[1], gaps


@pytest.mark.parametrize("order", [2, 3])
def test_deis(order):
    """Its polynomial is in log rho. It ends at the sigma of t = 0."""
    scheduler = DEISMultistepScheduler(**TRAILING, solver_order=order)
    schedule = schedule_of(scheduler)
    grid = grid_of(schedule, 20, "sigma_min")
    mine = ours("deis", {"variable": "log-rho", "degree": order - 1}, schedule, grid)
    assert_close(in_x_t(mine, grid), theirs(scheduler, 20), 2e-5)


@pytest.mark.parametrize(("final", "warm_up"), [("denoise", "heun"), ("denoise", "runge-kutta")])
def test_pndm(final, warm_up):
    """With a number of steps that divides 1000: diffusers takes t - 1000 // steps for the next time."""
    scheduler = PNDMScheduler(**TRAILING, set_alpha_to_one=True, skip_prk_steps=warm_up == "heun")
    schedule = schedule_of(scheduler)
    mine = ours("pndm", {"warm_up": warm_up}, schedule, grid_of(schedule, 20))
    assert_close(mine, theirs(scheduler, 20), 2e-5)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_lms(order):
    scheduler = LMSDiscreteScheduler(**TRAILING)
    step = scheduler.step
    scheduler.step = lambda *args: step(*args, order=order)
    schedule = schedule_of(scheduler)
    assert_close(
        ours("lms", {"order": order}, schedule, grid_of(schedule, 20)), theirs(scheduler, 20, scaled=True), 5e-5
    )


def test_euler():
    scheduler = EulerDiscreteScheduler(**TRAILING)
    schedule = schedule_of(scheduler)
    assert_close(ours("euler", {}, schedule, grid_of(schedule, 20)), theirs(scheduler, 20, scaled=True))


def test_kdpm2():
    scheduler = KDPM2DiscreteScheduler(**TRAILING)
    schedule = schedule_of(scheduler)
    assert_close(ours("dpm2", {}, schedule, grid_of(schedule, 20)), theirs(scheduler, 20, scaled=True), 5e-5)


def feed(monkeypatch, module, draws):
    draws = iter(draws)
    monkeypatch.setattr(f"diffusers.schedulers.{module}.randn_tensor", lambda *args, **kwargs: next(draws))


def test_euler_ancestral(monkeypatch):
    source = NoiseSource(3, range(5), SHAPE)
    feed(monkeypatch, "scheduling_euler_ancestral_discrete", (source.normal("step", i) for i in range(20)))
    scheduler = EulerAncestralDiscreteScheduler(**TRAILING)
    schedule = schedule_of(scheduler)
    mine = ours("euler-ancestral", {}, schedule, grid_of(schedule, 20))
    assert_close(mine, theirs(scheduler, 20, scaled=True))


def test_kdpm2_ancestral(monkeypatch):
    source = NoiseSource(3, range(5), SHAPE)
    feed(monkeypatch, "scheduling_k_dpm_2_ancestral_discrete", (source.normal("step", i) for i in range(20)))
    scheduler = KDPM2AncestralDiscreteScheduler(**TRAILING)
    schedule = schedule_of(scheduler)
    mine = ours("dpm2-ancestral", {}, schedule, grid_of(schedule, 20), timeless)
    assert_close(mine, theirs(scheduler, 20, scaled=True, net=timeless), 5e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver"])
def test_singlestep_of_second_order(algorithm):
    """Its stages are grid points, so that r1 = 1/2 takes noise levels evenly spaced in their logarithm.

    Its third order has a second stage of its own, with half of a moment for another, and is left out.
    """
    final = "zero" if algorithm == "dpmsolver++" else "sigma_min"
    scheduler = DPMSolverSinglestepScheduler(
        **BETAS, solver_order=2, algorithm_type=algorithm, use_exponential_sigmas=True, final_sigmas_type=final
    )
    scheduler.set_timesteps(9)
    schedule = schedule_of(scheduler)
    sigmas = tuple(np.clip(scheduler.sigmas.double().numpy()[0:9:2], schedule.sigma_min, schedule.sigma_max))
    name, calls = ("dpmpp-2s", None) if final == "zero" else ("dpm-solver-2s", 8)
    steps = len(sigmas) if final == "zero" else len(sigmas) - 1
    kind = "denoise" if final == "zero" else "sigma_min"
    grid = time_grid(schedule, steps, "explicit", kind, sigmas=sigmas)
    mine = ours(name, {}, schedule, grid, timeless)
    source = NoiseSource(3, range(5), SHAPE)
    x = source.normal("start", 0)
    for t in scheduler.timesteps[:calls]:
        x = scheduler.step(timeless(x, t.expand(5)), t, x).prev_sample
    assert_close(in_x_t(mine, grid), x, 2e-5)


@pytest.mark.parametrize(("tau", "tolerance"), [(1.0, 1e-5), (0.0, 1e-5)])
def test_sa_solver_of_first_order(tau, tolerance, monkeypatch):
    """From order 2 on diffusers alters the coefficients, and it lowers the order at the end of few steps."""
    source = NoiseSource(3, range(5), SHAPE)
    feed(monkeypatch, "scheduling_sasolver", (source.normal("step", i) for i in range(20)))
    scheduler = SASolverScheduler(
        **TRAILING, predictor_order=1, corrector_order=1, tau_func=lambda t: tau, algorithm_type="data_prediction"
    )
    schedule = schedule_of(scheduler)
    grid = grid_of(schedule, 20, "sigma_min")
    mine = ours("sa-solver", {"tau": tau, "predictor_order": 1, "corrector_order": 1}, schedule, grid)
    assert_close(in_x_t(mine, grid), theirs(scheduler, 20), tolerance)


def test_score_sde_ve(monkeypatch):
    """Corrector, then predictor, with norms averaged over the batch; the last mean is returned."""
    steps = 50
    scheduler = ScoreSdeVeScheduler(num_train_timesteps=steps, snr=0.16, sigma_min=0.01, sigma_max=50.0)
    scheduler.set_timesteps(steps)
    scheduler.set_sigmas(steps)
    source = NoiseSource(3, range(5), SHAPE)
    draws = [source.normal(purpose, i) for i in range(steps) for purpose in ("corrector", "step")]
    feed(monkeypatch, "scheduling_sde_ve", draws)

    def score(x, sigma):
        return (0.3 * torch.tanh(x / (1 + sigma)) - x) / sigma**2

    sigmas = np.exp(np.linspace(np.log(0.01), np.log(50.0), steps))[::-1]
    x = source.normal("start", 0) * 50.0
    for t, sigma in zip(scheduler.timesteps, sigmas, strict=True):
        x = scheduler.step_correct(score(x, float(sigma)), x).prev_sample
        moved = scheduler.step_pred(score(x, float(sigma)), t, x)
        x = moved.prev_sample

    def denoiser(x, sigma):
        level = float(sigma[0])
        return Denoised(x + level**2 * score(x, level))

    schedule = VE(0.01, 50.0)
    low = tuple([*sigmas[:-1].tolist(), schedule.sigma_min])
    grid = time_grid(schedule, steps, "explicit", sigmas=low)
    sampler = load(SAMPLERS["predictor-corrector"].target)(coupled=True)
    mine = integrate(sampler, denoiser, grid, schedule, NoiseSource(3, range(5), SHAPE))
    assert_close(mine, moved.prev_sample_mean, 1e-3)
