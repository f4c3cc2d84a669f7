"""Parts of a run, sampled into folders of their own, brought together."""

import shutil

import pytest
from diffusers.models.unets.unet_2d import UNet2DModel
from tiny_run import SHARDS, cells, rows, run, tiny_suite, tree

from diffbench import results
from diffbench.errors import OtherCode, StoreError, UsageError
from diffbench.runner import merge
from diffbench.runner.merge import merge_runs
from diffbench.status.stored import Part
from diffbench.store.manifest import damage
from diffbench.store.sealed import read_sealed


def scaled_network(patch, factor):
    forward = UNet2DModel.forward
    patch.setattr(
        UNet2DModel, "forward", lambda self, *inputs, **options: (forward(self, *inputs, **options)[0] * factor,)
    )


@pytest.fixture(scope="module")
def made(checkpoint, tmp_path_factory):
    """A whole run, its two halves in folders of their own, and a second half of a network that differs."""
    folder = tmp_path_factory.mktemp("parts")
    run(tiny_suite(checkpoint), folder / "whole")
    for index in (0, 1):
        assert run(tiny_suite(checkpoint), folder / str(index), part=Part(index, 2)).sampled == SHARDS
    for name, factor in (("close", 1 + 3e-6), ("other", 1.001)):
        with pytest.MonkeyPatch.context() as patch:
            scaled_network(patch, factor)
            run(tiny_suite(checkpoint), folder / name, part=Part(1, 2))
    return folder


