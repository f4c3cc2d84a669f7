"""Trainings of one recipe: intervals that cover, and sampling told apart from training."""

import numpy as np
import pytest
from made_runs import made_run, noise

import diffbench
from diffbench.comparison.history import history
from diffbench.comparison.replicates import INDEPENDENT, replicates, spread
from diffbench.comparison.runs import open_runs
from diffbench.errors import UsageError
from diffbench.scoring.interval import Score, score_from_influence

N = 40


def trainings(rng, m, between, shared):
    """Scores of m trainings, means of N samples of unit variance, of which a share ``shared`` is common noise."""
    common = np.sqrt(shared) * rng.normal(size=N)
    own = np.sqrt(1 - shared) * rng.normal(size=(m, N))
    values = common + own + between * rng.normal(size=(m, 1))
    return [score_from_influence(one.mean(), one - one.mean()) for one in values]


@pytest.mark.parametrize(("m", "between", "shared"), [(3, 0.15, 0.8), (5, 0.1, 0.0), (2, 0.3, 0.5)])
def test_intervals_cover(m, between, shared):
    rng, count = np.random.default_rng(0), 600
    found = [spread(trainings(rng, m, between, shared)) for _ in range(count)]
    covered = np.mean([one.low < 0 < one.high for one in found])
    assert abs(covered - 0.95) < 0.035, "of the mean over trainings and samples"
    sd = np.sqrt(between**2 + (1 - shared) / N)
    assert abs(np.mean([one.sd_low < sd < one.sd_high for one in found]) - 0.95) < 0.03
    assert np.mean([one.sampling**2 for one in found]) == pytest.approx(1 / N, rel=0.05)


def test_training_is_told_from_sampling():
    rng = np.random.default_rng(1)
    for shared in (0.0, 0.8):
        found = [spread(trainings(rng, 30, 0.2, shared)) for _ in range(60)]
        assert np.mean([one.between**2 for one in found]) == pytest.approx(0.2**2, rel=0.1), shared
        assert np.mean([one.apart**2 for one in found]) == pytest.approx((1 - shared) / N, rel=0.1)
    nothing = [spread(trainings(rng, 5, 0.0, 0.0)).between for _ in range(40)]
    assert 0.0 in nothing and min(nothing) == 0.0, "floored, not negative"


def test_by_hand():
    scores = [Score(value, 3.0, None, None, 100, None, None) for value in (10.0, 20.0, 30.0)]
    found = spread(scores)
    assert (found.trainings, found.mean, found.sd) == (3, 20.0, 10.0)
    assert (
        found.between == pytest.approx(91**0.5) and found.sampling == found.apart == 3.0 and found.reason == INDEPENDENT
    )
    assert found.high - found.mean == pytest.approx(4.302653 * 10 / 3**0.5)
    assert (found.sd_low, found.sd_high) == pytest.approx((5.2066, 62.8473), rel=1e-4)


def test_one_training_says_so():
    found = spread([Score(1.5, 0.2, 1.1, 1.9, 100, None, None), Score(None, None, None, None, 100, None, "failed")])
    assert (found.trainings, found.mean, found.low, found.between) == (
        1,
        1.5,
        None,
        None,
    ) and "one training" in found.reason
    assert spread([]).reason == "no training has a value"


def test_grouping_of_models_and_of_runs(tmp_path):
    def run(name, seeds, **changes):
        scores = {(f"ours-{seed}", "ddim"): noise(seed) for seed in seeds} | {("theirs", "ddim"): noise(99)}
        return made_run(tmp_path / name, scores, **changes)

    one, two = run("one", (0, 1, 2)), run("two", (0, 1))
    found = history(open_runs([one, two]))
    recipes = replicates(found, models=["ours-*"])
    assert [(recipe.name, recipe.place, len(recipe.members)) for recipe in recipes] == [
        ("ours-*", 0, 3),
        ("ours-*", 1, 2),
    ]
    assert recipes[0].spread.mean == pytest.approx(np.mean([noise(seed).mean() for seed in (0, 1, 2)]))
    by_run = replicates(found, runs=["*"])
    assert [(recipe.name, len(recipe.members)) for recipe in by_run] == [
        ("ours-0 in *", 2), ("ours-1 in *", 2), ("ours-2 in *", 1), ("theirs in *", 2)
    ]  # fmt: skip
    both = replicates(found, models=["ours-*"], runs=["*"])
    assert [len(recipe.members) for recipe in both] == [5]
    frames = diffbench.history([one, two], replicates=["ours-*"])
    assert list(frames.replicates["trainings"]) == [3, 2] and len(frames.frame) == 8
    for models, said in ((["his-*"], "no model matches"), (["ours-*", "*-0"], "matches both")):
        with pytest.raises(UsageError, match=said):
            replicates(found, models=models)


def test_the_same_weights_are_one_training_and_other_n_is_refused(tmp_path):
    same = [made_run(tmp_path / name, {("m", "ddim"): noise(0)}, weights="w") for name in ("a", "b")]
    (recipe,) = replicates(history(open_runs(same)), runs=["*"])
    assert len(recipe.members) == 1 and "one training" in recipe.spread.reason
    more = made_run(tmp_path / "c", {("m", "ddim"): noise(0, 120)})
    (recipe,) = replicates(history(open_runs([same[0], more])), runs=["*"])
    assert recipe.spread.mean is None and "n is 100 and 120" in recipe.spread.reason
