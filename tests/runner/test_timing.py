import math

import numpy as np
import pytest

from diffbench.runner.timing import Timing, block_median, load_timing
from diffbench.store.sealed import write_sealed


def test_the_interval_needs_six_blocks():
    assert block_median([3.0, 1.0, 2.0]) == block_median([1.0, 2.0, 3.0])
    assert block_median([1.0, 2.0, 3.0]).value == 2.0
    assert block_median([1.0] * 5).ci_low is None
    six = block_median([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    assert (six.value, six.ci_low, six.ci_high, six.blocks) == (3.5, 1.0, 6.0, 6)


@pytest.mark.parametrize("n", [6, 9, 20, 101])
def test_the_order_statistics_cover_the_median_with_95_percent_and_no_wider(n):
    """Coverage of (x_(k), x_(n+1-k)) is 1 - 2 P(Bin(n, 1/2) <= k - 1), here summed independently."""
    k = int(block_median(list(range(1, n + 1))).ci_low)

    def coverage(k):
        return 1 - 2 * sum(math.comb(n, j) for j in range(k)) / 2**n

    assert coverage(k) >= 0.95 > coverage(k + 1)
    assert block_median(list(range(1, n + 1))).ci_high == n + 1 - k


def test_the_interval_covers_in_simulation():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        middle = block_median(list(rng.lognormal(size=12)))
        hits += middle.ci_low <= 1.0 <= middle.ci_high
    assert hits >= 940


def test_a_stored_pass_that_cannot_be_read_is_none(tmp_path):
    assert load_timing(tmp_path / "timing.json") is None
    write_sealed(tmp_path / "timing.json", {"limit": 3, "surprise": 1})
    assert load_timing(tmp_path / "timing.json") is None


def test_timing_covers_only_the_same_question():
    class Cell:
        id = "a"

    here = {"code": "c0ffee", "torch": "2.9"}
    timing = Timing(30.0, 8, "cpu", here, cells=["a"], blocks={"a": [0.1]})
    timing.probes = {"a": "p"}
    assert timing.covers([Cell()], "cpu", 30.0, 8, dict(here), {"a": "p"})
    assert not timing.covers([Cell()], "cpu", 30.0, 8, here, {"a": "another network"})
    assert not timing.covers([Cell()], "cuda:0", 30.0, 8, here, {"a": "p"})
    assert not timing.covers([Cell()], "cpu", 30.0, 16, here, {"a": "p"})
    assert not timing.covers([Cell()], "cpu", 30.0, 8, {**here, "code": "faster"}, {"a": "p"})
    Cell.id = "b"
    assert not timing.covers([Cell()], "cpu", 30.0, 8, here, {"b": "p"})
