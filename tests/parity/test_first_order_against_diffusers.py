"""Samplers with one evaluation a step and no memory equal diffusers', wherever its schedulers are right."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EDMEulerScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    ScoreSdeVeScheduler,
)
from diffusers.schedulers.deprecated.scheduling_sde_vp import ScoreSdeVpScheduler
from parity.trajectories import (
    BETAS,
    SHAPE,
    TRAILING,
    assert_close,
    bounded,
    edm_ours,
    edm_theirs,
    feed,
    grid_of,
    network,
    ours,
    run,
    schedule_of,
    source,
    steps_of_noise,
    theirs,
)

from diffbench.diffusion.denoiser import Clipped, Denoised, NetworkDenoiser
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.schedule import VE, VP

# diffusers converts tensors to numpy in a way that numpy 2 deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


@pytest.mark.parametrize("steps", [5, 20, 50])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim(steps, eta):
    scheduler = DDIMScheduler(**TRAILING, clip_sample=False, set_alpha_to_one=True)
    schedule = schedule_of(scheduler)
    mine = ours("ddim", {"eta": eta}, schedule, grid_of(schedule, steps))
    assert_close(mine, theirs(scheduler, steps, noise=eta > 0, eta=eta))


def test_ddim_with_leading_times():
    """Where the number of steps divides 1000, t - 1000 // steps is the next time of the grid."""
    scheduler = DDIMScheduler(**BETAS, timestep_spacing="leading", clip_sample=False, set_alpha_to_one=True)
    schedule = schedule_of(scheduler)
    mine = ours("ddim", {}, schedule, grid_of(schedule, 20, kind="leading"))
    assert_close(mine, theirs(scheduler, 20))


def clipped(name, options, schedule):
    denoiser = Clipped(NetworkDenoiser(network, schedule, "epsilon"), -1.0, 1.0)
    return run(name, options, denoiser, grid_of(schedule, 20), schedule)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_with_clipping_if_epsilon_follows_the_clipped_x0(eta):
    """Without the option ``use_clipped_model_output`` diffusers keeps the network's epsilon."""
    scheduler = DDIMScheduler(**TRAILING, clip_sample=True, set_alpha_to_one=True)
    sample = theirs(scheduler, 20, noise=eta > 0, eta=eta, use_clipped_model_output=True)
    assert_close(clipped("ddim", {"eta": eta}, schedule_of(scheduler)), sample)


def feed_ddpm(monkeypatch, steps):
    """Diffusers leaves out the last noise only at t = 0, which a respaced grid never visits; DDPM has none there."""
    feed(monkeypatch, "scheduling_ddpm", [*steps_of_noise(steps - 1), torch.zeros(5, *SHAPE)])


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_ddpm(variance, clip, monkeypatch):
    scheduler = DDPMScheduler(**TRAILING, clip_sample=clip, variance_type=variance)
    feed_ddpm(monkeypatch, 20)
    schedule = schedule_of(scheduler)
    if clip:
        mine = clipped("ddpm", {"variance": variance}, schedule)
    else:
        mine = ours("ddpm", {"variance": variance}, schedule, grid_of(schedule, 20))
    assert_close(mine, theirs(scheduler, 20))


@pytest.mark.parametrize("kind", ["leading", "linspace"])
def test_ddpm_with_other_times(kind, monkeypatch):
    """It takes the true predecessor of a time; both grids end at t = 0, where no noise is drawn."""
    scheduler = DDPMScheduler(**BETAS, timestep_spacing=kind, clip_sample=False)
    feed(monkeypatch, "scheduling_ddpm", steps_of_noise(19))
    schedule = schedule_of(scheduler)
    grid = grid_of(schedule, 20, kind=kind)
    theirs_x = theirs(scheduler, 20)
    if kind == "linspace":
        grid = time_grid(schedule, 20, "explicit", sigmas=tuple(schedule.sigma(scheduler.timesteps.double().numpy())))
    assert_close(ours("ddpm", {}, schedule, grid), theirs_x)


def test_euler():
    scheduler = EulerDiscreteScheduler(**TRAILING)
    schedule = schedule_of(scheduler)
    assert_close(ours("euler", {}, schedule, grid_of(schedule, 20)), theirs(scheduler, 20, scaled=True))


def test_euler_ancestral(monkeypatch):
    feed(monkeypatch, "scheduling_euler_ancestral_discrete", steps_of_noise(20))
    scheduler = EulerAncestralDiscreteScheduler(**TRAILING)
    schedule = schedule_of(scheduler)
    mine = ours("euler-ancestral", {}, schedule, grid_of(schedule, 20))
    assert_close(mine, theirs(scheduler, 20, scaled=True))


@pytest.mark.parametrize("steps", [5, 20])
@pytest.mark.parametrize("kind", ["karras", "exponential"])
def test_edm_euler(kind, steps):
    scheduler = EDMEulerScheduler(sigma_schedule=kind)
    sample = edm_theirs(scheduler, steps)
    assert_close(edm_ours("euler", {}, scheduler), sample)


CHURN = {"s_churn": 6.0, "s_min": 0.05, "s_max": 50.0, "s_noise": 1.007}


def churned_by_hand(scheduler, x, i, steps):
    """The x and sigma at which Algorithm 2 evaluates the network; diffusers' caller has only those before."""
    sigma = float(scheduler.sigmas[i])
    if not CHURN["s_min"] <= sigma <= CHURN["s_max"]:
        return x, sigma
    higher = sigma * (1 + CHURN["s_churn"] / steps)
    return x + source().normal("churn", i) * CHURN["s_noise"] * (higher**2 - sigma**2) ** 0.5, higher


