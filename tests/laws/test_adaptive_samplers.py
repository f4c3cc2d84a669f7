"""RK45 and adaptive DPM-Solver: scipy's own steps, the exact flow, tolerances, samples of their own."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.analytic import GaussianDenoiser, GaussianMixtureDenoiser
from diffbench.diffusion.denoiser import Counted
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import schedule_from
from diffbench.samplers.dpm_adaptive import DPMAdaptive
from diffbench.samplers.integrate import integrate
from diffbench.samplers.runge_kutta import ProbabilityFlowRK45, solve_rk45

VP = schedule_from({"kind": "vp", "beta_min": 0.1, "beta_max": 20.0})
SUBVP = schedule_from({"kind": "subvp", "beta_min": 0.1, "beta_max": 20.0})
VE = schedule_from({"kind": "ve", "sigma_min": 0.02, "sigma_max": 20.0})
MIXTURE = GaussianMixtureDenoiser(
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
    torch.tensor([[1.0, 0.5], [-0.8, 0.9], [0.2, -1.1]], dtype=torch.float64).view(3, 2, 1, 1),
    torch.tensor([0.3, 0.4, 0.25], dtype=torch.float64),
)
GAUSSIAN = GaussianDenoiser(torch.full((2, 1, 1), 0.3, dtype=torch.float64), 0.25)
ADAPTIVE = [name for name, entry in SAMPLERS.items() if entry.adaptive]


def noise(indices=range(4)):
    return NoiseSource(5, indices, (2, 1, 1), dtype=torch.float64)


def whole(schedule, final="sigma_min"):
    """One interval from the largest sigma to the smallest."""
    return time_grid(schedule, 1 if final == "sigma_min" else 2, "karras", final)


def oscillator(times, x, rows):
    t = torch.as_tensor(times, dtype=x.dtype).unsqueeze(1)
    return torch.cat([x[:, 1:2] * (1 + t), -4 * x[:, 0:1] + torch.sin(3 * t)], dim=1)


def burst(times, x, rows):
    """At rest from the origin until t = 1: long steps run into the burst and are cut as far as they may be."""
    t = torch.as_tensor(times, dtype=x.dtype).unsqueeze(1)
    return torch.cat([300 * torch.exp(-(((t - 1) / 0.02) ** 2)) - 0 * x[:, :1], -x[:, 1:] - x[:, :1]], dim=1)


def still(times, x, rows):
    """No motion at all: the first step is the least that the rules have."""
    return 0 * x


def creeping(times, x, rows):
    """Motion and its change so slow that other rules choose the first step."""
    t = torch.as_tensor(times, dtype=x.dtype).unsqueeze(1)
    return 1e-8 * torch.cat([t, t**2], dim=1) + 0 * x


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize(
    ("ode", "begin", "end"),
    [(oscillator, 0.0, 3.0), (oscillator, 2.0, 0.1), (oscillator, 1.0, 1.0003), (burst, 0.0, 3.0), (burst, 3.0, 0.0)]
    + [(still, 1.0, 4.0), (still, 4.0, 1.0), (creeping, 1.0, 4.0)],
)
def test_every_row_is_solved_with_scipys_own_steps(tolerance, ode, begin, end):
    x = torch.tensor([[1.0, 0.0], [-3.0, 0.5], [0.01, 100.0], [0.0, 0.0], [1e-3, 1e-3]], dtype=torch.float64)
    x[-1] *= tolerance  # between what counts as no distance from the origin and what does not
    counts = np.zeros(len(x), dtype=int)

    def counting(times, points, rows):
        counts[rows.numpy()] += 1
        return ode(times, points, rows)

    solved = solve_rk45(counting, x, begin, end, tolerance, tolerance)
    for row in range(len(x)):

        def one(t, y):
            return ode([t], torch.from_numpy(y).unsqueeze(0), None)[0].numpy()

        expected = solve_ivp(one, (begin, end), x[row].numpy(), "RK45", rtol=tolerance, atol=tolerance)
        close = 1e-9 if ode is oscillator else 1e-6  # in front of the burst, step sizes follow from rounding errors
        np.testing.assert_allclose(solved[row].numpy(), expected.y[:, -1], rtol=close, atol=1e-11)
        assert counts[row] == expected.nfev


@pytest.mark.parametrize("schedule", [VP, SUBVP, VE], ids=["vp", "subvp", "ve"])
def test_rk45_finds_the_exact_flow_of_a_gaussian(schedule):
    grid = whole(schedule)
    x = integrate(ProbabilityFlowRK45(1e-8, 1e-8), GAUSSIAN, grid, schedule, noise())
    scale = float(grid.scale[0])
    start = noise().normal("start", 0) * (float(grid.sigma[0]) if scale == 1 else 1 / scale)
    exact = GAUSSIAN.flow(start, float(grid.sigma[0]), float(grid.sigma[-1]))
    assert float((x - exact).abs().max()) < 1e-6


@pytest.mark.parametrize("order", [2, 3])
def test_dpm_adaptive_finds_the_exact_flow_of_a_gaussian(order):
    grid = whole(VP)
    x = integrate(DPMAdaptive(order, 1e-6, 1e-6), GAUSSIAN, grid, VP, noise())
    start = noise().normal("start", 0) / float(grid.scale[0])
    exact = GAUSSIAN.flow(start, float(grid.sigma[0]), float(grid.sigma[-1]))
    assert float((x - exact).abs().max()) < 1e-4


def published_step(order, noise_at, x, lam, h):
    """DPM-Solver, Algorithms 3 to 5 in x_t of a VP model: where the lower and the higher order lead."""

    def alpha(at):
        return 1 / np.sqrt(1 + np.exp(-2 * at))

    def std(at):
        return 1 / np.sqrt(1 + np.exp(2 * at))

    def along(share):
        to = lam + share * h
        return alpha(to) / alpha(lam) * x - std(to) * np.expm1(share * h) * first

    first, end = noise_at(x, lam), std(lam + h)
    if order == 2:
        difference = noise_at(along(1 / 2), lam + h / 2) - first
        return along(1), along(1) - end * np.expm1(h) * difference
    one, two = lam + h / 3, lam + 2 * h / 3
    difference = noise_at(along(1 / 3), one) - first
    low = along(1) - end / (2 / 3) * np.expm1(h) * difference
    middle = along(2 / 3) - std(two) * 2 * (np.expm1(2 * h / 3) / (2 * h / 3) - 1) * difference
    return low, along(1) - end / (2 / 3) * (np.expm1(h) / h - 1) * (noise_at(middle, two) - first)


@pytest.mark.parametrize(("rtol", "atol"), [(0.05, 0.0078), (0.001, 0.01), (0.02, 1e-4)])
@pytest.mark.parametrize("order", [2, 3])
def test_dpm_adaptive_is_the_papers_algorithm(order, rtol, atol):
    """DPM-Solver, appendix C, Algorithms 6 and 7, written out for one sample: the same steps, hence the same end."""
    mean, variance, evaluations = 0.3, 0.25, 0

    def noise_at(x, at):
        nonlocal evaluations
        evaluations += 1
        x_hat = x * np.sqrt(1 + np.exp(-2 * at))
        return np.exp(-at) / (variance + np.exp(-2 * at)) * (x_hat - mean)

    grid = whole(VP)
    lam, last, h = -np.log(grid.sigma[0]), -np.log(grid.sigma[-1]), 0.05
    x = before = noise(range(1)).normal("start", 0).flatten().numpy()
    while last - lam > 1e-12:
        h = min(h, last - lam)
        low, high = published_step(order, noise_at, x, lam, h)
        error = np.sqrt(np.mean(((low - high) / np.maximum(atol, rtol * np.maximum(abs(low), abs(before)))) ** 2))
        if error <= 1:
            before, x, lam = low, high, lam + h
        h = 0.9 * h * error ** (-1 / order)
    counted = Counted(GAUSSIAN)
    ours = integrate(DPMAdaptive(order, rtol, atol), counted, grid, VP, noise(range(1))) * float(grid.scale[-1])
    np.testing.assert_allclose(ours.flatten().numpy(), x, rtol=1e-8, atol=1e-8)
    assert counted.samples_evaluated == evaluations


@pytest.mark.parametrize(("order", "power"), [(2, 1 / 2), (3, 1 / 3)])
def test_smaller_tolerances_cost_what_the_order_says(order, power):
    """The error of the lower order is h^order, so evaluations grow as tolerance^(-1/order)."""
    counts = []
    for tolerance in (1e-5, 1e-6, 1e-7) if order == 2 else (1e-6, 1e-7, 1e-8):
        counted = Counted(MIXTURE)
        integrate(DPMAdaptive(order, tolerance, tolerance), counted, whole(VE), VE, noise(range(1)))
        counts.append(counted.samples_evaluated)
    growth = np.log(np.array(counts[1:]) / counts[:-1]) / np.log(10)
    assert np.all(np.abs(growth - power) < 0.06), (counts, growth)


@pytest.mark.parametrize("order", [2, 3])
def test_a_pair_is_of_the_two_orders(order):
    """Local errors of order h^order and h^(order + 1), measured against a fine solution."""
    x = noise(range(1)).normal("start", 0)
    lam = np.array([0.3])

    def denoise(points, sigma):
        return MIXTURE(points, sigma).x0

    errors = []
    for h in (0.1, 0.05, 0.025):
        solver = DPMAdaptive(order)
        fine = x
        for k in range(64):
            _, fine = DPMAdaptive(3).pair(fine, lam + k * h / 64, np.array([h / 64]), denoise)
        errors.append([float((end - fine).abs().max()) for end in solver.pair(x, lam, np.array([h]), denoise)])
    slopes = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    np.testing.assert_allclose(slopes[-1], [order, order + 1], atol=0.25)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_samples_have_steps_of_their_own_unless_coupled(name):
    def run(indices, **options):
        counted = Counted(MIXTURE)
        sampler = load(SAMPLERS[name].target)(rtol=1e-3, atol=1e-3, **options)
        return integrate(sampler, counted, whole(VP), VP, noise(indices)), counted.samples_evaluated

    together, cost = run(range(4))
    alone = [run([i]) for i in range(4)]
    assert torch.equal(together, torch.cat([x for x, _ in alone]))
    assert cost == sum(count for _, count in alone)
    assert len({count for _, count in alone}) > 1
    coupled, pooled_cost = run(range(4), coupled=True)
    assert pooled_cost % 4 == 0
    assert 0 < float((coupled - together).abs().max()) < 0.05
    one, _ = run([2], coupled=True)
    torch.testing.assert_close(one, alone[2][0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_landing_on_the_data_costs_one_evaluation_more(name):
    costs = []
    ends = []
    for final in ("sigma_min", "denoise"):
        counted = Counted(MIXTURE)
        ends.append(integrate(load(SAMPLERS[name].target)(), counted, whole(VP, final), VP, noise()))
        costs.append(counted.samples_evaluated)
    assert costs[1] == costs[0] + 4
    sigma = torch.full((4,), float(whole(VP).sigma[-1]), dtype=torch.float64)
    assert torch.equal(ends[1], MIXTURE(ends[0], sigma).x0)
    assert costs[0] >= 4 * SAMPLERS[name].nfe(1, "sigma_min")


@pytest.mark.parametrize("final", ["denoise", "sigma_min"])
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("name", ADAPTIVE)
def test_no_run_costs_less_than_the_catalog_says_and_short_intervals_cost_just_that(name, order, final):
    entry = SAMPLERS[name]
    options = {"rtol": 0.1, "atol": 0.1, **({"order": order} if name == "dpm-adaptive" else {})}
    for steps in (1, 2, 3, 7, 20, 60):
        counts = []
        for sigmas in (np.geomspace(20.0, 0.03, 61), np.geomspace(1.0, 0.98, 61)):
            counted = Counted(GAUSSIAN)
            points = tuple(sigmas[: steps + (final == "sigma_min")])
            grid = time_grid(VE, steps, "explicit", final, sigmas=points)
            integrate(load(entry.target)(**options), counted, grid, VE, noise(range(1)))
            counts.append(counted.samples_evaluated)
        least = entry.nfe(steps, final, entry.options(**options))
        assert counts[0] >= least == counts[1]
