import json

import numpy as np
import pytest

from diffbench.comparison.paired import FEWEST
from diffbench.comparison.ranking import ALPHA, not_worse, rank
from diffbench.errors import UsageError
from diffbench.report.comparison import ranking_rows, ranking_table


class Values:
    """A side whose cells' scores are means of the columns of an array (n, cells)."""

    name, device, code = "values", "", ""

    def __init__(self, values, better="lower", **columns):
        self.values = values
        self.rows = [
            {"cell": str(i), "model": "m", "sampler": f"s{i}", "options": "{}", "grid": "g", "budget_kind": "nfe",
             "budget": 5, "dtype": "float32", "metric": "fid", "value": float(column.mean()),
             "se": float(column.std(ddof=1) / len(column) ** 0.5), "ci_low": None, "ci_high": None, "n": len(column),
             "better": better, "reason": None, "signature": "sig", **{key: given[i] for key, given in columns.items()}}
            for i, column in enumerate(values.T)
        ]  # fmt: skip

    def stored(self, cell):
        column = self.values[:, int(cell)]
        return cell, {"sig": column - column.mean()}


def noisy(seed, levels, n=100, shared=1.0, own=0.3):
    rng = np.random.default_rng(seed)
    return shared * rng.normal(size=(n, 1)) + np.asarray(levels) + own * rng.normal(size=(n, len(levels)))


def test_the_set_of_the_best_is_what_pairs_tell():
    """Differences that intervals of the single scores, twenty times as wide, could never tell."""
    (found,) = rank(Values(noisy(0, [0.5, 0.0, 0.01], shared=5.0, own=0.1)), "fid", "sampler")
    assert [rival.name for rival in found.rivals[:2]] in (["s1", "s2"], ["s2", "s1"])
    assert [rival.among_best for rival in found.rivals] == [True, True, False]
    last = found.rivals[-1]
    assert last.name == "s0" and last.worse_than in ("s1", "s2") and last.to_best.value == pytest.approx(0.5, abs=0.1)
    assert last.to_best.correlation > 0.99 and found.rivals[0].to_best is None


def test_higher_is_better_turns_it_round():
    (found,) = rank(Values(noisy(0, [0.5, 0.0, 0.01]), better="higher"), "fid", "sampler")
    assert found.rivals[0].name == "s0" and [rival.among_best for rival in found.rivals] == [True, False, False]


@pytest.mark.parametrize("levels", [[0.0] * 6, [0.0, 0.05, 0.05, 0.05, 0.05, 0.05]])
def test_the_true_best_is_left_out_as_seldom_as_promised(levels):
    assert ALPHA == 0.05, "as the command and the reports say"
    out = 0
    for seed in range(400):
        side = Values(noisy(seed, levels, n=60))
        tested = not_worse(side, side.rows)
        out += tested[0][0] < ALPHA
    assert out / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_equal_cells_tie_and_what_can_not_be_tested_counts_as_a_tie():
    values = noisy(1, [0.0, 1.0])
    (found,) = rank(Values(values[:, [0, 0, 1]]), "fid", "sampler")
    assert [rival.among_best for rival in found.rivals] == [True, True, False]
    (few,) = rank(Values(values[: FEWEST - 1]), "fid", "sampler")
    assert [(rival.p, rival.among_best) for rival in few.rivals] == [(None, True), (None, True)]
    assert "not tested" in ranking_table([few]).rows[1][-1].text


def test_groups_are_what_cells_share():
    values = noisy(2, [0.0, 1.0, 0.0, 1.0])
    side = Values(values, sampler=["a", "b", "a", "b"], budget=[5, 5, 10, 10])
    assert [found.group for found in rank(side, "fid", "sampler")] == ["m · nfe 5", "m · nfe 10"]
    side = Values(values, model=["m", "k", "m", "k"], sampler=["a", "a", "b", "b"])
    assert [found.group for found in rank(side, "fid", "model")] == ["a · g · nfe 5", "b · g · nfe 5"]
    side = Values(values, sampler=["a"] * 4, options=['{"eta": 0}', '{"eta": 1}'] * 2, budget=[5, 5, 10, 10])
    found = rank(side, "fid", "eta")
    assert [one.group for one in found] == ["m · a · g · nfe 5", "m · a · g · nfe 10"]
    assert [rival.name for rival in found[0].rivals] == ["eta=0", "eta=1"]
    assert json.loads(json.dumps(ranking_rows(found)))[1]["worse_than"] == "eta=0"


def test_axes_that_are_not_there():
    side = Values(noisy(3, [0.0, 1.0]))
    with pytest.raises(UsageError, match="'eta'.*sampler, model, dtype"):
        rank(side, "fid", "eta")
    with pytest.raises(UsageError, match="no metric 'kid'; it has fid"):
        rank(side, "kid", "sampler")
    with pytest.raises(UsageError, match="differ in model alone"):
        rank(side, "fid", "model")
