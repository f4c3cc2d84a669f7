import pytest
from tiny_model import write_checkpoint
from tiny_run import cells, tiny_suite

from diffbench.status.cost import Rate, Rates
from diffbench.status.show import duration, plan_rows, plan_summary, reasons, size, status_summary
from diffbench.status.stored import CellState
from diffbench.store.shards import Flaw, ShardRange


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"), (0.4, "0.4 s"), (0.0123, "0.012 s"), (9.4, "9.4 s"), (9.96, "10 s"), (34.6, "35 s"), (59.4, "59 s"),
        (59.6, "1 min"), (60, "1 min"), (61, "1 min 1 s"), (190, "3 min 10 s"), (3599.6, "1 h"), (3600, "1 h"),
        (7500, "2 h 5 min"), (86399, "23 h 59 min"), (86400, "1 d"), (273600, "3 d 4 h"),
    ],
)  # fmt: skip
def test_durations(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1500, "1.5 kB"), (999_400, "999 kB"), (999_900, "1 MB"),
        (420_000_000, "420 MB"), (3.1e12, "3.1 TB"), (5.2e15, "5.2e+03 TB"),
    ],
)  # fmt: skip
def test_sizes(count, said):
    assert size(count) == said


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    checkpoint = write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")
    samplers = ["ddim", "ddpm", {"id": "noisy", "sampler": "ddim", "eta": 1.0}, "euler-maruyama"]
    planned = cells(tiny_suite(checkpoint, samplers=samplers))
    missing = Flaw("missing", "not sampled yet")
    ranges = [ShardRange(0, 2), ShardRange(2, 4), ShardRange(4, 5)]
    return [
        CellState(planned["ddim"], 3, {ranges[2]: Flaw("corrupt", "a reason")}),
        CellState(planned["ddpm"], 3, dict.fromkeys(ranges, missing)),
        CellState(planned["noisy"], 3, dict.fromkeys(ranges, missing)),
        CellState(planned["euler-maruyama"], 0),
    ]


def test_rows_and_totals_count_shared_samples_once(states):
    cell = states[0].cell
    rates = Rates({(cell.model_key, cell.batch_size): Rate(1.0, 2.0)}, "here", "a test")
    rows = plan_rows(states, rates, 3)
    assert [row["state"] for row in rows] == ["partly", "missing", "same", "skipped"]
    assert [row["samples_missing"] for row in rows] == [1, 5, 0, 0]
    assert [row["evaluations_missing"] for row in rows] == [2, 10, 0, 0]
    assert [row["seconds"] for row in rows] == [5.0, 25.0, 0.0, 0.0]
    assert rows[2]["same_as"] == states[1].cell.key and rows[2]["bytes"] == rows[3]["bytes"] == 0
    assert rows[0]["reason"] == "1 of 3 shards: a reason"
    said = plan_summary(rows, states, rates)
    assert said[-3] == "4 cells (1 partly, 1 missing, 1 same, 1 skipped); to do: 6 samples, 12 evaluations"
    assert said[-2] == f"disk when done: {size(2 * rows[0]['bytes'])}"
    assert said[-1] == "time: about 30 s on here (by a test), timing pass and scoring apart"
    assert len(reasons(rows)) == 2 and reasons(rows)[0] == "1 cell partly: 1 of 3 shards: a reason"
    assert "SDE" in reasons(rows)[1]


def test_unknown_times_are_said_to_be_unknown(states):
    for device, words in ((None, "no earlier run tells"), ("here", "no earlier run on here tells")):
        rates = Rates({}, device, "earlier runs")
        rows = plan_rows(states, rates, 3)
        assert rows[0]["seconds"] is None and rows[3]["seconds"] == 0.0
        assert plan_summary(rows, states, rates)[-1].startswith(f"time: unknown; {words} how fast tiny is")


def test_what_to_do_about_the_rest(states, tmp_path):
    rates = Rates({}, None, "")
    rows = plan_rows(states, rates, 3)
    said = status_summary(rows, tmp_path, "the command")
    assert said[-1] == f"{tmp_path}: 2 of 2 cells are not complete; the command goes on with them"
    done = plan_rows([CellState(states[0].cell, 3), states[3]], rates, 3)
    assert status_summary(done, tmp_path, "the command")[-1] == f"{tmp_path}: 1 cell, all sampled"
