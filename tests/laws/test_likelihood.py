"""Log-densities by the ODE: closed forms, exact densities, all schedules alike, an unbiased trace of known variance."""

import math

import numpy as np
import pytest
import torch

from diffbench.diffusion.analytic import GaussianDenoiser, GaussianMixtureDenoiser
from diffbench.diffusion.denoiser import Counted, Denoised
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.likelihood import _signs, bits_per_dim, dequantise, log_density, prior_scale
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import VE, VP, DiscreteDDPM, LinearFlow, SubVP
from diffbench.samplers.integrate import start

LOWEST = 0.01
SCHEDULES = {
    "vp": VP(t_end=VP().t_of(LOWEST)),
    "subvp": SubVP(t_end=SubVP().t_of(LOWEST)),
    "ve": VE(low=LOWEST, high=200.0),
    "flow": LinearFlow(t_end=LinearFlow().t_of(LOWEST)),
    "ddpm": DiscreteDDPM.from_betas("linear", 1e-4, 0.02),
}
SHAPE = (2, 2, 1)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


ROOT = 0.3 * draw(4, 4, seed=3)
GAUSSIAN = GaussianDenoiser(0.3 * draw(*SHAPE, seed=2), ROOT @ ROOT.T + 0.02 * torch.eye(4, dtype=torch.float64))
MEANS, SCALES = 0.7 * draw(3, *SHAPE, seed=4), torch.tensor([0.3, 0.15, 0.5], dtype=torch.float64)
MIXTURE = GaussianMixtureDenoiser(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), MEANS, SCALES)
DATA = {
    "gaussian": (GAUSSIAN, 0.5 * draw(3, *SHAPE, seed=7)),
    "mixture": (MIXTURE, MEANS + SCALES.view(3, 1, 1, 1) * draw(3, *SHAPE, seed=7)),
}


def bits(nats):
    return nats / (4 * math.log(2))


def pushed_forward(x, schedule):
    """Density of what the exact flow of the Gaussian makes of the distribution that sampling starts from."""
    low, high, scale = schedule.sigma_min, schedule.sigma_max, prior_scale(schedule)
    eigenvalues = torch.linalg.eigvalsh(ROOT @ ROOT.T) + 0.02
    at_start = torch.distributions.Normal(torch.zeros(SHAPE, dtype=torch.float64), scale)
    started = at_start.log_prob(GAUSSIAN.flow(x, low, high)).flatten(1).sum(1)
    return started + 0.5 * ((eigenvalues + high**2) / (eigenvalues + low**2)).log().sum()


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_gaussian_is_solved_to_its_closed_form(name):
    x = DATA["gaussian"][1]
    solved = log_density(GAUSSIAN, x, SCHEDULES[name], None, 1e-4)
    assert float(bits(solved.nats - pushed_forward(x, SCHEDULES[name])).abs().max()) < 1e-5


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("data", DATA)
def test_the_density_is_that_of_the_data_whatever_the_schedule(data, name):
    denoiser, x = DATA[data]
    solved = log_density(denoiser, x, SCHEDULES[name], None, 0.005)
    true = denoiser.log_density(x, torch.full((3,), LOWEST, dtype=torch.float64))
    assert float(bits(solved.nats - true).abs().max()) < 2e-3


def test_the_method_is_of_fourth_order():
    x, schedule = DATA["gaussian"][1], SCHEDULES["vp"]
    exact = pushed_forward(x, schedule)
    steps = (96, 192, 384)
    found = [log_density(GAUSSIAN, x, schedule, None, 1.0, first_steps=n, most_steps=n).nats for n in steps]
    errors = [float((nats - exact).abs().max()) for nats in found]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(orders - 4) < 0.35), orders


@pytest.mark.parametrize("name", SCHEDULES)
def test_it_begins_where_sampling_starts(name):
    schedule = SCHEDULES[name]

    class Ones:
        def normal(self, purpose, step, sigma_from=0.0, sigma_to=0.0):
            return torch.ones(1, 1, 1, 1)

    grid = time_grid(schedule, 4, "trailing" if name != "ve" else "karras", "denoise")
    assert prior_scale(schedule) == pytest.approx(float(start(grid, schedule, Ones())), rel=1e-6)


class Linear:
    """D = A x_hat / (1 + sigma^2): its divergence is the same everywhere, and known."""

    matrix = torch.tensor([[0.9, 0.3, -0.2, 0.1], [0.1, 0.7, 0.4, 0.0], [0.0, -0.5, 0.8, 0.2], [0.3, 0.0, 0.1, 0.6]])

    def __call__(self, x_hat, sigma):
        moved = x_hat.flatten(1) @ self.matrix.double().T
        return Denoised((moved / (1 + sigma**2).unsqueeze(1)).view_as(x_hat))


