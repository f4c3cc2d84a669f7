import shutil

import pytest
from tiny_model import write_checkpoint
from tiny_run import cells, run, tiny_suite, tree

from diffbench.errors import StoreError, UsageError
from diffbench.status.explain import explain
from diffbench.status.stored import Part, model_probe
from diffbench.store.probe import read_answers, replace_answers
from diffbench.store.sealed import write_sealed


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def suite(checkpoint):
    return tiny_suite(checkpoint)


@pytest.fixture(scope="module")
def runs(suite, tmp_path_factory):
    """A folder whose ``runs`` holds a finished run."""
    folder = tmp_path_factory.mktemp("explain")
    run(suite, folder / "runs" / "whole")
    return folder


@pytest.fixture
def copy(runs, tmp_path):
    return shutil.copytree(runs / "runs" / "whole", tmp_path / "run")


def text(*arguments):
    return "\n".join(explain(*arguments))


def test_a_cell_is_found_by_id_prefix_or_name_and_nothing_is_written(suite, runs, monkeypatch):
    monkeypatch.chdir(runs)
    cell, before = cells(suite)["ddim"], tree(runs)
    said = explain(cell.id)
    assert said[0] == f"tiny/ddim/nfe=2 in runs/whole: id {cell.id}"
    assert said[1] == "3 of 3 shards are there and whole"
    assert said[2].startswith("3 stored shards: sampling code ") and said[2].endswith("stored answers are still those")
    assert len(said) == 3
    for name in (cell.id[:6], "tiny/ddim/nfe=2"):
        assert explain(name) == said
        assert explain(name, runs / "runs" / "whole")[1:] == said[1:]
    assert tree(runs) == before


def test_an_alias_says_whose_samples_it_shares(suite, runs):
    said = explain("tiny/noisy/nfe=2", runs / "runs" / "whole")
    assert said[:2] == [
        f"tiny/noisy/nfe=2 in {runs / 'runs' / 'whole'}: id {cells(suite)['noisy'].id}",
        "shares its samples with tiny/ddpm/nfe=2, which comes first in the suite",
    ]
    assert "3 of 3" in said[2]


def test_a_prefix_of_several_cells_is_refused_with_their_ids(suite, runs):
    with pytest.raises(UsageError, match="begins 3 cells") as refused:
        explain("", runs / "runs" / "whole")
    assert all(cell.id in str(refused.value) for cell in cells(suite).values())


def test_an_unknown_name_says_what_may_have_been_meant(runs, monkeypatch):
    with pytest.raises(UsageError, match=r'no cell "?\'?tiny/dimm/nfe=2.*did you mean "tiny/ddim/nfe=2"\?'):
        explain("tiny/dimm/nfe=2", runs / "runs" / "whole")
    monkeypatch.chdir(runs)
    with pytest.raises(UsageError, match="in the folders under runs/"):
        explain("ffffffffffffffffff")
    with pytest.raises(StoreError, match="not a run folder"):
        explain("tiny/ddim/nfe=2", runs)


def test_missing_and_damaged_shards_are_named_with_the_reason(suite, copy):
    cell = cells(suite)["ddim"]
    folder = copy / "cells" / cell.id
    (folder / "shard-00000004-00000005.json").unlink()
    path = folder / "shard-00000000-00000002.mnist-features.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    said = text(cell.id, copy)
    assert "1 of 3 shards are there and whole" in said
    assert f"samples 0 to 1, corrupt: {path}: does not match the sha256 in its manifest" in said
    assert "samples 4 to 4, missing: not sampled yet" in said
    assert "closest" not in said


def test_a_failure_and_other_answers_are_told(suite, copy, monkeypatch):
    cell = cells(suite)["ddim"]
    write_sealed(copy / "cells" / cell.id / "failed.json", {"reason": "oops"})
    path = model_probe(copy, cell)
    answers = read_answers(path)
    replace_answers(path, type(answers)({"denoised": answers.named["denoised"]}, answers.where))
    said = text(cell.id, copy)
    assert "the last attempt failed: oops" in said
    assert "samples 0 to 1, stale: made by other code or another network" in said
    assert "stored answers are no longer those" in said
    monkeypatch.setattr("diffbench.status.explain.sampling_code", lambda: "cd" * 32)
    assert f"today's code is {'cd' * 6}" in text(cell.id, copy)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seed": 1}, "  seed: 0 there, 1 here"),
        ({"samples": {"n": 5, "shard": 4}}, "  shard: 2 there, 4 here"),
        ({"run": {"batch_size": 1, "device": "cpu"}}, "  batch_size: 2 there, 1 here"),
    ],
)
def test_the_closest_stored_cell_and_the_field_that_differs(checkpoint, suite, copy, changes, line):
    other = tiny_suite(checkpoint, **changes)
    run(other, copy, part=Part(39, 40))  # takes no shard: the suite alone changes
    said = explain("tiny/ddim/nfe=2", copy)
    assert said[1] == "0 of 3 shards are there and whole" or "of 2 shards" in said[1]
    place = said.index(f"the closest stored cell, {cells(suite)['ddim'].id}, differs in:")
    assert said[place + 1 :] == [line]


def test_no_other_cell_to_compare_with(checkpoint, tmp_path):
    run(tiny_suite(checkpoint, samplers=["ddim"]), tmp_path / "run", part=Part(39, 40))
    assert explain("tiny/ddim/nfe=2", tmp_path / "run")[-1] == f"no other cell is stored in {tmp_path / 'run'}"


def test_a_skipped_cell_says_why(checkpoint, tmp_path):
    run(tiny_suite(checkpoint, samplers=["ddim", "euler-maruyama"]), tmp_path / "run", part=Part(39, 40))
    said = explain("tiny/euler-maruyama/nfe=2", tmp_path / "run")
    assert len(said) == 2 and said[1].startswith("skipped: ") and "SDE" in said[1]


def test_a_stored_cell_that_the_suite_no_longer_has(checkpoint, suite, copy):
    run(tiny_suite(checkpoint, samplers=["ddpm"]), copy)
    orphan = cells(suite)["ddim"].id
    said = explain(orphan[:8], copy)
    assert said[0] == f"cell {orphan} in {copy}: 3 shards are stored, but the suite there has no such cell"
    assert "cache gc --orphans" in said[1]


def test_many_flaws_are_cut_short(checkpoint, tmp_path):
    many = tiny_suite(checkpoint, samples={"n": 30, "shard": 2})
    run(many, tmp_path / "run", part=Part(99, 100))
    said = explain("tiny/ddim/nfe=2", tmp_path / "run")
    assert sum(line.startswith("samples ") for line in said) == 8 and "… and 7 more" in said
