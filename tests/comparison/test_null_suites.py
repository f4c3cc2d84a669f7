"""The short form of ``tests/null_suites.py``."""

import numpy as np
from null_suites import SHIFT, alarms, suite

from diffbench.scoring.reference import Reference


def test_suites_without_a_difference_alarm_as_seldom_as_they_say():
    rng, count, alpha = np.random.default_rng(1), 60, 0.05
    reference = Reference.of("synthetic", rng.normal(size=(2000, 16)), np.zeros((2000, 5)), "none", (1, 1, 1))
    found, _ = alarms([suite(rng, reference) for _ in range(count)], alpha)
    assert found <= alpha + 3 * (alpha * (1 - alpha) / count) ** 0.5
    _, detected = alarms([suite(rng, reference, SHIFT) for _ in range(20)], alpha)
    assert detected > 0.9
