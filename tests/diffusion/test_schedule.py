"""Values, domains and construction of the noise schedules; their laws are in tests/laws/test_schedule.py."""

import json
from decimal import Decimal, localcontext

import numpy as np
import pytest

from diffbench.diffusion.schedule import VE, VP, DiscreteDDPM, LinearFlow, SubVP, schedule_from
from diffbench.errors import ScheduleError

LINEAR = {"kind": "ddpm", "betas": "linear", "beta_start": 1e-4, "beta_end": 0.02, "steps": 1000}
SPECS = [
    LINEAR,
    {"kind": "ddpm", "betas": "cosine", "steps": 50},
    {"kind": "vp", "beta_min": 0.1, "beta_max": 20, "t_end": 1e-5},
    {"kind": "subvp", "beta_min": 0.1, "beta_max": 20},
    {"kind": "ve", "sigma_min": 0.01, "sigma_max": 50},
    {"kind": "flow"},
]
TIMES = [1e-6, 1e-3, 0.01, 0.37, 0.5, 1.0]


def integral_of_beta(t: float) -> Decimal:
    """B(t) of beta from 0.1 to 20, exact to 50 digits."""
    return Decimal("9.95") * Decimal(t) ** 2 + Decimal("0.1") * Decimal(t)


@pytest.mark.parametrize("t", TIMES)
def test_vp_agrees_with_its_closed_form_in_high_precision(t):
    with localcontext() as context:
        context.prec = 50
        mean = (-integral_of_beta(t) / 2).exp()
        std = (1 - mean**2).sqrt()
        assert VP().scale(t) == pytest.approx(float(mean), rel=1e-14)
        assert VP().sigma(t) == pytest.approx(float(std / mean), rel=1e-13)


@pytest.mark.parametrize("t", TIMES)
def test_sub_vp_agrees_with_its_closed_form_in_high_precision(t):
    with localcontext() as context:
        context.prec = 50
        mean = (-integral_of_beta(t) / 2).exp()
        std = 1 - mean**2
        beta = Decimal("0.1") + Decimal("19.9") * Decimal(t)
        diffusion = beta * (1 - (-2 * integral_of_beta(t)).exp())
        assert SubVP().scale(t) == pytest.approx(float(mean), rel=1e-13)
        assert SubVP().sigma(t) == pytest.approx(float(std / mean), rel=1e-13)
        assert SubVP().diffusion_squared(t) == pytest.approx(float(diffusion), rel=1e-13)


@pytest.mark.parametrize("t", TIMES)
def test_ve_agrees_with_its_closed_form(t):
    schedule = VE(0.01, 50.0)
    assert schedule.sigma(t) == pytest.approx(0.01 * 5000.0**t, rel=1e-14)
    assert schedule.scale(t) == 1.0
    assert schedule.drift(t) == 0.0
    assert schedule.diffusion_squared(t) == pytest.approx((0.01 * 5000.0**t) ** 2 * 2 * np.log(50 / 0.01), rel=1e-13)


def test_linear_flow_interpolates():
    t = np.array([0.0, 0.001, 0.5, 0.75])
    schedule = LinearFlow()
    np.testing.assert_allclose(schedule.scale(t), 1 - t, rtol=1e-15)
    np.testing.assert_allclose(schedule.scale(t) * schedule.sigma(t), t, rtol=1e-15)
    assert schedule.sigma_max == pytest.approx(1e4, rel=1e-11)
    assert schedule.sigma_min == pytest.approx(1e-3 / 0.999, rel=1e-14)


@pytest.mark.parametrize(
    ("schedule", "low", "high"),
    [
        (DiscreteDDPM.from_betas("linear", 1e-4, 0.02), 0.0100, 157.4),
        (DiscreteDDPM.from_betas("scaled_linear", 0.0015, 0.0195), 0.0388, 83.8),
        (DiscreteDDPM.from_betas("scaled_linear", 0.0015, 0.0155), 0.0388, 38.66),
        (DiscreteDDPM.from_betas("scaled_linear", 0.00085, 0.012), 0.0292, 14.615),
        (VP(), 1.05e-2, 152.2),
        (SubVP(), 1.1e-4, 152.2),
        (VE(), 0.01, 50.0),
    ],
)
def test_known_ends(schedule, low, high):
    assert schedule.sigma_min == pytest.approx(low, rel=5e-3)
    assert schedule.sigma_max == pytest.approx(high, rel=1e-3)