def test_edm_euler_with_churn_if_the_network_sees_the_churned_x(monkeypatch):
    steps = 20
    scheduler = EDMEulerScheduler()
    scheduler.set_timesteps(steps)
    inside = [i for i in range(steps) if CHURN["s_min"] <= float(scheduler.sigmas[i]) <= CHURN["s_max"]]
    feed(monkeypatch, "scheduling_edm_euler", [source().normal("churn", i) for i in inside])
    options = {"s_churn": 6.0, "s_tmin": 0.05, "s_tmax": 50.0, "s_noise": 1.007}
    x = source().normal("start", 0) * float(scheduler.sigmas[0])
    for i, t in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(x, t)  # it complains if this was not called
        seen, sigma = churned_by_hand(scheduler, x, i, steps)
        level = torch.tensor(sigma)
        output = bounded(scheduler.precondition_inputs(seen, level), (0.25 * level.log()).expand(5))
        x = scheduler.step(output, t, x, **options).prev_sample
    assert len(inside) > 10
    assert_close(edm_ours("edm-euler", CHURN, scheduler), x)


@pytest.mark.parametrize(("steps", "correct_steps"), [(50, 1), (100, 1), (50, 2)])
def test_score_sde_ve(steps, correct_steps, monkeypatch):
    """Corrector, then predictor, with norms averaged over the batch; the last mean is returned.

    The sigmas are the scheduler's own, the last of them that of t = 0: below VE's smallest, that of t = 1e-5.
    """
    scheduler = ScoreSdeVeScheduler(num_train_timesteps=steps, snr=0.16, sigma_min=0.01, sigma_max=50.0)
    scheduler.set_timesteps(steps)
    scheduler.set_sigmas(steps)
    purposes = [[("corrector", i * correct_steps + k) for k in range(correct_steps)] for i in range(steps)]
    draws = [source().normal(*what) for i in range(steps) for what in [*purposes[i], ("step", i)]]
    feed(monkeypatch, "scheduling_sde_ve", draws)
    sigmas = scheduler.discrete_sigmas.double().flip(0).tolist()

    def denoised(x, sigma):
        return (0.01 * x + 0.3 * sigma**2 * torch.tanh(x)) / (0.01 + sigma**2)

    x = source().normal("start", 0) * sigmas[0]
    for t, sigma in zip(scheduler.timesteps, sigmas, strict=True):
        for _ in range(correct_steps):
            x = scheduler.step_correct((denoised(x, sigma) - x) / sigma**2, x).prev_sample
        moved = scheduler.step_pred((denoised(x, sigma) - x) / sigma**2, t, x)
        x = moved.prev_sample
    schedule = VE(0.005, 60.0)
    grid = time_grid(schedule, steps, "explicit", sigmas=tuple(sigmas))
    options = {"coupled": True, "corrector_steps": correct_steps}
    mine = run("predictor-corrector", options, lambda x, at: Denoised(denoised(x, float(at[0]))), grid, schedule)
    assert_close(mine, moved.prev_sample_mean)


def test_score_sde_vp(monkeypatch):
    """Its steps are 1 / N long, not (1 - 1e-3) / (N - 1) as its times are: so are those of our grid, then."""
    steps = 50
    scheduler = ScoreSdeVpScheduler(num_train_timesteps=steps)
    scheduler.set_timesteps(steps)
    feed(monkeypatch, "deprecated.scheduling_sde_vp", steps_of_noise(steps))
    schedule = VP(0.1, 20.0)
    times = np.arange(steps, 0, -1) / steps
    x = source().normal("start", 0)
    for t in torch.from_numpy(times).float():
        x, mean = scheduler.step_pred(network(x, (999 * t).expand(5)), x, t.expand(5))
    grid = time_grid(schedule, steps, "trailing")
    np.testing.assert_allclose(grid.t[:-1], times, rtol=1e-12)
    denoiser = NetworkDenoiser(network, schedule, "epsilon", time_scale=999.0)
    assert_close(run("euler-maruyama", {}, denoiser, grid, schedule), mean)


@pytest.mark.parametrize("steps", [7, 50])
def test_ddpm_with_learned_variance(steps, monkeypatch):
    """Diffusers calls it learned_range. Its timesteps are set: what is ``previous`` there does not know the spacing."""
    scheduler = DDPMScheduler(**TRAILING, clip_sample=False, variance_type="learned_range")
    schedule = schedule_of(scheduler)
    grid = grid_of(schedule, steps)
    scheduler.set_timesteps(timesteps=[int(t) for t in grid.t[:-1]])
    feed(monkeypatch, "scheduling_ddpm", [*steps_of_noise(steps - 1), torch.zeros(5, *SHAPE)])

    def doubled(x, t):
        return torch.cat([network(x, t), 1.3 * torch.sin(2 * x + t.to(x.dtype).view(-1, 1, 1, 1))], 1)

    x = source().normal("start", 0)
    for t in scheduler.timesteps:
        x = scheduler.step(doubled(x, t.expand(5)), t, x).prev_sample
    denoiser = NetworkDenoiser(doubled, schedule, "epsilon", learned_variance=True)
    assert_close(run("ddpm", {"variance": "learned"}, denoiser, grid, schedule), x)
