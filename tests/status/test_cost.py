import numpy as np
import pytest
from tiny_model import write_checkpoint
from tiny_run import cells, tiny_suite

from diffbench.status.cost import Rate, Rates, bytes_of, earlier_rates, fitted
from diffbench.store.sealed import write_sealed
from diffbench.store.sessions import FORMAT, new_path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def cell(checkpoint):
    return cells(tiny_suite(checkpoint))["ddim"]


def test_rates_are_found_again_from_exact_records():
    """Seconds = 0.003 samples + 0.02 evaluations, as three records."""
    records = [(n, n * nfe, 0.003 * n + 0.02 * n * nfe) for n, nfe in ((10, 5), (100, 20), (1000, 1))]
    rate = fitted(records)
    assert (rate.per_sample, rate.per_evaluation) == pytest.approx((0.003, 0.02), rel=1e-9)


def test_two_records_by_hand():
    """1 s for 1 sample at 1 evaluation, 3 s for 1 at 5: half a second an evaluation, half a second a sample."""
    rate = fitted([(1, 1, 1.0), (1, 5, 3.0)])
    assert (rate.per_sample, rate.per_evaluation) == pytest.approx((0.5, 0.5))


def test_the_fit_has_the_least_relative_error():
    """Against a search over a fine grid: an independent minimum of sum((prediction / seconds - 1)^2)."""
    random = np.random.default_rng(0)
    records = [(n, n * k, n * (0.004 + 0.01 * k) * random.uniform(0.8, 1.25)) for n in (5, 50) for k in (2, 10, 40)]

    def loss(per_sample, per_evaluation):
        return sum(((n * per_sample + e * per_evaluation) / s - 1) ** 2 for n, e, s in records)

    rate = fitted(records)
    grid = [(a, b) for a in np.linspace(0, 0.02, 101) for b in np.linspace(0.005, 0.02, 101)]
    best = min(grid, key=lambda pair: loss(*pair))
    assert loss(rate.per_sample, rate.per_evaluation) <= loss(*best)
    assert (rate.per_sample, rate.per_evaluation) == pytest.approx(best, abs=2e-4)


def test_one_number_of_evaluations_puts_all_on_them():
    rate = fitted([(10, 50, 5.0), (20, 100, 10.0)])
    assert (rate.per_sample, rate.per_evaluation) == pytest.approx((0.0, 0.1))


@pytest.mark.parametrize(
    "records",
    [
        [(1, 1, 3.0), (1, 5, 1.0)],  # more evaluations took less
        [(1, 1, 1.0), (1, 5, 8.0)],  # more than in proportion: a sample would cost less than nothing
        [(10, 10, 1.0), (10, 20, 0.1), (10, 40, 5.0)],
    ],
)
def test_no_part_is_ever_negative(records):
    rate = fitted(records)
    assert rate.per_sample >= 0 and rate.per_evaluation >= 0 and rate.per_sample + rate.per_evaluation > 0


def test_without_evaluations_or_records_nothing_is_divided_by_zero():
    assert fitted([]) == fitted([(3, 9, 0.0)]) == Rate(0.0, 0.0)
    assert fitted([(10, 0, 2.0)]) == Rate(pytest.approx(0.2), 0.0)


def test_work_is_the_sum_of_its_parts_and_unknown_if_one_is(cell):
    rates = Rates({(cell.model_key, cell.batch_size): Rate(0.5, 2.0)}, "here", "a test")
    assert rates.seconds([(cell, 3), (cell, 1)]) == 4 * (0.5 + cell.nfe * 2.0)
    assert rates.seconds([]) == 0.0
    unknown = Rates({(cell.model_key, cell.batch_size + 1): Rate(0.5, 2.0)}, "here", "a test")
    assert unknown.of(cell) is None and unknown.seconds([(cell, 1)]) is None
    assert unknown.seconds([(cell, 0)]) == 0.0


def test_disk_space_is_that_of_features_logits_and_images(cell):
    own = bytes_of(cell, images=3)
    assert own - bytes_of(cell, images=0) == 3 * 28 * 28
    assert bytes_of(cell, images=99) - bytes_of(cell, images=0) == cell.n * 28 * 28
    assert bytes_of(cell, images=0) == cell.n * (64 + 10) * 4 + 3 * 1500


def record(run, cell, started="2030-01-01T00:00:00+00:00", device="here", seconds=10.0, **changes):
    entry = {"model": cell.model_key, "batch_size": cell.batch_size, "samples": 10, "evaluations": 50}
    entry |= {"seconds": seconds}
    content = {"format": FORMAT, "started": started, "device": {"name": device}, "cells": {cell.id: entry}}
    write_sealed(new_path(run, started), {**content, **changes})


def test_earlier_runs_beside_a_run_tell_its_rates(cell, tmp_path):
    assert earlier_rates(tmp_path / "runs" / "new").by == {}
    record(tmp_path / "runs" / "old", cell)
    record(tmp_path / "elsewhere" / "old", cell, seconds=99.0)
    rates = earlier_rates(tmp_path / "runs" / "new")
    assert rates.device == "here" and rates.basis == "earlier runs"
    assert rates.of(cell) == Rate(0.0, pytest.approx(0.2))


def test_other_devices_do_not_count_and_the_latest_is_the_default(cell, tmp_path):
    run = tmp_path / "run"
    record(run, cell, device="here", seconds=10.0)
    record(run, cell, "2031-01-01T00:00:00+00:00", device="there", seconds=1.0)
    record(run, cell, "2032-01-01T00:00:00+00:00", device="idle", cells={})
    assert earlier_rates(run).device == "there"
    assert earlier_rates(run).of(cell).per_evaluation == pytest.approx(0.02)
    assert earlier_rates(run, "here").of(cell).per_evaluation == pytest.approx(0.2)
    assert earlier_rates(run, "nowhere").of(cell) is None