def test_discrete_chain_is_the_product_of_its_betas():
    betas = [0.1, 0.2, 0.3]
    schedule = DiscreteDDPM.from_betas("linear", 0.1, 0.3, 3)
    alphas_cumprod = np.array([0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7])
    index = np.arange(3.0)
    np.testing.assert_allclose(schedule.betas, betas, rtol=1e-15)
    np.testing.assert_allclose(schedule.alphas_cumprod, alphas_cumprod, rtol=1e-15)
    np.testing.assert_allclose(schedule.scale(index) ** 2, alphas_cumprod, rtol=1e-14)
    np.testing.assert_allclose(schedule.sigma(index), np.sqrt((1 - alphas_cumprod) / alphas_cumprod), rtol=1e-14)
    assert (schedule.t_start, schedule.t_end) == (2.0, 0.0)


def test_scaled_linear_is_linear_in_the_root():
    roots = np.sqrt(DiscreteDDPM.from_betas("scaled_linear", 0.0016, 0.0196, 7).betas)
    np.testing.assert_allclose(roots, 0.04 + np.arange(7) / 6 * 0.1, rtol=1e-14)


def test_cosine_betas_telescope_to_the_squared_cosine_and_are_capped():
    schedule = DiscreteDDPM.from_betas("cosine", steps=100)
    u = np.arange(101) / 100
    f = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(schedule.alphas_cumprod[:-1], (f[1:] / f[0])[:-1], rtol=1e-12)
    assert schedule.betas[-1] == 0.999


def test_between_indices_log_sigma_is_linear():
    schedule = DiscreteDDPM.from_betas("linear", 1e-4, 0.02)
    a, b = np.log(schedule.sigma(np.array([499.0, 500.0])))
    sigma = schedule.sigma(499.25)
    assert np.log(sigma) == pytest.approx(a + 0.25 * (b - a), rel=1e-13)
    assert schedule.scale(499.25) == pytest.approx((1 + sigma**2) ** -0.5, rel=1e-15)


def test_the_data_are_index_minus_one():
    schedule = DiscreteDDPM.from_betas("linear", 1e-4, 0.02)
    assert (schedule.sigma(-1), schedule.scale(-1), schedule.t_of(0.0)) == (0.0, 1.0, -1.0)
    np.testing.assert_array_equal(schedule.sigma(np.array([-1.0, 0.0])) == 0, [True, False])


@pytest.mark.parametrize("bad", [-0.5, -2.0, 999.5, 1000.0, np.nan, np.inf])
def test_discrete_times_outside_are_refused(bad):
    schedule = DiscreteDDPM.from_betas("linear", 1e-4, 0.02)
    for method in (schedule.sigma, schedule.scale):
        with pytest.raises(ScheduleError, match="outside the schedule's range"):
            method(np.array([5.0, bad]))


@pytest.mark.parametrize("schedule", [VP(), SubVP(), VE(), LinearFlow()])
@pytest.mark.parametrize("bad", [-1.0, -1e-9, 1.0 + 1e-9, np.nan])
def test_continuous_times_outside_are_refused(schedule, bad):
    methods = [schedule.sigma, schedule.scale]
    methods += [schedule.drift, schedule.diffusion_squared] if schedule.has_sde else []
    for method in methods:
        with pytest.raises(ScheduleError, match="outside the schedule's range"):
            method(bad)


@pytest.mark.parametrize("schedule", [VP(), VE(), LinearFlow(), DiscreteDDPM.from_betas("linear", 1e-4, 0.02)])
@pytest.mark.parametrize("bad", [-1.0, 1.001e4, np.nan])
def test_sigmas_outside_are_refused(schedule, bad):
    with pytest.raises(ScheduleError, match="outside the schedule's range"):
        schedule.t_of(np.array([1.0, bad]))


def test_sigmas_below_the_first_of_a_range_are_refused():
    with pytest.raises(ScheduleError, match=r"sigma 0.009 lies outside .*\[0.01, 50\]"):
        VE().t_of(0.009)
    with pytest.raises(ScheduleError, match="sigma 0 lies outside"):
        VE().t_of(0.0)
    with pytest.raises(ScheduleError, match="sigma 0.0099 lies outside"):
        DiscreteDDPM.from_betas("linear", 1e-4, 0.02).t_of(0.0099)


@pytest.mark.parametrize("schedule", [LinearFlow(), DiscreteDDPM.from_betas("linear", 1e-4, 0.02)])
def test_only_the_sdes_have_a_drift(schedule):
    assert not schedule.has_sde
    with pytest.raises(ScheduleError, match=f"{type(schedule).__name__} defines no SDE"):
        schedule.drift(0.5)
    with pytest.raises(ScheduleError, match=f"{type(schedule).__name__} defines no SDE"):
        schedule.diffusion_squared(0.5)


def test_floats_give_floats_and_arrays_keep_their_shape():
    schedule = VP()
    assert type(schedule.sigma(0.5)) is float
    assert schedule.sigma(np.full((2, 3), 0.5)).shape == (2, 3)
    assert schedule.t_of(np.empty(0)).shape == (0,)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["kind"])
