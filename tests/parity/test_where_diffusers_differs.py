"""What diffusers' schedulers do otherwise than their papers or than ours: each difference, and what it comes from.

Also: the second stage of DPMSolverSinglestep's third order, in test_several_stages_against_diffusers.py.
"""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    IPNDMScheduler,
    PNDMScheduler,
    SASolverScheduler,
    ScoreSdeVeScheduler,
    UniPCMultistepScheduler,
)
from parity.trajectories import (
    BETAS,
    TRAILING,
    assert_close,
    bounded,
    distance,
    edm_ours,
    feed,
    grid_of,
    in_x_t,
    network,
    ours,
    run,
    schedule_of,
    source,
    steps_of_noise,
    theirs,
    timeless,
)

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.denoiser import NetworkDenoiser
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.schedule import VP
from diffbench.samplers.exponential import minus_log_sigma

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


def test_ddim_steps_by_1000_over_steps_whatever_the_grid():
    """On a linspace grid of 20 steps it goes from t to t - 50, but evaluates next at t - 53 or t - 52."""
    scheduler = DDIMScheduler(**BETAS, timestep_spacing="linspace", clip_sample=False, set_alpha_to_one=True)
    schedule = schedule_of(scheduler)
    sample = theirs(scheduler, 20)
    x, times = source().normal("start", 0), scheduler.timesteps.double().numpy()
    assert -53 <= np.diff(times).min() <= np.diff(times).max() <= -52
    for t in times.tolist():
        ends = (schedule.sigma(t), schedule.sigma(t - 50)) if t >= 50 else (schedule.sigma(t), 0.0)
        final = "sigma_min" if ends[1] else "denoise"
        grid = time_grid(schedule, 1, "explicit", final, sigmas=ends if ends[1] else ends[:1])
        plan = load(SAMPLERS["ddim"].target)().plan(grid, schedule)
        x0 = NetworkDenoiser(network, schedule, "epsilon")(
            x / float(grid.scale[0]), torch.full((5,), ends[0], dtype=torch.float64)
        ).x0
        x_hat = float(plan.x_weight[0]) * x / float(grid.scale[0]) + float(plan.denoised_weight[0]) * x0
        x = in_x_t(x_hat, grid)
    assert_close(x, sample)
    true = time_grid(schedule, 20, "explicit", sigmas=tuple(schedule.sigma(times)))
    assert distance(ours("ddim", {}, schedule, true), sample) > 1e-3


def test_pndm_does_the_same():
    """20 divides 1000, 30 does not."""
    gaps = []
    for steps in (20, 30):
        scheduler = PNDMScheduler(**TRAILING, set_alpha_to_one=True, skip_prk_steps=True)
        schedule = schedule_of(scheduler)
        mine = ours("pndm", {"warm_up": "heun"}, schedule, grid_of(schedule, steps))
        gaps.append(distance(mine, theirs(scheduler, steps)))
    assert gaps[0] < 1e-5 and gaps[1] > 1e-3, gaps


def test_ddim_keeps_the_networks_epsilon_when_it_clips():
    """The option ``use_clipped_model_output`` takes the clipped x0's, as ours always do."""
    scheduler = DDIMScheduler(**TRAILING, clip_sample=True, set_alpha_to_one=True)
    kept, derived = (theirs(scheduler, 20, use_clipped_model_output=use) for use in (False, True))
    assert distance(kept, derived) > 1e-2


def test_ddpm_fixed_large_log_is_nan(monkeypatch):
    """It takes the root of the logarithm of beta."""
    feed(monkeypatch, "scheduling_ddpm", steps_of_noise(20))
    assert theirs(DDPMScheduler(**TRAILING, variance_type="fixed_large_log"), 20).isnan().all()


def test_unipc_bh1_onto_zero_is_nan():
    """B(h) = h is infinite there."""
    assert theirs(UniPCMultistepScheduler(**TRAILING, solver_type="bh1", final_sigmas_type="zero"), 10).isnan().any()


def test_the_third_order_sde_has_a_wrong_sign():
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


