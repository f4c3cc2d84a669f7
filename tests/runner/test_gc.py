"""What ``cache gc`` deletes, and that no result goes with it."""

import os
import shutil
import time

import pytest
from diffusers.models.unets.unet_2d import UNet2DModel
from tiny_run import SHARDS, cells, count_shards, rows, run, tiny_suite, tree

from diffbench import results
from diffbench.errors import StoreError
from diffbench.runner import gc
from diffbench.runner.gc import free
from diffbench.status.stored import Part, state_of
from diffbench.store.manifest import damage
from diffbench.suite.read import resolved

FEATURES = "features of scored cells"


@pytest.fixture(scope="module")
def stored(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(tiny_suite(checkpoint), folder)
    return folder


@pytest.fixture
def copy(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "run")


def age(path, hours=2.0):
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))


def feature_files(folder):
    return sorted((folder / "cells").glob("*/shard-*.mnist-features.safetensors"))


def leftovers(folder, cell):
    """One of each file that nothing can use, with what it counts as."""
    temporary = folder / "cells" / cell.id / ".shard-00000000-00000002.json.abc.tmp"
    temporary.write_bytes(b"12345")
    lost = folder / "cells" / cell.id / "shard-00000010-00000012.mnist-features.safetensors"
    lost.write_bytes(b"1234567")
    return {"temporary files": temporary, "files without a manifest": lost}


def test_a_whole_run_has_nothing_to_free(stored):
    before = tree(stored)
    assert free(stored) == free(stored, orphans=True) == {}
    assert tree(stored) == before


def test_leftovers_go_when_nobody_can_be_writing_them(checkpoint, copy):
    cell = cells(tiny_suite(checkpoint))["ddim"]
    before = tree(copy)
    left = leftovers(copy, cell)
    for path in left.values():
        age(path, 0.9)
    assert free(copy) == {}
    for path in left.values():
        age(path, 1.1)
    assert free(copy) == {"temporary files": (1, 5), "files without a manifest": (1, 7)}
    assert tree(copy) == before


def test_damaged_shards_go_and_are_made_again(checkpoint, copy):
    cell = cells(tiny_suite(checkpoint))["ddim"]
    before = tree(copy)
    path = copy / "cells" / cell.id / "shard-00000002-00000004.json"
    path.write_bytes(path.read_bytes()[:-4])
    beside = path.parent / "shard-00000002-00000004.mnist-features.safetensors"
    images = path.parent / "shard-00000002-00000004.images.safetensors"
    sizes = sum(p.stat().st_size for p in (path, beside, images))
    assert free(copy) == {"shards that are damaged or of other code": (3, sizes)}
    assert not any(p.exists() for p in (path, beside, images))
    assert run(tiny_suite(checkpoint), copy).sampled == 1
    assert tree(copy / "cells") == {name[6:]: sha for name, sha in before.items() if name.startswith("cells/")}


def test_shards_of_other_code_go(checkpoint, copy, monkeypatch):
    forward = UNet2DModel.forward
    monkeypatch.setattr(UNet2DModel, "forward", lambda self, *a, **k: (forward(self, *a, **k)[0] * 1.5,))
    run(tiny_suite(checkpoint), copy, only="sampler=ddim", force=True)
    freed = free(copy)
    assert list(freed) == ["shards that are damaged or of other code"]
    assert not list((copy / "cells" / cells(tiny_suite(checkpoint))["ddpm"].id).glob("shard-*"))
    assert run(tiny_suite(checkpoint), copy, only="sampler=ddim").sampled == 0


def test_a_short_last_shard_goes_when_a_longer_one_is_there(checkpoint, copy):
    suite = tiny_suite(checkpoint, samples={"n": 6, "shard": 2})
    assert run(suite, copy, part=Part(2, 6)).sampled == 1
    freed = free(copy)
    assert list(freed) == ["shards that a longer one has replaced"] and freed[next(iter(freed))][0] == 2
    ddim, ddpm = (copy / "cells" / cells(suite)[name].id for name in ("ddim", "ddpm"))
    assert [path.name for path in sorted(ddim.glob("shard-00000004-*.json"))] == ["shard-00000004-00000006.json"]
    assert [path.name for path in sorted(ddpm.glob("shard-00000004-*.json"))] == ["shard-00000004-00000005.json"]


def test_fewer_samples_keep_the_longer_shards(checkpoint, copy):
    run(tiny_suite(checkpoint, samples={"n": 3, "shard": 2}), copy)
    suite = cells(tiny_suite(checkpoint))
    assert free(copy) == {}
    for name in ("ddim", "ddpm"):
        assert state_of(copy, suite[name], 3).flaws == {}, "the larger run still has all it had"


