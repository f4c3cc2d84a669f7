"""Schedulers of diffusers as samplers equal ours of the same method, grid and noise."""

import math

import pytest
import torch

from diffbench.catalog import SAMPLERS, load
from diffbench.catalog.diffusers import PREFIX, schedulers
from diffbench.diffusion.analytic import GaussianDenoiser
from diffbench.diffusion.continuous import VE, VP, SubVP
from diffbench.diffusion.denoiser import Clipped, Counted, NetworkDenoiser
from diffbench.diffusion.discrete import DiscreteDDPM
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.errors import CellFailed, ScheduleError, UsageError
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.ddpm import DDPM
from diffbench.samplers.diffusers_scheduler import DiffusersScheduler, _Path
from diffbench.samplers.integrate import integrate
from diffbench.samplers.scheduler_config import scheduler_faults

# diffusers converts tensors to numpy in ways that numpy 2 deprecates.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{name}:DeprecationWarning") for name in ("__array__", "__array_wrap__")
]

SHAPE = (1, 6, 6)
SCHEDULE = DiscreteDDPM.from_betas("linear", 1e-4, 0.02, 1000)
TRAILING = {"timestep_spacing": "trailing"}


def network(x, t):
    phase = t.to(x.dtype).view(-1, 1, 1, 1) / 300
    return 0.8 * torch.tanh(x + 0.3 * torch.sin(3 * x + phase)) + 0.1 * torch.cos(phase)


DENOISER = NetworkDenoiser(network, SCHEDULE, "epsilon")


def theirs(name, config=None, steps=20, indices=range(5), denoiser=DENOISER):
    return DiffusersScheduler(name, config).run(denoiser, SCHEDULE, steps, NoiseSource(3, indices, SHAPE))


def ours(sampler, kind="trailing", steps=20, denoiser=DENOISER):
    noise = NoiseSource(3, range(5), SHAPE)
    return integrate(sampler, denoiser, time_grid(SCHEDULE, steps, kind), SCHEDULE, noise)


def assert_close(mine, other, tolerance=1e-5):
    assert float((mine - other).abs().max() / other.abs().max()) <= tolerance


@pytest.mark.parametrize("clip", [False, True])
def test_ddim(clip):
    denoiser = Clipped(DENOISER, -0.5, 0.5) if clip else DENOISER
    assert_close(theirs("DDIMScheduler", TRAILING, denoiser=denoiser), ours(DDIM(0.0), denoiser=denoiser))


@pytest.mark.parametrize("steps", [5, 20])
def test_dpmpp_2m(steps):
    """A first-order last step on both sides; theirs lowers the order below 15 steps only there too."""
    config = {**TRAILING, "final_sigmas_type": "zero"}
    entry = SAMPLERS["dpmpp-2m"]
    sampler = load(entry.target)(**entry.options().model_dump())
    assert_close(theirs("DPMSolverMultistepScheduler", config, steps), ours(sampler, steps=steps))


def test_ddpm_draws_our_noise():
    """On a grid that visits t = 0, where neither adds noise."""
    config = {"timestep_spacing": "leading"}
    assert_close(theirs("DDPMScheduler", config), ours(DDPM("fixed_small"), "leading"))


STOCHASTIC = [
    "DDPMScheduler",
    "EulerAncestralDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "SASolverScheduler",
]


@pytest.mark.parametrize("name", STOCHASTIC)
def test_batches_do_not_change_samples(name):
    whole = theirs(name)
    halves = torch.cat([theirs(name, indices=range(2)), theirs(name, indices=range(2, 5))])
    assert_close(whole, halves, 1e-6)
    torch.manual_seed(1)
    assert torch.equal(whole, theirs(name))


SUPPORTED = [name for name in schedulers() if not scheduler_faults(name, {}, {})]
OF_THEIR_OWN = {"CogVideoXDDIMScheduler", "IPNDMScheduler"}  # noise levels that are not the model's
NOT_BELOW_FOUR_STEPS = {"PNDMScheduler", "KDPM2AncestralDiscreteScheduler"}  # an error in numpy, and NaN


@pytest.mark.parametrize("name", sorted(set(SUPPORTED) - OF_THEIR_OWN))
def test_what_the_catalog_says_without_importing_a_class(name):
    """Evaluations, and whether noise is drawn; a sample does not depend on its batch, nor on torch's generators."""
    entry = SAMPLERS[PREFIX + name]
    for steps in (4, 10) if name in NOT_BELOW_FOUR_STEPS else (1, 2, 3, 10):
        counted = Counted(DENOISER)
        whole = theirs(name, steps=steps, denoiser=counted)
        assert counted.calls == entry.nfe(steps) == len(DiffusersScheduler(name).evaluated(SCHEDULE, steps)["t"])
        torch.manual_seed(steps)
        assert_close(torch.cat([theirs(name, steps=steps, indices=r) for r in (range(2), range(2, 5))]), whole, 1e-6)

    class OtherSteps(NoiseSource):
        def normal(self, purpose, step, *levels):
            return super().normal(purpose, step + 1000 * (purpose == "step"), *levels)

    other = DiffusersScheduler(name).run(DENOISER, SCHEDULE, 10, OtherSteps(3, range(5), SHAPE))
    assert torch.equal(whole, other) is not entry.stochastic(entry.options())


CONTINUOUS = [VP(0.1, 20.0), SubVP(0.1, 20.0), VE(0.01, 50.0)]


