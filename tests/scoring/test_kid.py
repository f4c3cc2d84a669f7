from __future__ import annotations

import numpy as np
import pytest

from diffbench.errors import ReferenceDataError, ScoringError
from diffbench.scoring.kid import kernel_mean, kernel_sums, kid

RNG = np.random.default_rng


def test_by_hand(make_reference):
    # d = 1: among x (1 * -1 + 1)^3 = 0; among y (0 * 1 + 1)^3 = 1; across mean(1, 8, 1, 0) = 2.5
    score = kid(np.array([[1.0], [-1.0]]), make_reference([[0.0], [1.0]]))
    assert score.value == pytest.approx(-4.0, rel=1e-15)
    # among - across: 0 - 4.5 and 0 - 0.5; twice, centred
    np.testing.assert_allclose(score.influence, [-4.0, 4.0], rtol=1e-15)


def loops(x, y):
    def kernel(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    among = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    among += sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return among - 2 * sum(kernel(a, b) for a in x for b in y) / (n * m)


def test_against_plain_loops(make_reference):
    x, y = RNG(0).standard_normal((13, 5)), RNG(1).standard_normal((17, 5)) + 0.5
    assert kid(x, make_reference(y)).value == pytest.approx(loops(x.tolist(), y.tolist()), rel=1e-12)


def test_blocks_do_not_matter():
    x, y = RNG(0).standard_normal((23, 4)), RNG(1).standard_normal((31, 4))
    whole = kernel_sums(x, y, block=100)
    for block in (1, 7, 23, 31):
        np.testing.assert_allclose(kernel_sums(x, y, block=block), whole, rtol=1e-13)
    np.testing.assert_allclose(whole, ((x @ y.T / 4 + 1) ** 3).sum(axis=1), rtol=1e-13)


def test_unbiased_so_also_negative(make_reference):
    reference = make_reference(RNG(0).standard_normal((500, 8)))
    values = [kid(RNG(seed).standard_normal((30, 8)), reference).value for seed in range(1, 101)]
    # all from the reference's own distribution: zero on average, about half of them negative
    assert 20 < sum(value < 0 for value in values) < 80
    assert abs(np.mean(values)) < 4 * np.std(values) / 10


def test_memory_stays_bounded(make_reference):
    import tracemalloc

    x = RNG(0).standard_normal((6000, 4))
    reference = make_reference(x[:3000])
    tracemalloc.start()
    kid(x, reference)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 2**20  # the whole kernel would be 275 MiB


def test_too_few_or_identical(make_reference):
    reference = make_reference(RNG(0).standard_normal((9, 3)))
    for n in (0, 1):
        score = kid(np.zeros((n, 3)), reference)
        assert score.value is None and score.reason == f"too few samples: n = {n}, at least 2 are needed"
    score = kid(np.full((5, 3), 2.0), reference)
    assert score.value > 0 and score.se is None and "same features" in score.reason
    with pytest.raises(ScoringError, match="n = 1"):
        kernel_mean(np.zeros((1, 3)))


def test_bad_features(make_reference):
    reference = make_reference(RNG(1).standard_normal((50, 8)), name="digits")
    x = RNG(0).standard_normal((20, 8))
    x[13, 2] = np.inf
    with pytest.raises(ScoringError, match="sample 13 "):
        kid(x, reference)
    with pytest.raises(ReferenceDataError, match="7 dimensions.*'digits' have 8"):
        kid(x[:13, :7], reference)
