"""More samples for what could not be told: in folders of their own, within a limit, with one error budget."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_run import run, tiny_suite, tree

from diffbench.comparison.paired import Difference
from diffbench.comparison.side import RunSide
from diffbench.comparison.verdict import verdicts
from diffbench.errors import UsageError
from diffbench.report.comparison import notes
from diffbench.runner import provenance, references
from diffbench.runner.extend import REACH, extend, looks
from diffbench.suite.gates import Margin


@pytest.fixture
def folders(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "code_state", lambda: None)
    monkeypatch.setattr(references, "floor", lambda reference, n, draws: (0.0, 0.0))
    shared = {"samples": {"n": 60, "shard": 30}, "metrics": ["kid"], "run": {"batch_size": 30, "device": "cpu"}}
    clipped = {"models": [{"id": "tiny", "source": str(checkpoint), "clip": [-0.9, 0.9]}]}
    for name, changes in (("base", {}), ("new", clipped)):
        run(tiny_suite(checkpoint, **{**shared, **changes}), tmp_path / name)
    return tmp_path


def test_looks_double_up_to_the_limit():
    assert looks(60, 250) == [60, 120, 240] and looks(60, 119) == [60]


def test_inconclusive_cells_get_more_samples_and_the_runs_stay(folders):
    before = [tree(folders / name) for name in ("base", "new")]
    sides = [RunSide.open(folders / name) for name in ("new", "base")]
    margin = {"kid": Margin(42.0, relative=False)}
    found = extend(*sides, 250, margin, 0.03, "holm", quiet=True)
    assert found.looks[0] == 60 and len(found.looks) > 1 and found.alpha == 0.03
    counts = {row.new["sampler"]: row.new["n"] for row in found.rows if row.metric == "kid"}
    assert counts["ddim"] in found.looks[1:] and counts["ddpm"] == counts["noisy"] == 60
    assert "each time with its share" in " ".join(notes(found))
    assert [tree(folders / name) for name in ("base", "new")] == before
    whole = RunSide.open(folders / "base-extended")
    assert {row["n"] for row in whole.rows if row["metric"] == "kid"} <= set(found.looks)
    # the first samples are those of the run: a doubled cell holds the old ones
    again = extend(*sides, 250, margin, 0.03, "holm", quiet=True)
    assert [row.difference for row in again.rows] == [row.difference for row in found.rows]


def test_what_is_decided_gets_none(folders):
    sides = [RunSide.open(folders / "base"), RunSide.open(folders / "base")]
    found = extend(*sides, 250, None, 0.01, "holm", quiet=True)
    assert found.looks == (60,) and found.gate == "pass" and not (folders / "base-extended").exists()


def test_refusals(diffbench, folders):
    sides = [RunSide.open(folders / name) for name in ("new", "base")]
    with pytest.raises(UsageError, match="give twice that at least, 120"):
        extend(*sides, 100, None, 0.01, "holm")
    moved = [{**row, "cell": "0" * 16} for row in sides[0].rows]
    stored = {"0" * 16: sides[0].stored(sides[0].rows[0]["cell"])}
    changed = replace(sides[0], rows=moved, _stored=stored)
    with pytest.raises(UsageError, match="no longer the one that was sampled"):
        extend(changed, sides[1], 250, {"kid": Margin(42.0, relative=False)}, 0.03, "holm", quiet=True)
    diffbench("baseline", str(folders / "base"), "--out", "b")
    code, _, err = diffbench("compare", "b", str(folders / "new"), "--extend", "250")
    assert code == 2 and "is a baseline file; give the run folder" in err


def alarm(rng, rows, family):
    """Whether a suite of null scores alarms in two looks, the second at the rows that the first could not tell."""
    n, alpha = 400, 0.05 / 2
    first = rng.normal(size=rows)
    second = (first + rng.normal(size=rows)) / 2**0.5  # z of twice the samples, half of them the same

    def look(z, size):
        found = [Difference(1.0, 1.0 + x / n**0.5, x / n**0.5, 1 / n**0.5, None, None, n, None) for x in z]
        return verdicts(found, [True] * len(z), [Margin(0.0)] * len(z), alpha, "holm", size)

    told = look(first, None)
    again = [i for i, one in enumerate(told) if one.samples is not None and one.samples <= REACH * 2 * n]
    later = look(second[again], family) if again else []
    return any(one.word == "WORSE" for one in (*told, *later))


def test_choosing_what_to_look_at_again_costs_no_false_alarms():
    """Rows are chosen because they look bad: sharing alpha among these alone would alarm far more often."""
    rng, count, rows = np.random.default_rng(0), 800, 40
    bound = 0.05 + 2 * (0.05 * 0.95 / count) ** 0.5
    assert np.mean([alarm(rng, rows, rows) for _ in range(count)]) <= bound
    assert np.mean([alarm(rng, rows, None) for _ in range(count)]) > bound