def test_edm_third_order_sde_is_not_there():
    """The scheduler accepts it, and fails at the third step."""
    scheduler = EDMDPMSolverMultistepScheduler(solver_order=3, algorithm_type="sde-dpmsolver++")
    scheduler.set_timesteps(20)
    x = source().normal("start", 0)
    with pytest.raises(UnboundLocalError):
        for t in scheduler.timesteps[:3]:
            x = scheduler.step(x, t, x).prev_sample


def test_edm_starts_above_sigma_max():
    """By sqrt(sigma_max^2 + 1), as if the data had variance 1; ours start from sigma_max n."""
    for scheduler in (EDMEulerScheduler(), EDMDPMSolverMultistepScheduler()):
        assert scheduler.init_noise_sigma == pytest.approx((80**2 + 1) ** 0.5)


def test_edm_churn_reaches_the_network_too_late(monkeypatch):
    """The caller evaluates the network before ``step`` draws the noise; EDM's Algorithm 2 evaluates after."""
    scheduler = EDMEulerScheduler()
    scheduler.set_timesteps(20)
    feed(monkeypatch, "scheduling_edm_euler", [source().normal("churn", i) for i in range(20)])
    x = source().normal("start", 0) * float(scheduler.sigmas[0])
    for t in scheduler.timesteps:
        output = bounded(scheduler.scale_model_input(x, t), t.expand(5))
        x = scheduler.step(output, t, x, s_churn=6.0).prev_sample
    assert distance(edm_ours("edm-euler", {"s_churn": 6.0}, scheduler), x) > 1e-2


@pytest.mark.parametrize("steps", [10, 20])
def test_karras_times_are_rounded_where_the_sigmas_are_not(steps):
    """The network is told another time than that of its input. One that takes none sees no difference."""
    scheduler = DPMSolverMultistepScheduler(**BETAS, use_karras_sigmas=True, final_sigmas_type="zero")
    schedule = schedule_of(scheduler)
    scheduler.set_timesteps(steps)
    times = scheduler.timesteps.double().numpy()
    sigmas = np.clip(scheduler.sigmas[:-1].double().numpy(), schedule.sigma_min, schedule.sigma_max)
    assert np.max(np.abs(times - schedule.t_of(sigmas))) > 0.3
    grid = time_grid(schedule, steps, "explicit", sigmas=tuple(sigmas))
    assert_close(ours("dpmpp-2m", {}, schedule, grid, timeless), theirs(scheduler, steps, net=timeless))
    assert distance(ours("dpmpp-2m", {}, schedule, grid), theirs(scheduler, steps)) > 1e-4


def test_deis_with_karras_sigmas_repeats_the_last():
    """Its last step leads nowhere: S evaluations make S - 1 steps."""
    scheduler = DEISMultistepScheduler(**BETAS, solver_order=2, use_karras_sigmas=True)
    schedule = schedule_of(scheduler)
    sample = theirs(scheduler, 12, net=timeless)
    assert scheduler.sigmas[-1] == scheduler.sigmas[-2]
    sigmas = np.clip(scheduler.sigmas[:-1].double().numpy(), schedule.sigma_min, schedule.sigma_max)
    grid = time_grid(schedule, 11, "explicit", "sigma_min", sigmas=tuple(sigmas))
    mine = ours("deis", {"variable": "log-rho", "degree": 1}, schedule, grid, timeless)
    assert_close(in_x_t(mine, grid), sample)


def test_deis_is_inexact_with_short_steps():
    """Its weights of third order are differences of integrals in float32, 1e-3 off the sample at 50 steps."""
    runs = [theirs(DEISMultistepScheduler(**TRAILING, solver_order=3), 50, precise=exact) for exact in (False, True)]
    assert 1e-4 < distance(*runs) < 1e-2


def test_euler_interpolates_sigma_where_ours_does_its_logarithm():
    """At the fractional times of the linspace grid; on its own sigmas and a network without a time all is equal."""
    scheduler = EulerDiscreteScheduler(**BETAS, timestep_spacing="linspace")
    schedule = schedule_of(scheduler)
    sample = theirs(scheduler, 20, scaled=True, net=timeless)
    sigmas = np.clip(scheduler.sigmas[:-1].double().numpy(), schedule.sigma_min, schedule.sigma_max)
    gap = np.abs(sigmas / schedule.sigma(scheduler.timesteps.double().numpy()) - 1)
    assert 1e-5 < gap.max() < 1e-2
    grid = time_grid(schedule, 20, "explicit", sigmas=tuple(sigmas))
    assert_close(ours("euler", {}, schedule, grid, timeless), sample)