def test_cells_that_the_suite_no_longer_has_go_on_request_only(checkpoint, copy):
    run(tiny_suite(checkpoint, samplers=["ddim"]), copy)
    other = copy / "cells" / cells(tiny_suite(checkpoint))["ddpm"].id
    count, size = len(list(other.iterdir())), sum(path.stat().st_size for path in other.iterdir())
    assert free(copy) == {}
    assert free(copy, orphans=True) == {"cells that the suite does not have": (count, size)}
    assert not list(other.glob("*"))
    assert run(tiny_suite(checkpoint), copy).sampled == SHARDS


def test_a_dry_run_says_the_same_and_deletes_nothing(checkpoint, copy):
    run(tiny_suite(checkpoint, samplers=["ddim"]), copy)
    for path in leftovers(copy, cells(tiny_suite(checkpoint))["ddim"]).values():
        age(path)
    before = tree(copy)
    said = free(copy, features=True, orphans=True, dry_run=True)
    assert tree(copy) == before
    assert said == free(copy, features=True, orphans=True) and len(said) == 4


def test_freed_features_leave_scores_images_and_rows(checkpoint, copy, monkeypatch):
    before = rows(copy)
    size = sum(path.stat().st_size for path in feature_files(copy))
    assert free(copy, features=True) == {FEATURES: (2 * SHARDS, size)}
    assert feature_files(copy) == [] and len(list((copy / "cells").glob("*/shard-*.images.safetensors"))) == 4
    assert list(damage(copy)) == []
    assert free(copy, features=True) == {}
    table = (copy / results.PARQUET).read_bytes()
    made = count_shards(monkeypatch)
    assert run(tiny_suite(checkpoint), copy).sampled == 0
    assert (copy / results.PARQUET).read_bytes() == table and made == []
    assert rows(copy).equals(before)


def test_after_freeing_a_new_metric_samples_again(checkpoint, stored, copy):
    free(copy, features=True)
    more = tiny_suite(checkpoint, metrics=["is", "kid"])
    assert run(more, copy).sampled == 2 * SHARDS
    assert rows(copy, "kid")["value"].notna().all()
    assert rows(copy).equals(rows(stored))
    assert [path.read_bytes() for path in feature_files(copy)] == [path.read_bytes() for path in feature_files(stored)]
    assert not list(copy.glob("cells/*/freed.json"))


def test_after_freeing_more_samples_sample_again(checkpoint, copy):
    free(copy, features=True)
    assert run(tiny_suite(checkpoint, samples={"n": 6, "shard": 2}), copy).sampled == 2 * 3
    assert (rows(copy)["n"] == 6).all() and (rows(copy)["status"] == "ok").all()


def test_features_that_a_score_is_still_missing_for_are_kept(checkpoint, copy):
    (copy / "cells" / cells(tiny_suite(checkpoint))["ddim"].id / "scores.json").unlink()
    assert free(copy, features=True)[FEATURES][0] == SHARDS
    run(tiny_suite(checkpoint), copy)
    assert run(tiny_suite(checkpoint, samplers=["ddim"], metrics=["is", "kid"]), copy).sampled == 0


def test_features_of_an_incomplete_cell_are_kept(checkpoint, tmp_path):
    run(tiny_suite(checkpoint), tmp_path / "run", part=Part(0, 2))
    assert free(tmp_path / "run", features=True) == {}


@pytest.mark.parametrize("deleted", [0, 1, 4])
def test_interrupted_freeing_leaves_results_and_is_finished_by_another(checkpoint, copy, monkeypatch, deleted):
    table, count = (copy / results.PARQUET).read_bytes(), iter(range(100))

    def interrupted(path):
        if next(count) == deleted:
            raise KeyboardInterrupt
        path.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(gc, "remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            free(copy, features=True)
    assert len(feature_files(copy)) == 2 * SHARDS - deleted
    assert list(damage(copy)) == []
    assert run(tiny_suite(checkpoint), copy).sampled == 0
    assert (copy / results.PARQUET).read_bytes() == table
    assert free(copy, features=True)[FEATURES][0] == 2 * SHARDS - deleted


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(StoreError, match="not a run folder"):
        free(tmp_path)


def test_what_another_wish_could_use_again_stays(checkpoint, tmp_path):
    """More images to keep make shards insufficient for that suite, not useless."""
    suite = tiny_suite(checkpoint)
    run(suite, tmp_path / "run")
    before = {path for path in (tmp_path / "run" / "cells").rglob("*") if path.is_file()}
    more = tiny_suite(checkpoint, run={"batch_size": 2, "device": "cpu", "keep": {"samples": 5}})
    (tmp_path / "run" / "suite.yaml").write_text(resolved(more))
    assert free(tmp_path / "run") == {}
    assert {path for path in (tmp_path / "run" / "cells").rglob("*") if path.is_file()} == before