def test_schedules_survive_their_description(spec):
    schedule = schedule_from(spec)
    described = json.loads(json.dumps(schedule.to_dict()))
    assert spec.items() <= described.items()
    assert schedule_from(described) == schedule
    assert schedule_from(described).to_dict() == described


def test_smallest_times_are_those_of_score_sde():
    assert [schedule.t_end for schedule in (VP(), SubVP(), VE(), LinearFlow())] == [1e-3, 1e-3, 1e-5, 1e-3]


def test_specs_reach_the_right_fields():
    assert schedule_from({"kind": "ve", "sigma_min": 0.02, "sigma_max": 90}) == VE(0.02, 90.0)
    assert schedule_from({"kind": "subvp", "beta_min": 0.2, "beta_max": 10}) == SubVP(0.2, 10.0)
    assert schedule_from({"kind": "vp", "beta_min": 0.2, "beta_max": 10, "t_end": 1e-5}) == VP(0.2, 10.0, 1e-5)
    assert schedule_from({"kind": "flow", "t_end": 0.01}) == LinearFlow(0.01)
    assert schedule_from(LINEAR) == DiscreteDDPM.from_betas("linear", 1e-4, 0.02, 1000)
    assert schedule_from(LINEAR) != schedule_from({**LINEAR, "beta_end": 0.03})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "unknown schedule kind None"),
        ({"kind": "edm"}, "unknown schedule kind 'edm': use one of ddpm, vp, subvp, ve, flow"),
        ({"kind": ["vp"]}, "unknown schedule kind"),
        ({"kind": "vp", "beta_min": 0.1}, "schedule vp: missing key 'beta_max'"),
        ({"kind": "vp", "beta_min": 0.1, "beta_max": 20, "beta": 1}, "schedule vp: unknown key 'beta'"),
        ({"kind": "vp", "beta_min": "0.1", "beta_max": 20}, "beta_min must be a number, got '0.1'"),
        ({"kind": "vp", "beta_min": True, "beta_max": 20}, "beta_min must be a number, got True"),
        ({"kind": "vp", "beta_min": 0, "beta_max": 20}, "need 0 < beta_min <= beta_max"),
        ({"kind": "vp", "beta_min": 20, "beta_max": 0.1}, "need 0 < beta_min <= beta_max"),
        ({"kind": "subvp", "beta_min": 0.1, "beta_max": float("nan")}, "need 0 < beta_min <= beta_max"),
        ({"kind": "vp", "beta_min": 0.1, "beta_max": 20, "t_end": 1}, "need 0 < t_end < 1"),
        ({"kind": "ve", "sigma_min": 50, "sigma_max": 0.01}, "need 0 < sigma_min < sigma_max"),
        ({"kind": "ve", "sigma_min": 0, "sigma_max": 50}, "need 0 < sigma_min < sigma_max"),
        ({"kind": "ve", "sigma_min": 0.01, "sigma_max": 50, "t_end": 0}, "need 0 < t_end < 1"),
        ({"kind": "vp", "beta_min": 0.1, "beta_max": 20, "t_end": 0}, "need 0 < t_end < 1"),
        ({"kind": "ve", "sigma_min": 0.01, "sigma_max": 50, "t_end": 1}, "need 0 < t_end < 1"),
        ({"kind": "flow", "t_end": 0}, "need 0 < t_end < 0.9999"),
        ({"kind": "flow", "t_end": 1}, "need 0 < t_end < 0.9999"),
        ({"kind": "flow", "shift": 3}, "schedule flow: unknown key 'shift'"),
        ({**LINEAR, "betas": "sigmoid"}, "unknown betas 'sigmoid'"),
        ({**LINEAR, "betas": "cosine"}, "schedule ddpm: unknown key 'beta_end'"),
        ({**LINEAR, "steps": 1000.0}, "steps must be an integer, got 1000.0"),
        ({**LINEAR, "steps": 0}, "need at least 1 step"),
        ({**LINEAR, "beta_start": 0}, "need 0 < beta_start <= beta_end < 1"),
        ({**LINEAR, "beta_end": 1}, "need 0 < beta_start <= beta_end < 1"),
        ({"kind": "ddpm", "betas": "linear", "steps": 10}, "schedule ddpm: missing key 'beta_end'"),
    ],
)
def test_bad_specs_say_what_is_wrong(spec, message):
    with pytest.raises(ScheduleError) as caught:
        schedule_from(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_direct_construction_checks_the_ends_too():
    with pytest.raises(ScheduleError, match="cosine betas take no beta_start"):
        DiscreteDDPM.from_betas("cosine", 1e-4, 0.02)
    with pytest.raises(ScheduleError, match="need 0 < beta_start"):
        DiscreteDDPM.from_betas("linear")


def test_tables_are_read_only():
    schedule = DiscreteDDPM.from_betas("linear", 1e-4, 0.02)
    for table in (schedule.betas, schedule.alphas_cumprod):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 0.5
