from dataclasses import replace

import numpy as np
import pytest

from diffbench.comparison.paired import FEWEST, Difference, paired
from diffbench.comparison.verdict import verdicts
from diffbench.scoring.interval import score_from_influence
from diffbench.suite.gates import Margin

BASE = Difference(10.0, 10.0, 0.0, 0.01, 0.9, 10.0, 100, None)
ONE = Margin(0.1, relative=False)


def moved(value, se=0.01, **more):
    return replace(BASE, new=10.0 + value, value=value, se=se, **more)


def one(difference, lower=True, margin=ONE, **more):
    return verdicts([difference], [lower], [margin], **more)[0]


@pytest.mark.parametrize(
    ("value", "se", "word", "gate"),
    [
        (0.0, 0.01, "SAME", "pass"),
        (0.08, 0.01, "SAME", "pass"),
        (0.0, 0.1, "INCONCLUSIVE", "inconclusive"),
        (0.08, 0.0119, "SAME", "pass"),  # 1.66 standard errors from the margin: Student's 95%
        (0.08, 0.0122, "INCONCLUSIVE", "inconclusive"),
        (0.2, 0.01, "WORSE", "fail"),
        (-0.2, 0.01, "BETTER", "pass"),
        (0.12, 0.01, "INCONCLUSIVE", "inconclusive"),
        (-0.09, 0.02, "INCONCLUSIVE", "pass"),  # not worse, and no telling whether it is better
    ],
)
def test_the_four_words(value, se, word, gate):
    found = one(moved(value, se))
    assert (found.word, found.gate) == (word, gate)
    turned = one(moved(-value, se), lower=False)
    assert (turned.word, turned.gate) == (word, gate), "a score where higher is better, the other way round"


def test_a_relative_margin_is_a_share_of_the_base():
    found = one(moved(0.0), margin=Margin(0.02))
    assert found.margin == pytest.approx(0.2) and str(Margin(0.02)) == "2%" and str(ONE) == "0.1"
    assert one(replace(moved(0.0), base=-10.0), margin=Margin(0.02)).margin == pytest.approx(0.2)


def test_the_p_values_are_those_of_students_law():
    found = one(moved(0.12, 0.01))  # two standard errors above the margin
    assert found.p_worse == pytest.approx(0.0241198, rel=1e-4) and found.p_better == pytest.approx(1.0)
    assert one(moved(0.12), alpha=0.03).word == "WORSE"
    many = verdicts([moved(0.12)] + [moved(0.0)] * 9, [True] * 10, [ONE] * 10, alpha=0.03)
    assert many[0].p_worse == pytest.approx(0.241198, rel=1e-4) and many[0].word == "INCONCLUSIVE"


def test_what_has_no_error_never_passes():
    nothing = replace(BASE, new=None, value=None, se=None, reason="new has no value: failed")
    no_error = moved(0.0, None, reason="rank-deficient")
    few = moved(0.0, n=FEWEST - 1)
    constant = moved(0.3, 0.0)
    for difference, reason in ((nothing, "failed"), (no_error, "rank"), (few, "a test needs 50"), (constant, "spread")):
        found = one(difference)
        assert (found.word, found.gate) == ("INCONCLUSIVE", "inconclusive") and reason in found.reason
    equal = one(moved(0.0, 0.0, n=3, equal=True))
    assert (equal.word, equal.gate, equal.reason) == ("SAME", "pass", "equal sample by sample")
    for n in (3, 1000):  # as where all samples of both sides are inside the manifold: other samples, equal values
        alike = one(moved(0.0, 0.0, n=n))
        assert (alike.word, alike.gate) == ("INCONCLUSIVE", "inconclusive")


def test_the_number_of_samples_that_would_decide_does():
    """With errors falling as 1/sqrt(n), four in five repetitions are decided then, at least; not with half of that."""
    rng = np.random.default_rng(0)
    for harm in (0.02, 0.25):
        needed = one(moved(harm, 0.1)).samples
        share = []
        for n in (needed, needed // 2):
            se = 0.1 * (100 / n) ** 0.5
            words = [one(moved(float(rng.normal(harm, se)), se, n=n)).word for _ in range(2000)]
            share.append(np.mean([word != "INCONCLUSIVE" for word in words]))
        assert 0.78 < share[0] < 0.92 and share[1] < 0.7
    assert one(moved(0.1, 0.1)).samples is None, "exactly at the margin no number would do"
    assert one(moved(0.0)).samples is None


def test_the_smallest_detectable_harm_is_found_in_four_of_five():
    rng = np.random.default_rng(1)
    harm = one(moved(0.0, 0.1)).detectable
    words = [one(moved(float(rng.normal(harm, 0.1)), 0.1)).word for _ in range(4000)]
    assert np.mean([word == "WORSE" for word in words]) == pytest.approx(0.8, abs=0.02)


def test_null_suites_raise_false_alarms_as_seldom_as_they_say():
    """1,000 suites of 12 paired means without any difference, margin 0."""
    rng = np.random.default_rng(2)
    alarms, alpha, suites = 0, 0.05, 1000
    for _ in range(suites):
        differences = []
        for _ in range(12):
            base = rng.normal(size=FEWEST)
            new = base + 0.3 * rng.normal(size=FEWEST)
            differences.append(paired(*(score_from_influence(x.mean(), x - x.mean()) for x in (base, new))))
        found = verdicts(differences, [True] * 12, [Margin(0.0)] * 12, alpha=alpha)
        alarms += any(verdict.word == "WORSE" for verdict in found)
    assert alarms / suites <= alpha + 3 * (alpha * (1 - alpha) / suites) ** 0.5
