import shutil

import numpy as np
import pytest
from tiny_model import write_checkpoint
from tiny_run import cells, run, tiny_suite, tree

from diffbench.status.stored import Part, distinct, failure, model_probe, numbered, state_of, stored_probe
from diffbench.store.probe import Answer, Answers, replace_answers
from diffbench.store.sealed import write_sealed
from diffbench.suite.plan import plan


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return tiny_suite(write_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def stored(suite, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(suite, folder)
    return folder


@pytest.fixture
def copy(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "run")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("first", [0, 1])
def test_parts_take_every_shard_exactly_once_counted_from_0_or_1(suite, count, first):
    places = [place for _, shards in numbered(distinct(plan(suite))) for place, _ in shards]
    assert places == list(range(6))
    for place in places:
        assert sum(Part(index, count).takes(place) for index in range(first, first + count)) == 1


def test_a_whole_cell_is_done(suite, stored):
    before = tree(stored)
    for cell in plan(suite):
        state = state_of(stored, cell, 3, verify=True)
        assert (state.word, state.done, state.total, state.samples_missing, state.why) == ("done", 3, 3, 0, "")
    assert tree(stored) == before


def test_nothing_stored_is_missing(suite, tmp_path):
    state = state_of(tmp_path / "none", cells(suite)["ddim"], 3)
    assert (state.word, state.done, state.samples_missing) == ("missing", 0, 5)
    assert state.why == "3 of 3 shards: not sampled yet"


def test_some_shards_are_partly(suite, copy):
    cell = cells(suite)["ddim"]
    (copy / "cells" / cell.id / "shard-00000002-00000004.json").unlink()
    state = state_of(copy, cell, 3)
    assert (state.word, state.done, state.samples_missing) == ("partly", 2, 2)
    assert state.why == "1 of 3 shards: not sampled yet"


def test_a_changed_byte_is_found_by_hashing_and_a_cut_without(suite, copy):
    cell = cells(suite)["ddim"]
    path = copy / "cells" / cell.id / "shard-00000000-00000002.mnist-features.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert state_of(copy, cell, 3).word == "done"
    assert state_of(copy, cell, 3, verify=True).word == "partly"
    path.write_bytes(whole[:-1])
    assert "does not have the size" in state_of(copy, cell, 3).why


def test_more_images_or_other_answers_make_shards_stale(suite, copy):
    cell = cells(suite)["ddim"]
    assert state_of(copy, cell, 4).word == "partly", "2 to 4 kept one image"
    assert state_of(copy, cell, 5).done == 1
    replace_answers(model_probe(copy, cell), Answers({"a": Answer(np.ones(1), "float32", np.ones(1))}))
    state = state_of(copy, cell, 3)
    assert state.word == "stale" and "other code or another network" in state.why


def test_unreadable_answers_leave_the_shards_to_the_next_probe(suite, copy):
    cell = cells(suite)["ddim"]
    assert len(stored_probe(copy, cell)) == 32
    model_probe(copy, cell).write_bytes(b"{}")
    assert stored_probe(copy, cell) is None and state_of(copy, cell, 3).word == "done"


def test_a_failure_is_told_until_the_cell_is_done(suite, copy):
    cell = cells(suite)["ddim"]
    write_sealed(copy / "cells" / cell.id / "failed.json", {"reason": "oops"})
    assert failure(copy, cell.id) == "oops" and failure(copy, "c0ffee") is None
    assert state_of(copy, cell, 3).word == "done"
    (copy / "cells" / cell.id / "shard-00000002-00000004.json").unlink()
    state = state_of(copy, cell, 3)
    assert state.word == "failed" and state.why.startswith("the last attempt failed: oops; 1 of 3 shards")