class HalfH:
    """SA-Solver with H / 2, H = (1 + tau^2) h, for the moment M_1 wherever there are two estimates.

    The predictor takes no more estimates than there are steps to the end, the corrector two more.
    """

    def __init__(self, **options):
        self.rate = 1 + options["tau"] ** 2
        self.sampler = load(SAMPLERS["sa-solver"].target)(**options)

    def plan(self, grid, schedule):
        plan = self.sampler.plan(grid, schedule)
        h = np.diff(minus_log_sigma(grid))
        for i in range(1, grid.steps):
            self.alter(plan.weights[i], grid.steps - i, 0.0, -h[i - 1] / h[i], self.rate * h[i])
            self.alter(plan.corrector[i], grid.steps - i + 2, 1.0, 0.0, self.rate * h[i - 1])
        return plan

    def alter(self, weights, most, newest, older, total):
        first, count = weights.sum(), min(np.count_nonzero(weights), most)
        if count == 2:
            weights[:] = 0.0
            weights[0] = (total / 2 - first * older) / (newest - older)
            weights[1] = first - weights[0]
        elif count == 1:
            weights[:] = 0.0
            weights[0] = first

    def __getattr__(self, name):
        return getattr(self.sampler, name)


@pytest.mark.parametrize("tau", [0.0, 1.0])
@pytest.mark.parametrize(("predictor", "corrector"), [(2, 1), (1, 2), (2, 2), (3, 3)])
def test_sa_solver_of_second_order_takes_half_of_h(predictor, corrector, tau, monkeypatch):
    """As UniPC's bh1 does; the paper takes the moment itself. The predictor's order falls towards the end.

    Of third order its coefficients, sums of powers of lambda, are too inexact in float32: 2e-5 for tau = 0.
    """
    feed(monkeypatch, "scheduling_sasolver", steps_of_noise(20))
    scheduler = SASolverScheduler(
        **TRAILING,
        predictor_order=predictor,
        corrector_order=corrector,
        tau_func=lambda t: tau,
        algorithm_type="data_prediction",
    )
    schedule = schedule_of(scheduler)
    grid = grid_of(schedule, 20, "sigma_min")
    options = {"tau": tau, "predictor_order": predictor, "corrector_order": corrector}
    sample = theirs(scheduler, 20, precise=predictor == 3)
    assert_close(in_x_t(ours(HalfH(**options), {}, schedule, grid), grid), sample)
    assert distance(in_x_t(ours("sa-solver", options, schedule, grid), grid), sample) > 1e-2


def test_ipndm_has_a_schedule_of_its_own():
    """Sin^2 instead of betas, for a network that predicts v, and a first sigma that is infinite.

    From its second time on, and without a memory of the first, it is iPNDM of order 4.
    """
    scheduler, steps = IPNDMScheduler(), 20
    scheduler.set_timesteps(steps)
    assert float(scheduler.alphas[0]) == 0.0
    scheduler.set_begin_index(1)
    sigmas = (scheduler.betas.double() / scheduler.alphas.double())[1:-1].tolist()
    schedule = VP(0.1, 20.0, 1e-5)
    grid = time_grid(schedule, steps - 1, "explicit", sigmas=tuple(sigmas))
    x = source().normal("start", 0)
    for t in scheduler.timesteps[1:]:
        x = scheduler.step(bounded(x, 0 * t.expand(5)), t, x).prev_sample
    assert_close(
        run("ipndm", {}, NetworkDenoiser(lambda x, t: bounded(x, 0 * t), schedule, "v_prediction"), grid, schedule), x
    )


def test_score_sde_ve_tells_the_network_other_sigmas_than_it_steps_by():
    """Those of the times t, which end at 1e-5, against those of i / (N - 1), which end at 0."""
    scheduler = ScoreSdeVeScheduler(num_train_timesteps=50, sigma_min=0.01, sigma_max=50.0)
    gap = (scheduler.sigmas / scheduler.discrete_sigmas.flip(0) - 1).abs()
    assert float(gap.max()) == pytest.approx(8.5e-5, rel=0.05)
