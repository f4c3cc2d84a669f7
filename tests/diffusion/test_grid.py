"""Time grids: hand-worked points, landing points, options and refusals."""

import json

import numpy as np
import pytest

from diffbench.catalog import GRIDS, PRESETS
from diffbench.diffusion.grid import TimeGrid, default_grid, time_grid
from diffbench.diffusion.schedule import VE, VP, DiscreteDDPM, LinearFlow, SubVP
from diffbench.errors import ScheduleError

DDPM = DiscreteDDPM.from_betas("linear", 1e-4, 0.02)
SCHEDULES = [DDPM, VP(), SubVP(), VE(), LinearFlow()]


def options_for(kind, schedule, points):
    if kind != "explicit":
        return {}
    return {"sigmas": tuple(np.geomspace(schedule.sigma_max, schedule.sigma_min, points))}


@pytest.mark.parametrize(
    ("kind", "steps", "expected"),
    [
        ("trailing", 4, [999, 749, 499, 249]),
        ("trailing", 3, [999, 666, 332]),
        ("trailing", 1, [999]),
        ("leading", 4, [750, 500, 250, 0]),
        ("leading", 3, [666, 333, 0]),
        ("leading", 7, [852, 710, 568, 426, 284, 142, 0]),
        ("leading", 1, [999]),
        ("ldm", 4, [751, 501, 251, 1]),
        ("ldm", 400, list(range(799, 0, -2))),
        ("ldm", 1, [999]),
        ("linspace", 4, [999, 666, 333, 0]),
        ("linspace", 3, [999, 500, 0]),
        ("linspace", 1, [999]),
        ("quadratic", 5, [800, 450, 200, 50, 0]),
        ("quadratic", 4, [800, 355, 88, 0]),
        ("quadratic", 1, [999]),
    ],
)
def test_discrete_spacings_hit_these_indices(kind, steps, expected):
    grid = time_grid(DDPM, steps, kind)
    assert grid.t.tolist() == [*expected, -1]
    np.testing.assert_array_equal(grid.sigma[:-1], DDPM.sigma(np.array(expected, dtype=float)))
    np.testing.assert_array_equal(grid.scale[:-1], DDPM.scale(np.array(expected, dtype=float)))


def test_quadratic_ends_at_four_fifths_of_the_chain():
    assert time_grid(DiscreteDDPM.from_betas("linear", 1e-4, 0.02, 6), 3, "quadratic").t.tolist() == [4, 1, 0, -1]


def test_points_of_the_papers_quadratic_grid_count_once():
    """The authors' seq has the same index again where it is dense: steps of no length, which change nothing."""
    theirs = [int(s) for s in np.linspace(0, np.sqrt(1000 * 0.8), 100) ** 2]
    grid = time_grid(DDPM, 100, "ddim-quadratic")
    assert grid.t[:-1].tolist() == sorted(set(theirs), reverse=True) and grid.steps == len(set(theirs)) < 100
    assert time_grid(DDPM, 20, "ddim-quadratic").steps == 20


def test_latent_diffusions_grid_lands_on_the_first_index():
    """Their ddim_timesteps and the alpha_bar before each: that of index 0 before the last, and no 1000 to begin at."""
    grid = time_grid(DDPM, 200, "ldm", "sigma_min")
    assert grid.t.tolist() == [*range(996, 0, -5), 0] and grid.steps == 200
    assert grid.sigma[-1] == DDPM.sigma(np.array(0.0))
    with pytest.raises(ScheduleError, match="grid ldm: 1000 points begin at index 1000, which there is not"):
        time_grid(DDPM, 1000, "ldm")


def test_all_indices_can_be_used():
    for kind in ("trailing", "leading", "linspace"):
        assert time_grid(DDPM, 1000, kind).t.tolist() == list(range(999, -2, -1))


