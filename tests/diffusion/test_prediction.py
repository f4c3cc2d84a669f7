"""Predictions: the table of preconditionings, and refusals; their laws are in tests/laws/test_prediction.py."""

import numpy as np
import pytest
import torch

from diffbench.diffusion.prediction import from_x0, preconditioning, to_x0
from diffbench.diffusion.schedule import VE, VP, DiscreteDDPM, LinearFlow, SubVP
from diffbench.errors import ScheduleError

DDPM = DiscreteDDPM.from_betas("linear", 1e-4, 0.02)
SIGMA = np.array([0.03, 0.5, 2.0, 40.0])
UNIT = 1 / np.sqrt(1 + SIGMA**2)


@pytest.mark.parametrize(
    ("kind", "schedule", "c_skip", "c_out", "c_in"),
    [
        ("epsilon", VP(), 1 + 0 * SIGMA, -SIGMA, UNIT),
        ("epsilon", DDPM, 1 + 0 * SIGMA, -SIGMA, UNIT),
        ("epsilon", SubVP(), 1 + 0 * SIGMA, -SIGMA, np.exp(-np.arcsinh(SIGMA / 2))),
        ("score", VE(), 1 + 0 * SIGMA, SIGMA**2, 1 + 0 * SIGMA),
        ("v_prediction", VP(), UNIT**2, -SIGMA * UNIT, UNIT),
        ("v_prediction", DDPM, UNIT**2, -SIGMA * UNIT, UNIT),
        ("flow", LinearFlow(), 1 / (1 + SIGMA), -SIGMA / (1 + SIGMA), 1 / (1 + SIGMA)),
        ("sample", VP(), 0 * SIGMA, 1 + 0 * SIGMA, UNIT),
    ],
)
def test_the_families_table(kind, schedule, c_skip, c_out, c_in):
    c = preconditioning(kind, schedule, SIGMA)
    for actual, expected in ((c.c_skip, c_skip), (c.c_out, c_out), (c.c_in, c_in), (c.t, schedule.t_of(SIGMA))):
        assert actual.dtype == np.float64
        np.testing.assert_allclose(actual, expected, rtol=1e-14)


@pytest.mark.parametrize("schedule", [VP(), SubVP(), VE(), DDPM, LinearFlow()], ids=lambda s: type(s).__name__)
def test_churned_sigmas_hold_the_time_and_follow_the_scale(schedule):
    sigma = np.array([schedule.sigma_max * 2**0.5])
    c = preconditioning("epsilon", schedule, sigma)
    assert c.t.tolist() == pytest.approx([schedule.t_start], rel=1e-12)
    assert c.c_out.tolist() == (-sigma).tolist()
    assert c.c_in.tolist() == schedule.scale_of(sigma).tolist()


@pytest.mark.parametrize("schedule", [VP(), SubVP(), VE(), DDPM, LinearFlow()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("factor", ["below", "above", "nan"])
def test_networks_are_not_called_outside_their_range(schedule, factor):
    level = {"below": schedule.sigma_min * 0.999, "above": schedule.sigma_max * 1.415, "nan": np.nan}[factor]
    with pytest.raises(ScheduleError, match="is no noise level of the network"):
        preconditioning("epsilon", schedule, np.array([1.0, level]))


@pytest.mark.parametrize("schedule", [VP(), SubVP(), VE(), DDPM, LinearFlow()], ids=lambda s: type(s).__name__)
def test_networks_are_called_at_the_ends_of_their_range(schedule):
    ends = np.array([schedule.sigma_min * (1 - 5e-10), schedule.sigma_min, schedule.sigma_max])
    t = preconditioning("epsilon", schedule, ends).t
    np.testing.assert_allclose(t, [schedule.t_end, schedule.t_end, schedule.t_start], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("schedule", [VE(), VP(), SubVP()], ids=lambda s: type(s).__name__)
def test_edms_table_is_the_same_on_all_schedules(schedule):
    """Karras et al. 2022, Table 1, last column."""
    c = preconditioning("edm", schedule, SIGMA, sigma_data=0.5)
    norm = np.sqrt(SIGMA**2 + 0.25)
    for actual, expected in ((c.c_skip, 0.25 / norm**2), (c.c_out, 0.5 * SIGMA / norm), (c.c_in, 1 / norm)):
        np.testing.assert_allclose(actual, expected, rtol=1e-14)
    assert c.t.tolist() == schedule.t_of(SIGMA).tolist()


@pytest.mark.parametrize("sigma_data", [None, 0.0, -1.0, np.nan, np.inf])
def test_edms_prediction_needs_the_spread_of_the_data(sigma_data):
    x = torch.zeros(1)
    for call in (
        lambda: to_x0("edm", x, x, 1.0, 1.0, sigma_data=sigma_data),
        lambda: from_x0("edm", x, x, 1.0, 1.0, sigma_data=sigma_data),
        lambda: preconditioning("edm", VE(), SIGMA, sigma_data),
    ):
        with pytest.raises(ScheduleError, match="edm needs a positive sigma_data, got"):
            call()


def test_a_flow_network_needs_a_flow_schedule():
    with pytest.raises(ScheduleError, match="flow prediction needs a flow schedule, not VP"):
        preconditioning("flow", VP(), SIGMA)


def test_unknown_kinds_are_refused():
    x = torch.zeros(1)
    for call in (
        lambda: to_x0("noise", x, x, 1.0, 1.0),
        lambda: from_x0("noise", x, x, 1.0, 1.0),
        lambda: preconditioning("noise", VP(), SIGMA),
    ):
        with pytest.raises(ScheduleError, match="unknown prediction 'noise': use one of epsilon, sample"):
            call()
