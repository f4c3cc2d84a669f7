import pytest

from diffbench.runner import bench_samplers as bench


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_one_row_a_pair_with_positive_times(monkeypatch):
    monkeypatch.setattr(bench, "SHAPE", (2, 1, 4, 4))
    rows = bench.bench_samplers(steps=6, rounds=2)
    assert [(row.sampler, row.scheduler) for row in rows] == [(name, other) for name, _, other, _ in bench.PAIRS]
    for row in rows:
        assert 0 < row.microseconds < row.with_conversion_microseconds
        assert row.with_conversion_ratio == pytest.approx(row.with_conversion_microseconds / row.scheduler_microseconds)
        assert row.ratio == pytest.approx(row.microseconds / row.scheduler_microseconds)
        assert row.scheduler in row.line() and f"{row.ratio:.2f}" in row.line()
        assert len(row.line()) == len(bench.HEADER)
        assert row.to_dict()["rounds"] == 2
