import numpy as np
import pytest

from diffbench.errors import StoreError
from diffbench.store.sealed import seal
from diffbench.store.shards import FREED, IMAGES, Artefact, ShardRange, Store, Wanted, shard_ranges

SHARD = ShardRange(0, 3)
FEATURES = np.arange(6, dtype=np.float32).reshape(3, 2)
NEED = Wanted("p", {"eyes": "ab"}, 1)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    artefacts = {
        "eyes": Artefact({"features": FEATURES}, {"weights": "ab"}),
        IMAGES: Artefact({IMAGES: np.zeros((1, 1, 2, 2), np.uint8)}, {"count": 1}),
    }
    store.write("c0ffee", SHARD, artefacts, {"nfe": 5.0, "probe": "p"})
    return store


def test_what_was_written_is_read(store):
    arrays, manifest = store.read("c0ffee", SHARD, "eyes")
    np.testing.assert_array_equal(arrays["features"], FEATURES)
    assert (manifest["nfe"], manifest["first"], manifest["last"]) == (5.0, 0, 3)
    assert store.read("c0ffee", SHARD, IMAGES)[0][IMAGES].shape == (1, 1, 2, 2)
    assert store.flaw("c0ffee", SHARD, NEED) is None
    assert store.ranges("c0ffee") == [SHARD]


def test_every_changed_byte_of_every_file_is_found(store):
    for path in store.folder("c0ffee").iterdir():
        whole = path.read_bytes()
        for position in range(len(whole)):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            assert store.flaw("c0ffee", SHARD, NEED).kind == "corrupt", (path.name, position)
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            assert store.flaw("c0ffee", SHARD, NEED).kind == "corrupt", (path.name, length)
        path.write_bytes(whole)
    assert store.flaw("c0ffee", SHARD, NEED) is None


def test_reading_a_changed_artefact_is_an_error_that_names_it(store):
    path = store.folder("c0ffee") / f"{SHARD.name}.eyes.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"eyes\.safetensors: does not match the sha256"):
        store.read("c0ffee", SHARD, "eyes")
    with pytest.raises(StoreError, match="holds no ears"):
        store.read("c0ffee", SHARD, "ears")


def test_a_shard_without_a_manifest_is_missing(store):
    (store.folder("c0ffee") / f"{SHARD.name}.json").unlink()
    assert store.flaw("c0ffee", SHARD, NEED).kind == "missing"
    with pytest.raises(StoreError, match="No such file"):
        store.read("c0ffee", SHARD, "eyes")


@pytest.mark.parametrize(
    ("need", "words"),
    [
        (Wanted("q", {"eyes": "ab"}, 1), "probe"),
        (Wanted("p", {"eyes": "cd"}, 1), "this eyes"),
        (Wanted("p", {"ears": "ab"}, 1), "this ears"),
        (Wanted("p", {"eyes": "ab"}, 2), "fewer images"),
        (Wanted("p", {"eyes": "ab"}, 1, trajectories=1), "fewer trajectories"),
    ],
)
def test_a_shard_of_other_circumstances_is_stale(store, need, words):
    flaw = store.flaw("c0ffee", SHARD, need)
    assert flaw.kind == "stale" and words in flaw.reason


def test_any_probe_and_images_beyond_the_shard_do_not_matter(store):
    assert store.flaw("c0ffee", SHARD, Wanted(None, {"eyes": "ab"}, 0)) is None


def test_a_shard_copied_to_another_cell_or_range_is_found(store, tmp_path):
    cell = store.folder("c0ffee")
    cell.rename(cell.parent / "other")
    assert "another shard" in store.flaw("other", SHARD, NEED).reason
    manifest = cell.parent / "other" / f"{SHARD.name}.json"
    manifest.rename(manifest.with_name("shard-00000003-00000006.json"))
    assert "another shard" in store.flaw("other", ShardRange(3, 6), NEED).reason


def test_a_manifest_of_another_format_is_refused(store):
    path = store.folder("c0ffee") / f"{SHARD.name}.json"
    content = store.manifest("c0ffee", SHARD)
    path.write_bytes(seal({**content, "format": 1}))
    assert "format" in store.flaw("c0ffee", SHARD, NEED).reason


def test_freed_features_are_told_from_lost_ones(store):
    features = store.folder("c0ffee") / f"{SHARD.name}.eyes.safetensors"
    features.unlink()
    assert store.flaw("c0ffee", SHARD, NEED).kind == "corrupt"
    (store.folder("c0ffee") / FREED).write_bytes(seal({"freed": "features"}))
    assert store.flaw("c0ffee", SHARD, NEED).kind == "freed"
    (store.folder("c0ffee") / f"{SHARD.name}.{IMAGES}.safetensors").unlink()
    assert {store.flaw("c0ffee", SHARD, NEED, verify=verify).kind for verify in (True, False)} <= {"corrupt", "freed"}


def test_a_removed_shard_leaves_nothing(store):
    store.remove("c0ffee", SHARD)
    assert list(store.folder("c0ffee").iterdir()) == []


def test_shards_are_fixed_ranges_and_the_last_is_short():
    assert shard_ranges(7, 3) == [ShardRange(0, 3), ShardRange(3, 6), ShardRange(6, 7)]
    assert shard_ranges(3, 5) == [ShardRange(0, 3)]
    assert ShardRange(0, 10).name < ShardRange(10, 20).name < ShardRange(100, 110).name