@pytest.mark.parametrize("name", sorted(set(SUPPORTED) - OF_THEIR_OWN))
@pytest.mark.parametrize("schedule", CONTINUOUS, ids=["vp", "subvp", "ve"])
def test_every_class_lands_on_the_data_of_a_continuous_model(name, schedule):
    """With its defaults. The denoiser is that of a single data point; what is left is noise of the last level."""
    point = GaussianDenoiser(torch.full((1, 1, 1), 0.7, dtype=torch.float64), 0.0)
    noise = NoiseSource(3, range(64), (1, 1, 1), dtype=torch.float64)
    landed = DiffusersScheduler(name).run(point, schedule, 20, noise)
    assert float((landed - 0.7).abs().max()) < 0.05


@pytest.mark.parametrize("schedule", CONTINUOUS, ids=["vp", "subvp", "ve"])
def test_continuous_models_too(schedule):
    """On the noise levels that it says it visits, from the same start: our DDIM, but for float32 betas."""
    theirs_ = DiffusersScheduler("DDIMScheduler", TRAILING)
    noise = NoiseSource(3, range(5), SHAPE, dtype=torch.float64)
    denoiser = NetworkDenoiser(network, schedule, "epsilon", dtype=torch.float64)
    other = theirs_.run(denoiser, schedule, 20, noise)
    sigmas = theirs_.evaluated(schedule, 20)["sigma"]
    assert sigmas[0] == pytest.approx(schedule.sigma_max)
    grid = time_grid(schedule, 20, "explicit", sigmas=sigmas)

    class FromTheirStart(NoiseSource):
        def normal(self, purpose, step, *levels):
            ratio = float(grid.sigma[0]) if float(grid.scale[0]) == 1 else 1 / float(grid.scale[0])
            return super().normal(purpose, step) * (math.hypot(1, sigmas[0]) / ratio)

    mine = integrate(DDIM(0.0), denoiser, grid, schedule, FromTheirStart(3, range(5), SHAPE, dtype=torch.float64))
    assert_close(mine, other, 1e-4)


def test_step_arguments():
    scheduler = DiffusersScheduler("DDIMScheduler", TRAILING, {"eta": 1.0})
    noise = NoiseSource(3, range(5), SHAPE)
    assert_close(scheduler.run(DENOISER, SCHEDULE, 20, noise), ours(DDIM(1.0)))


def test_most_classes_are_supported():
    assert len(set(SUPPORTED) - OF_THEIR_OWN) >= 19


def test_noise_of_its_own_is_refused(monkeypatch):
    scheduler = DiffusersScheduler("DDIMScheduler", TRAILING)
    original = scheduler._class.step
    monkeypatch.setattr(scheduler._class, "step", lambda *a, **k: (torch.rand(1), original(*a, **k))[1])
    with pytest.raises(UsageError, match="noise of its own"):
        scheduler.run(DENOISER, SCHEDULE, 3, NoiseSource(3, range(5), SHAPE))


def test_path_of_the_sde_scheduler():
    """Stages that start at one sigma see nested increments of one Brownian motion; others are independent."""
    path = _Path(NoiseSource(0, range(20000), (1, 1, 1), dtype=torch.float64))
    a, b, c = path(9.0, 8.0).flatten(), path(9.0, 5.0).flatten(), path(5.0, 4.0).flatten()
    for z in (a, b, c):
        assert z.var() == pytest.approx(1, abs=0.03)
    assert float((a * b).mean()) == pytest.approx(0.5, abs=0.03)  # sqrt(1 / 4)
    assert float((b * c).mean()) == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("DDIMSchedular", {}, "no scheduler"),
        ("UNet2DModel", {}, "no scheduler"),
        ("DDIMScheduler", {"solver_order": 2}, 'takes no "solver_order"'),
        ("DDIMScheduler", {"prediction_type": "sample"}, "comes from the model"),
        ("FlowMatchEulerDiscreteScheduler", {}, "trained_betas"),
        ("DDIMInverseScheduler", {}, "from data to noise"),
    ],
)
def test_refused_at_once(name, config, said):
    with pytest.raises(UsageError, match=said):
        DiffusersScheduler(name, config)


@pytest.mark.parametrize(
    ("name", "config", "schedule", "said"),
    [
        ("IPNDMScheduler", {}, SCHEDULE, "alpha_bar"),
        ("DDIMScheduler", {"rescale_betas_zero_snr": True}, SCHEDULE, "alpha_bar"),
    ],
)
def test_schedules_that_are_not_the_models(name, config, schedule, said):
    with pytest.raises(ScheduleError, match=said):
        DiffusersScheduler(name, config).evaluated(schedule, 10)


@pytest.mark.parametrize(
    ("name", "config", "steps"),
    [("PNDMScheduler", {}, 3), ("DPMSolverMultistepScheduler", {"timestep_spacing": "nonsense"}, 5)],
)
def test_what_a_class_refuses_is_told(name, config, steps):
    said = f"^{name} of diffusers can't take {steps} steps with this config: ValueError: "
    with pytest.raises(CellFailed, match=said):
        DiffusersScheduler(name, config).build(SCHEDULE, steps)


def test_warming_up_without_runge_kutta():
    config = {"skip_prk_steps": True}
    for steps in (1, 2, 5):
        spent = len(DiffusersScheduler("PNDMScheduler", config).evaluated(SCHEDULE, steps)["t"])
        entry = SAMPLERS[f"{PREFIX}PNDMScheduler"]
        assert spent == entry.nfe(steps, options=entry.options(config=config))


def test_heun():
    """Theirs starts from sigma_max n, ours from sqrt(1 + sigma_max^2) n: 2e-5 apart."""
    entry = SAMPLERS["heun"]
    sampler = load(entry.target)(**entry.options().model_dump())
    assert_close(theirs("HeunDiscreteScheduler", TRAILING), ours(sampler), 1e-4)
