import numpy as np
import pytest

from diffbench.comparison.multiple import benjamini_hochberg, holm, quantile, upper_tail


def test_known_values():
    """By hand, from the definitions."""
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert holm([]) == benjamini_hochberg([]) == []
    assert holm([0.7, 0.8]) == [1.0, 1.0]


def test_holm_is_the_closed_test_procedure():
    """Reject i at alpha if every intersection of hypotheses that holds i is rejected by Bonferroni."""
    from itertools import combinations

    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.uniform(0, 0.4, size=4).tolist()
        for i, adjusted in enumerate(holm(p)):
            subsets = [s for size in range(1, 5) for s in combinations(range(4), size) if i in s]
            closed = max(min(1.0, len(s) * min(p[j] for j in s)) for s in subsets)
            assert adjusted == pytest.approx(closed)


def test_bh_rejects_what_the_step_up_rule_rejects():
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = np.sort(rng.uniform(0, 0.2, size=6))
        for q in (0.05, 0.1):
            passing = [k for k in range(6) if p[k] <= (k + 1) / 6 * q]
            rejected = max(passing) + 1 if passing else 0
            assert sum(a <= q for a in benjamini_hochberg(p.tolist())) == rejected


def test_upper_tail():
    """Of Student's law: its tables (9 degrees of freedom, 2.5%: 2.262), and its normal limit."""
    assert upper_tail(0, 9) == 0.5 and upper_tail(2.262157, 9) == pytest.approx(0.025, rel=1e-6)
    assert upper_tail(1.959964, 10**9) == pytest.approx(0.025, rel=1e-6) and upper_tail(30, 999) > 0
    assert quantile(0.975, 9) == pytest.approx(2.262157, rel=1e-6)