@pytest.mark.parametrize("schedule", [VP(), LinearFlow()])
def test_continuous_spacings(schedule):
    start, end = schedule.t_start, schedule.t_end
    expected = {
        "trailing": start * np.array([1, 0.75, 0.5, 0.25]),
        "linspace": start + (end - start) * np.array([0, 1 / 3, 2 / 3, 1]),
        "quadratic": (start**0.5 + (end**0.5 - start**0.5) * np.array([0, 1 / 3, 2 / 3, 1])) ** 2,
    }
    for kind, t in expected.items():
        grid = time_grid(schedule, 4, kind)
        np.testing.assert_allclose(grid.t, [*t, 0.0], rtol=1e-14)
        assert grid.t[0] == start
        np.testing.assert_array_equal(grid.sigma[:-1], schedule.sigma(grid.t[:-1]))
        np.testing.assert_array_equal(grid.scale[:-1], schedule.scale(grid.t[:-1]))


def test_trailing_stops_at_the_smallest_time_of_the_network():
    grid = time_grid(VP(t_end=0.3), 4)
    np.testing.assert_allclose(grid.t, [1.0, 0.75, 0.5, 0.3, 0.0])
    with pytest.raises(ScheduleError, match=r"points 7 and 8 of 11 are .*\(t = 0.3\)"):
        time_grid(VP(t_end=0.3), 10)


def test_karras_points():
    sigma = time_grid(VE(0.002, 80.0), 3, "karras", sigma_min=0.01, sigma_max=80.0).sigma
    middle = (0.5 * 80 ** (1 / 7) + 0.5 * 0.01 ** (1 / 7)) ** 7
    np.testing.assert_allclose(sigma, [80.0, middle, 0.01, 0.0], rtol=1e-13)
    linear = time_grid(VE(0.002, 80.0), 3, "karras", rho=1.0, sigma_min=10.0, sigma_max=50.0).sigma
    np.testing.assert_allclose(linear, [50.0, 30.0, 10.0, 0.0], rtol=1e-13)


def test_exponential_points():
    sigma = time_grid(VE(0.002, 80.0), 3, "exponential", sigma_min=0.01, sigma_max=10.0, rho=2.0).sigma
    np.testing.assert_allclose(sigma, [10.0, 0.01 * 1000**0.25, 0.01, 0.0], rtol=1e-13)
    plain = [time_grid(VP(), 6, kind).sigma for kind in ("exponential", "log-snr")]
    np.testing.assert_allclose(*plain, rtol=1e-13)


def test_time_points():
    np.testing.assert_allclose(time_grid(VP(), 4, "time").t, time_grid(VP(), 4, "linspace").t, rtol=1e-14)
    np.testing.assert_allclose(time_grid(VP(), 4, "time", rho=2.0).t, time_grid(VP(), 4, "quadratic").t, rtol=1e-14)
    cubic = time_grid(VP(), 3, "time", rho=3.0, t_end=0.008).t
    np.testing.assert_allclose(cubic, [1.0, 0.6**3, 0.008, 0.0], rtol=1e-14)
    assert time_grid(DDPM, 3, "time").t.tolist() == [999.0, 499.5, 0.0, -1.0]


def test_presets_are_other_grids_under_a_papers_name():
    for name, (kind, options) in PRESETS.items():
        preset, same = time_grid(DDPM, 5, name), time_grid(DDPM, 5, kind, **options)
        np.testing.assert_array_equal(preset.sigma, same.sigma)
        assert preset.kind == name
    assert time_grid(DDPM, 4, "ddim-quadratic").t.tolist() == [800, 355, 88, 0, -1]
    np.testing.assert_array_equal(time_grid(VE(), 5, "polynomial").sigma, time_grid(VE(), 5, "karras").sigma)


def test_log_snr_points_are_geometric():
    sigma = time_grid(VE(0.002, 80.0), 4, "log-snr", sigma_min=0.01, sigma_max=10.0).sigma
    np.testing.assert_allclose(sigma, [10.0, 1.0, 0.1, 0.01, 0.0], rtol=1e-13)