@pytest.fixture
def parts(made, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(made, tmp_path / "parts")


def test_the_parts_are_the_whole(checkpoint, made, tmp_path):
    merged = merge_runs(tmp_path / "out", [made / "0", made / "1"])
    assert (merged.copied, merged.present, merged.skipped) == (2 * SHARDS, 0, [])
    stored = tree(tmp_path / "out" / "cells")
    assert list(damage(tmp_path / "out")) == []
    provenance = read_sealed(tmp_path / "out" / "provenance.json")
    assert sorted(session["part"] for session in provenance["sessions"]) == ["0/2", "1/2"]
    assert provenance["drift"] == []

    assert run(tiny_suite(checkpoint), tmp_path / "out").sampled == 0
    assert (tmp_path / "out" / results.PARQUET).read_bytes() == (made / "whole" / results.PARQUET).read_bytes()
    whole = tree(made / "whole" / "cells")
    assert stored == {name: sha256 for name, sha256 in whole.items() if "scores" not in name}
    assert tree(tmp_path / "out" / "cells") == whole


def test_merging_again_changes_nothing(made, tmp_path):
    runs = [made / "0", made / "1"]
    merge_runs(tmp_path / "out", runs)
    before = tree(tmp_path / "out")
    again = merge_runs(tmp_path / "out", [*runs, made / "whole"])
    assert (again.copied, again.present, again.skipped) == (0, 4 * SHARDS, [])
    after = tree(tmp_path / "out")
    assert {name: after[name] for name in before if name.startswith("cells")} == tree_of_cells(before)
    merge_runs(tmp_path / "out", runs)
    assert tree(tmp_path / "out") == after


def tree_of_cells(listed):
    return {name: sha256 for name, sha256 in listed.items() if name.startswith("cells")}


def test_a_damaged_shard_is_left_out_and_named(checkpoint, parts, tmp_path):
    broken = sorted((parts / "1" / "cells").glob("*/shard-*.mnist-features.safetensors"))[0]
    broken.write_bytes(broken.read_bytes()[:-1] + b"!")
    manifest = sorted((parts / "0" / "cells").glob("*/shard-*.json"))[-1]
    manifest.write_bytes(manifest.read_bytes()[:-9])
    merged = merge_runs(tmp_path / "out", [parts / "0", parts / "1"])
    assert merged.copied == 2 * SHARDS - 2
    assert len(merged.skipped) == 2
    assert str(manifest) in merged.skipped[0] and str(broken) in merged.skipped[1]
    assert list(damage(tmp_path / "out")) == []
    assert run(tiny_suite(checkpoint), tmp_path / "out").sampled == 2
    assert tree(tmp_path / "out" / "cells") == tree(parts / "whole" / "cells")


def test_shards_whose_answers_are_damaged_are_left_out(parts, tmp_path):
    probe = next((parts / "1" / "probes").iterdir())
    probe.write_bytes(probe.read_bytes()[:-9])
    merged = merge_runs(tmp_path / "out", [parts / "0", parts / "1"])
    assert merged.copied == SHARDS
    assert len(merged.skipped) == SHARDS and all("no longer holds" in line for line in merged.skipped)


def test_a_damaged_shard_of_the_goal_is_replaced(made, tmp_path):
    merge_runs(tmp_path / "out", [made / "0", made / "1"])
    before = tree(tmp_path / "out")
    broken = sorted((tmp_path / "out" / "cells").glob("*/shard-*.mnist-features.safetensors"))[0]
    broken.write_bytes(b"")
    merged = merge_runs(tmp_path / "out", [made / "0", made / "1"])
    assert (merged.copied, merged.present) == (1, 2 * SHARDS - 1)
    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("exists", [False, True])
def test_parts_of_other_code_are_refused_before_anything_is_written(made, tmp_path, exists):
    out = tmp_path / "out"
    if exists:
        merge_runs(out, [made / "0"])
    before = tree(out)
    with pytest.raises(OtherCode, match=r"not of the same code.*denoised differs by 0\.0009") as refused:
        merge_runs(out, [made / "other"] if exists else [made / "0", made / "other"])
    assert "\n" not in str(refused.value) and "other/probes" in str(refused.value)
    assert tree(out) == before and out.exists() == exists


def test_answers_equal_within_tolerance_become_those_of_the_goal(checkpoint, made, tmp_path):
    out = tmp_path / "out"
    merged = merge_runs(out, [made / "0", made / "close"])
    assert merged.copied == 2 * SHARDS and merged.skipped == []
    cell = cells(tiny_suite(checkpoint))["ddim"]
    own, close = (
        {read_sealed(path)["probe"] for path in (folder / "cells" / cell.id).glob("shard-*.json")}
        for folder in (made / "0", made / "close")
    )
    assert own.isdisjoint(close)
    assert {read_sealed(path)["probe"] for path in (out / "cells" / cell.id).glob("shard-*.json")} == own
    assert list(damage(out)) == []
    assert run(tiny_suite(checkpoint), out).sampled == 0
    assert set(rows(out)["status"]) == {"ok"}


def test_runs_of_other_suites_are_refused(checkpoint, made, tmp_path):
    run(tiny_suite(checkpoint, name="else", samplers=["ddim"]), tmp_path / "else", part=Part(1, 1))
    for out, runs in (("out", [made / "0", tmp_path / "else"]), ("else", [made / "0"])):
        before = tree(tmp_path)
        with pytest.raises(UsageError, match="parts are of one suite"):
            merge_runs(tmp_path / out, runs)
        assert tree(tmp_path) == before


def test_a_folder_that_is_no_run_and_the_goal_itself_are_refused(made, tmp_path):
    with pytest.raises(StoreError, match="not a run folder"):
        merge_runs(tmp_path / "out", [made / "0", tmp_path])
    before = tree(made / "0")
    with pytest.raises(UsageError, match="into itself"):
        merge_runs(made / "0", [made / "1", made / "1" / ".." / "0"])
    assert tree(made / "0") == before and not (tmp_path / "out").exists()


def test_an_interrupted_merge_is_finished_by_another(made, tmp_path, monkeypatch):
    adopt, calls = merge.Store.adopt, []

    def stops(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        adopt(self, *arguments)

    monkeypatch.setattr(merge.Store, "adopt", stops)
    with pytest.raises(KeyboardInterrupt):
        merge_runs(tmp_path / "out", [made / "0", made / "1"])
    monkeypatch.undo()
    merged = merge_runs(tmp_path / "out", [made / "0", made / "1"])
    assert (merged.copied, merged.present) == (2 * SHARDS - 2, 2)
