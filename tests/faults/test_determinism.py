"""The same bytes from one process or many, in any order of shards and batches."""

import random
import shutil

import numpy as np
import pytest
from faults.sandbox import COUNTS, SHARDS, Box

from diffbench.runner import sampling
from diffbench.runner.devices import pick_device
from diffbench.runner.execute import make_sampler, run_shard, sample_images
from diffbench.runner.loaded import Loaded
from diffbench.scoring.extract import extract
from diffbench.store.shards import ShardRange, Store
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite


def shuffled(seed):
    """Cells and their shards in another order."""
    missing = sampling.Sampling.missing

    def in_another_order(*arguments, **keywords):
        work = missing(*arguments, **keywords)
        order = random.Random(seed)
        order.shuffle(work)
        for _, shards in work:
            order.shuffle(shards)
        return work

    sampling.Sampling.missing = in_another_order


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("parts", [1, 4])
def test_parts_and_order_change_no_byte(box, whole, parts, seed):
    order = list(range(parts))
    random.Random(seed).shuffle(order)
    for part in order:
        outcome = box.sample("--shard", f"{part}/{parts}", before=lambda: shuffled(seed))
        assert outcome.code == 0, outcome
    assert box.shards_begun() == SHARDS
    assert box.sample(before=lambda: shuffled(seed)).code == 0
    assert box.shards_begun() == SHARDS
    assert box.artefacts() == whole.artefacts()
    COUNTS["orders of parts and shards with equal bytes"] += 1


def test_parts_in_folders_of_their_own_merge_to_the_same_bytes(tiny, box, whole):
    runs = []
    for part in range(1, 4):
        runs.append(box.folder / f"part-{part}")
        assert box.call("run", box.suite, "--out", runs[-1], "--quiet", "--shard", f"{part}/3").code == 0
    assert box.call("merge", box.run, *runs).code == 0
    assert box.sample().code == 0
    assert box.shards_begun() == SHARDS
    assert box.artefacts() == whole.artefacts()


def test_the_order_of_batches_changes_no_byte(whole, room):
    cell, *_ = plan(read_suite(whole.suite))
    loaded, store = Loaded(pick_device("cpu")), Store(room)
    samples = run_shard(loaded.model(cell), cell, ShardRange(4, 8), loaded.extractor(cell), keep=0)
    store.write(cell.id, ShardRange(4, 8), samples.artefacts, {})
    stored, _ = store.read(cell.id, ShardRange(4, 8), "mnist-features")
    rows = {}
    for first in (6, 4):
        images, _, _ = sample_images(loaded.model(cell), cell, make_sampler(cell), range(first, first + 2))
        (rows[first],) = extract(loaded.extractor(cell), [images], first)
    for name in ("features", "logits"):
        again = np.concatenate([getattr(rows[first], name).numpy() for first in (4, 6)])
        np.testing.assert_array_equal(again, stored[name])


@pytest.mark.parametrize("parts", [0, 4])
def test_eight_processes_in_one_folder(box, whole, parts):
    """All of the same command at once, or eight tasks of which two do each part; there is no lock to rely on."""
    more = [("--shard", f"{number % parts}/{parts}") if parts else () for number in range(8)]
    from faults.sandbox import without_report

    children = [
        box.start("run", box.suite, "--out", box.run, "--quiet", *arguments, before=without_report)
        for arguments in more
    ]
    outcomes = [box.wait(child) for child in children]
    assert [outcome.code for outcome in outcomes] == [0] * 8, outcomes
    assert box.sample().code == 0
    assert box.artefacts() == whole.artefacts()
    assert box.call("status", box.run, "--verify").code == 0
    COUNTS["processes at once in one run folder"] += 8


def test_a_copy_of_a_run_goes_on_elsewhere(tiny, box, whole, room):
    shutil.copytree(whole.run, box.run)
    assert box.sample().code == 0
    assert box.shards_begun() == 0 and box.artefacts() == whole.artefacts()
    assert Box(room / "other", tiny).run != box.run