def test_signs_are_even_and_independent():
    noise = NoiseSource(3, range(2000), (1, 4, 4))
    first, second = (_signs(noise, probe).flatten(1) for probe in (0, 1))
    assert set(first.unique().tolist()) == {-1.0, 1.0}
    limit = 4.5 / math.sqrt(2000)
    assert abs(float(first.mean())) < limit / 4
    for one, other in ((first, first), (first, second)):
        products = one.T @ other / 2000
        apart = products if one is not other else products - products.diag().diag()
        assert float(apart.abs().max()) < limit


@pytest.mark.parametrize("probes", [1, 4])
def test_the_trace_is_unbiased_with_hutchinsons_variance(probes):
    count, schedule = 4000, SCHEDULES["vp"]
    x = draw(1, *SHAPE).expand(count, *SHAPE)
    options = {"tolerance": 1.0, "first_steps": 16, "most_steps": 16}
    exact = float(log_density(Linear(), x[:1], schedule, None, **options).nats)
    drawn = log_density(Linear(), x, schedule, NoiseSource(3, range(count), SHAPE), probes=probes, **options).nats
    # The integral of 1 / (1 + sigma^2) over log sigma, and Var v^T A v = 2 sum over i != j of ((A + A^T) / 2)_ij^2.
    low, high = schedule.sigma_min, schedule.sigma_max
    weight = 0.5 * math.log(high**2 / (1 + high**2)) - 0.5 * math.log(low**2 / (1 + low**2))
    half = (Linear.matrix + Linear.matrix.T) / 2
    deviation = weight * math.sqrt(2 * float((half - half.diag().diag()).square().sum()) / probes)
    assert abs(float(drawn.mean()) - exact) < 4 * deviation / math.sqrt(count)
    assert float(drawn.std()) == pytest.approx(deviation, rel=0.05)


def test_an_image_depends_on_its_index_and_nothing_else_of_its_batch():
    x, indices = torch.cat([DATA["mixture"][1], DATA["gaussian"][1]]), [4, 9, 2, 7, 0, 5]

    def solve(rows, source=MIXTURE):
        noise = NoiseSource(1, [indices[row] for row in rows], SHAPE)
        return log_density(source, x[rows], SCHEDULES["vp"], noise, 0.05, probes=2)

    together = solve(range(6))
    for rows in ([0, 1], [5, 3], [2], [4]):
        apart = solve(rows)
        assert torch.equal(apart.nats, together.nats[rows]) and torch.equal(apart.nfe, together.nfe[rows])


def test_steps_are_doubled_until_nothing_moves_and_every_evaluation_counts():
    narrow = GaussianMixtureDenoiser(torch.ones(3), MEANS, torch.full((3,), 0.1))
    between = 0.5 * (MEANS[0] + MEANS[1])  # where two components meet, the path is hard to follow
    x, counted = torch.stack([MEANS[0], between]), Counted(narrow)
    solved = log_density(counted, x, SCHEDULES["vp"], NoiseSource(1, range(2), SHAPE), 0.02)
    assert bool((solved.change.abs() <= 0.02).all())
    assert solved.nfe[1] > solved.nfe[0] and int(solved.nfe.sum()) == counted.samples_evaluated
    few = log_density(narrow, x, SCHEDULES["vp"], None, 1e-9, most_steps=32)
    assert few.nfe.tolist() == [4 * (16 + 32)] * 2 and bool((few.change.abs() > 1e-9).all())


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0)])
@pytest.mark.parametrize("how", ["uniform", "rounding"])
def test_pixels_of_a_known_distribution_cost_their_entropy(low, high, how):
    """The bound of Theis et al. is tight for a density that hardly varies over a pixel."""
    count, mean, deviation = 40, 120.0, 25.0
    pixels = np.random.default_rng(5).normal(mean, deviation, (count, 1, 4, 4)).round().clip(0, 255)
    unit = (high - low) / (256 if how == "uniform" else 255)
    centre = low + (mean + (0.5 if how == "uniform" else 0.0)) * unit
    denoiser = GaussianDenoiser(torch.full((1, 4, 4), centre, dtype=torch.float64), (deviation * unit) ** 2)
    schedule = VE(low=1e-3, high=200.0)
    x = dequantise(torch.from_numpy(pixels.astype(np.uint8)), NoiseSource(0, range(count), (1, 4, 4)), low, high, how)
    nats = log_density(denoiser, x, schedule, NoiseSource(0, range(count), (1, 4, 4)), 0.05).nats
    found = bits_per_dim(nats, 16, low, high, how)
    levels = np.arange(256)
    share = np.exp(-0.5 * ((levels - mean) / deviation) ** 2)
    expected = -(np.log2(share / share.sum())[pixels.astype(int)]).mean(axis=(1, 2, 3))
    assert np.abs(found.numpy() - expected).max() < 0.03
    assert float(found.mean()) == pytest.approx(expected.mean(), abs=4e-3)
