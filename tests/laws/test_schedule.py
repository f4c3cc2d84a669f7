"""Laws that every noise schedule obeys."""

import numpy as np
import pytest

from diffbench.diffusion.schedule import VE, VP, DiscreteDDPM, LinearFlow, SubVP

CONTINUOUS = [VP(), VP(0.5, 0.5), VP(0.1, 20.0, 1e-5), SubVP(), SubVP(0.2, 5.0), VE(), VE(0.002, 1348.0), LinearFlow()]
DISCRETE = [
    DiscreteDDPM.from_betas("linear", 1e-4, 0.02),
    DiscreteDDPM.from_betas("scaled_linear", 0.0015, 0.0195),
    DiscreteDDPM.from_betas("cosine", steps=4000),
    DiscreteDDPM.from_betas("linear", 0.3, 0.3, 1),
]
SDES = [schedule for schedule in CONTINUOUS if schedule.has_sde]


def times(schedule, count=20001):
    if schedule.discrete:
        return np.linspace(0.0, schedule.t_start, count)
    near_zero = np.geomspace(1e-3 * schedule.t_end, schedule.t_start, count // 2)
    return np.sort(np.concatenate([np.linspace(0.0, schedule.t_start, count // 2), near_zero]))


@pytest.mark.parametrize("schedule", CONTINUOUS + DISCRETE, ids=repr)
def test_t_of_inverts_sigma_on_the_whole_range(schedule):
    t = times(schedule)
    with np.errstate(all="raise"):
        back = schedule.t_of(schedule.sigma(t))
    usable = t >= schedule.t_end
    np.testing.assert_allclose(back[usable], t[usable], rtol=1e-10, atol=1e-11 if schedule.discrete else 0)
    np.testing.assert_allclose(back, t, rtol=0, atol=1e-11 * max(schedule.t_start, 1.0))


@pytest.mark.parametrize("schedule", CONTINUOUS + DISCRETE, ids=repr)
def test_sigma_inverts_t_of(schedule):
    sigma = np.geomspace(schedule.sigma_min, schedule.sigma_max, 5001)
    np.testing.assert_allclose(schedule.sigma(schedule.t_of(sigma)), sigma, rtol=3e-11)


@pytest.mark.parametrize("schedule", DISCRETE, ids=repr)
def test_tabulated_sigmas_give_their_indices_exactly(schedule):
    index = np.arange(schedule.steps, dtype=np.float64)
    sigma = schedule.sigma(index)
    np.testing.assert_array_equal(schedule.t_of(sigma), index)
    # A scalar, a stride and an offset may take another path through log.
    for part in (slice(None, None, 3), slice(1, None), slice(None, None, -1)):
        np.testing.assert_array_equal(schedule.t_of(sigma[part]), index[part])
    assert [schedule.t_of(float(level)) for level in sigma[::97]] == index[::97].tolist()
    inner = slice(1, -1)
    np.testing.assert_array_equal(schedule.t_of(np.nextafter(sigma[inner], np.inf)), index[inner])


@pytest.mark.parametrize("schedule", DISCRETE, ids=repr)
def test_indices_give_the_tabulated_sigmas_exactly(schedule):
    table = np.sqrt(np.expm1(-np.cumsum(np.log1p(-schedule.betas))))
    np.testing.assert_array_equal(schedule.sigma(np.arange(schedule.steps, dtype=np.float64)), table)


@pytest.mark.parametrize("schedule", CONTINUOUS + DISCRETE, ids=repr)
def test_sigma_increases_with_t(schedule):
    t = times(schedule, 2001)
    assert np.all(np.diff(schedule.sigma(np.unique(t))) > 0)


@pytest.mark.parametrize("schedule", CONTINUOUS + DISCRETE, ids=repr)
def test_scale_is_the_same_function_of_t_and_of_sigma(schedule):
    t = times(schedule, 2001)
    np.testing.assert_allclose(schedule.scale_of(schedule.sigma(t)), schedule.scale(t), rtol=1e-14)


@pytest.mark.parametrize("schedule", CONTINUOUS + DISCRETE, ids=repr)
def test_variance_is_preserved_where_the_schedule_says_so(schedule):
    t = times(schedule, 2001)
    variance = schedule.scale(t) ** 2 * (1 + schedule.sigma(t) ** 2)
    assert np.allclose(variance, 1.0, rtol=1e-13, atol=0) == schedule.variance_preserving


@pytest.mark.parametrize("schedule", SDES, ids=repr)
def test_drift_is_the_derivative_of_log_scale(schedule):
    t, h = np.linspace(0.01, 0.99, 99), 1e-5
    slope = (np.log(schedule.scale(t + h)) - np.log(schedule.scale(t - h))) / (2 * h)
    np.testing.assert_allclose(schedule.drift(t), slope, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("schedule", SDES, ids=repr)
def test_diffusion_is_the_growth_of_the_variance(schedule):
    t, h = np.linspace(0.01, 0.99, 99), 1e-6
    slope = (schedule.sigma(t + h) ** 2 - schedule.sigma(t - h) ** 2) / (2 * h)
    np.testing.assert_allclose(schedule.diffusion_squared(t), schedule.scale(t) ** 2 * slope, rtol=1e-7)


def test_a_fine_discrete_chain_approaches_the_vp_sde():
    # beta_i = beta(t)/T (Score-SDE, section 3.4), so index i has had (i + 1)/T of the SDE's time.
    steps = 20000
    chain = DiscreteDDPM.from_betas("linear", 0.1 / steps, 20.0 / steps, steps)
    index = np.array([199.0, 1999.0, 9999.0, 17999.0])
    np.testing.assert_allclose(chain.sigma(index), VP().sigma((index + 1) / steps), rtol=5e-3)


def test_sub_vp_has_less_variance_than_vp_under_the_same_scale():
    t = np.linspace(0.01, 1.0, 100)
    np.testing.assert_allclose(SubVP().scale(t), VP().scale(t), rtol=1e-13)
    np.testing.assert_allclose(SubVP().scale(t) * SubVP().sigma(t), (VP().scale(t) * VP().sigma(t)) ** 2, rtol=1e-13)