def test_explicit_points_are_taken_as_they_are():
    grid = time_grid(VE(), 3, "explicit", sigmas=(20.0, 3.0, 0.5))
    assert grid.sigma.tolist() == [20.0, 3.0, 0.5, 0.0]
    grid = time_grid(VE(), 2, "explicit", "sigma_min", sigmas=(20.0, 3.0, 0.5))
    assert grid.sigma.tolist() == [20.0, 3.0, 0.5]
    with pytest.raises(ScheduleError, match="3 sigmas are needed for these steps, got 2"):
        time_grid(VE(), 3, "explicit", sigmas=(20.0, 3.0))


def test_ends_default_to_the_schedule_s_and_are_exact():
    for kind in ("karras", "log-snr"):
        for schedule in SCHEDULES:
            grid = time_grid(schedule, 5, kind)
            assert (grid.sigma[0], grid.sigma[-2]) == (schedule.sigma_max, schedule.sigma_min)
            assert (grid.t[0], grid.t[-2]) == pytest.approx((schedule.t_start, schedule.t_end), rel=1e-10)


@pytest.mark.parametrize(
    ("schedule", "kind"),
    [
        (s, kind)
        for s in SCHEDULES
        for kind in GRIDS
        if s.discrete or PRESETS.get(kind, (kind,))[0] not in ("leading", "ldm")
        if isinstance(s, LinearFlow) or kind != "shifted"
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_every_grid_lands_where_it_says(schedule, kind, steps):
    grid = time_grid(schedule, steps, kind, **options_for(kind, schedule, steps))
    assert grid.steps == steps
    assert (grid.sigma[-1], grid.scale[-1]) == (0.0, 1.0)
    assert grid.t[-1] == (-1.0 if schedule.discrete else 0.0)
    assert (grid.kind, grid.final) == (kind, "denoise")
    open_end = time_grid(schedule, steps, kind, "sigma_min", **options_for(kind, schedule, steps + 1))
    assert (open_end.steps, open_end.final) == (steps, "sigma_min")
    assert open_end.sigma[-1] > 0
    for g in (grid, open_end):
        assert np.all(np.diff(g.sigma) < 0)
        assert np.all(np.diff(g.t) < 0)
        np.testing.assert_allclose(g.scale, schedule.scale_of(g.sigma), rtol=1e-13)
        evaluated = slice(None, -1)
        np.testing.assert_allclose(schedule.sigma(g.t[evaluated]), g.sigma[evaluated], rtol=1e-10)
    if steps == 1:
        assert grid.sigma[0] == schedule.sigma_max


def test_with_sigma_min_the_points_are_those_of_one_step_more():
    for kind in ("trailing", "linspace", "karras"):
        np.testing.assert_array_equal(time_grid(DDPM, 4, kind, "sigma_min").sigma, time_grid(DDPM, 5, kind).sigma[:-1])


def test_default_grids():
    assert [default_grid(schedule) for schedule in SCHEDULES] == ["trailing"] * 3 + ["karras", "trailing"]


def test_description_holds_the_exact_points():
    grid = time_grid(VP(), 3)
    described = json.loads(json.dumps(grid.to_dict()))
    assert described == {"t": grid.t.tolist(), "sigma": grid.sigma.tolist()}


def test_grids_can_not_be_changed():
    grid = time_grid(VP(), 3)
    for array in (grid.t, grid.sigma, grid.scale):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


@pytest.mark.parametrize(
    ("schedule", "steps", "kind", "options", "message"),
    [
        (DDPM, 0, "trailing", {}, "grid trailing: needs at least 1 step, got 0"),
        (DDPM, 2.0, "trailing", {}, "grid trailing: needs at least 1 step, got 2.0"),
        (DDPM, 1001, "trailing", {}, "1001 points do not fit into 1000 indices"),
        (DDPM, 1001, "leading", {}, "1001 points do not fit into 1000 indices"),
        (DDPM, 100, "quadratic", {}, "points 93 and 94 of 101 are 0.0189696 (t = 2) and 0.0189696 (t = 2)"),
        (VP(), 5, "leading", {}, "is defined on discrete schedules only"),
        (VP(), 1, "leading", {}, "is defined on discrete schedules only"),
        (VP(), 5, "uniform", {}, "unknown grid 'uniform': use one of trailing, leading"),
        (VP(), 5, "time", {"t_end": 1e-4}, "grid time: t_end must lie within [0.001, 1), got 0.0001"),
        (VP(), 5, "pndm", {}, "grid pndm: is defined on discrete schedules only"),
        (VP(), 5, "edm", {"rho": 7}, "grid edm: rho: Extra inputs"),
        (VP(), 5, "trailing", {"rho": 7}, "grid trailing: rho: Extra inputs"),
        (VP(), 5, "karras", {"rho": -7.0}, "grid karras: rho: Input should be greater than 0"),
        (VP(), 5, "karras", {"sigma_max": 200.0}, "sigma 200 lies outside the model's range [0.010486, 152.167]"),
        (VP(), 5, "karras", {"sigma_min": 0.002}, "sigma 0.002 lies outside the model's range"),
        (VP(), 5, "karras", {"sigma_min": 1.0, "sigma_max": 1.0}, "sigma_min must be below sigma_max"),
        (VP(), 1, "karras", {"sigma_min": 2.0, "sigma_max": 1.0}, "sigma_min must be below sigma_max"),
        (VE(), 2, "explicit", {"sigmas": (1.0, 2.0)}, "points 0 and 1 of 3 are 1 "),
        (VE(), 2, "explicit", {"sigmas": (1.0, 1.0)}, "points 0 and 1 of 3 are 1 "),
        (VE(), 2, "explicit", {"sigmas": (1.0, 0.0)}, "sigma 0 lies outside"),
        (VE(), 2, "explicit", {}, "grid explicit: sigmas: Field required"),
    ],
)
def test_impossible_grids_say_why(schedule, steps, kind, options, message):
    with pytest.raises(ScheduleError) as caught:
        time_grid(schedule, steps, kind, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_final_is_checked():
    with pytest.raises(ScheduleError, match="final must be denoise or sigma_min, got 'zero'"):
        time_grid(VP(), 5, final="zero")
    with pytest.raises(ScheduleError, match="1001 points do not fit"):
        time_grid(DDPM, 1000, "leading", "sigma_min")


def test_grids_made_by_hand_are_checked():
    t, sigma, scale = np.array([1.0, 0.0]), np.array([5.0, 0.0]), np.ones(2)
    grid = TimeGrid(t, sigma, scale, "mine", "denoise")
    sigma[0] = 7.0
    assert (grid.steps, grid.sigma.tolist()) == (1, [5.0, 0.0])
    with pytest.raises(ScheduleError, match="sigma_min can't end at sigma 0"):
        TimeGrid(t, sigma, scale, "mine", "sigma_min")
    with pytest.raises(ScheduleError, match="denoise can't end at sigma 1"):
        TimeGrid(t, np.array([5.0, 1.0]), scale, "mine", "denoise")
    with pytest.raises(ScheduleError, match="sigma must be finite"):
        TimeGrid(t, np.array([np.inf, 0.0]), scale, "mine", "denoise")
    with pytest.raises(ScheduleError, match="differ in length"):
        TimeGrid(np.zeros(3), sigma, scale, "mine", "denoise")
    with pytest.raises(ScheduleError, match="needs at least 1 step"):
        TimeGrid(t[:1], sigma[:1], scale[:1], "mine", "denoise")


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_a_shifted_grid_of_a_flow_multiplies_the_odds_of_its_times(shift: float) -> None:
    """t / (1 - t) is sigma: it is ``shift`` times that of evenly spaced times (Esser et al. 2024, Eq. 23)."""
    grid = time_grid(LinearFlow(), 4, "shifted", shift=shift)
    even = np.array([0.75, 0.5, 0.25])
    np.testing.assert_allclose(grid.sigma[1:4], shift * even / (1 - even), rtol=1e-12)
    assert grid.t[0] == LinearFlow().t_start and grid.sigma[4] == 0


def test_only_a_flow_has_a_shift() -> None:
    with pytest.raises(ScheduleError, match="grid shifted: is of flows, not VP"):
        time_grid(VP(), 4, "shifted", shift=3.0)
