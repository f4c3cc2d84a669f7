"""Scores are kept beside the shards, for the same features and the same scoring code only."""

import shutil

import numpy as np
import pytest
from tiny_run import cells, count_shards, rows, run, tiny_suite, tree

from diffbench.scoring import inception_score
from diffbench.scoring.interval import Score
from diffbench.status import code
from diffbench.status.score_cache import INFLUENCE, SCORES, ScoreCache


@pytest.fixture(scope="module")
def stored(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(tiny_suite(checkpoint), folder)
    return folder


@pytest.fixture
def copy(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "run")


@pytest.fixture
def scored(monkeypatch):
    """Counts the computations of the inception score."""
    calls, compute = [], inception_score.inception_score

    def counted(logits, **options):
        calls.append(len(logits))
        return compute(logits, **options)

    monkeypatch.setattr(inception_score, "inception_score", counted)
    return calls


def test_a_new_metric_is_computed_from_stored_features(checkpoint, copy, scored, monkeypatch, tmp_path):
    made = count_shards(monkeypatch)
    before = tree(copy / "cells")
    summary = run(tiny_suite(checkpoint, metrics=["is", "kid"]), copy)
    assert summary.sampled == 0 and summary.changed and made == [] and scored == []
    assert rows(copy, "kid")["value"].notna().all()
    after = tree(copy / "cells")
    assert {name for name in after if after[name] != before.get(name)} == {
        f"{cell.id}/{name}" for cell in cells(tiny_suite(checkpoint)).values() for name in (SCORES, INFLUENCE)
    }
    run(tiny_suite(checkpoint, metrics=["kid", "is"]), tmp_path / "fresh")
    assert rows(copy, "kid").equals(rows(tmp_path / "fresh", "kid"))
    assert tree(tmp_path / "fresh" / "cells") == after, "the order of the metrics does not matter"


def test_a_dropped_metric_comes_back_without_being_computed(checkpoint, copy, scored):
    run(tiny_suite(checkpoint, metrics=["kid"]), copy)
    run(tiny_suite(checkpoint), copy)
    assert scored == []


def test_other_options_are_another_score(checkpoint, copy, scored):
    run(tiny_suite(checkpoint, metrics=[{"metric": "is", "splits": 2}]), copy)
    assert scored == [5, 5]


def test_other_scoring_code_computes_again_and_samples_nothing(checkpoint, copy, scored, monkeypatch):
    hash_of = code._hash_of
    monkeypatch.setattr(code, "_hash_of", lambda *names: "0" * 64 if names == ("scoring/*.py",) else hash_of(*names))
    assert run(tiny_suite(checkpoint), copy).sampled == 0
    assert scored == [5, 5]
    run(tiny_suite(checkpoint), copy)
    assert scored == [5, 5], "and keeps it"


def test_other_features_compute_again(checkpoint, copy, scored):
    run(tiny_suite(checkpoint, samples={"n": 6, "shard": 2}), copy)
    assert scored == [6, 6]


@pytest.mark.parametrize("name", [SCORES, INFLUENCE])
def test_damaged_scores_are_computed_again(checkpoint, copy, scored, name):
    before = tree(copy)
    path = copy / "cells" / cells(tiny_suite(checkpoint))["ddim"].id / name
    path.write_bytes(path.read_bytes()[:-1])
    assert run(tiny_suite(checkpoint), copy).sampled == 0
    assert scored == [5] and tree(copy) == before


SCORE = Score(value=1 / 3, se=0.1, ci_low=None, ci_high=2.0, n=3, influence=np.array([0.1, -1e-300, 2.0]), reason=None)
BARE = Score(value=2.0, se=None, ci_low=None, ci_high=None, n=3, influence=None, reason="too few")


def test_what_was_kept_is_read_to_the_last_bit(tmp_path):
    cache = ScoreCache.open(tmp_path, "digest", "code")
    cache.write()
    assert list(tmp_path.iterdir()) == [], "nothing added, nothing written"
    cache.add("b", SCORE)
    cache.add("a", BARE)
    cache.write()
    read = ScoreCache.open(tmp_path, "digest", "code").scores
    assert list(read) == ["a", "b"] and vars(read["a"]) == vars(BARE)
    np.testing.assert_array_equal(read["b"].influence, SCORE.influence)
    assert (read["b"].value, read["b"].ci_low, read["b"].ci_high) == (1 / 3, None, 2.0)


@pytest.mark.parametrize(("digest", "own_code"), [("other", "code"), ("digest", "other")])
def test_it_is_empty_for_other_features_or_code(tmp_path, digest, own_code):
    cache = ScoreCache(tmp_path, "digest", "code")
    cache.add("a", SCORE)
    cache.write()
    assert ScoreCache.open(tmp_path, digest, own_code).scores == {}
    assert ScoreCache.open(tmp_path, "digest", "code").scores.keys() == {"a"}
