import os

import numpy as np
import pytest

from diffbench import atomic
from diffbench.errors import StoreError
from diffbench.runner.store import ShardRange, Store, shard_ranges

SHARD = ShardRange(0, 3)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    arrays = {"features": np.arange(6, dtype=np.float32).reshape(3, 2), "images": np.zeros((1, 1, 2, 2), np.uint8)}
    store.write("c0ffee", SHARD, arrays, {"nfe": 5.0})
    return store


def test_what_was_written_is_read(store):
    arrays, manifest = store.read("c0ffee", SHARD)
    np.testing.assert_array_equal(arrays["features"], [[0, 1], [2, 3], [4, 5]])
    assert (manifest["nfe"], manifest["first"], manifest["last"]) == (5.0, 0, 3)


def test_every_flipped_byte_is_found(store):
    path = store.folder("c0ffee") / f"{SHARD.name}.safetensors"
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(StoreError, match="sha256"):
            store.read("c0ffee", SHARD)


def test_truncation_and_a_missing_manifest_are_found(store):
    path = store.folder("c0ffee") / f"{SHARD.name}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match="sha256"):
        store.read("c0ffee", SHARD)
    path.with_suffix(".json").unlink()
    with pytest.raises(StoreError, match="No such file"):
        store.read("c0ffee", SHARD)


def test_a_manifest_of_another_format_is_refused(store):
    path = store.folder("c0ffee") / f"{SHARD.name}.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(StoreError, match="format"):
        store.read("c0ffee", SHARD)


def test_shards_are_fixed_ranges_and_the_last_is_short():
    assert shard_ranges(7, 3) == [ShardRange(0, 3), ShardRange(3, 6), ShardRange(6, 7)]
    assert shard_ranges(3, 5) == [ShardRange(0, 3)]
    assert ShardRange(0, 10).name < ShardRange(10, 20).name < ShardRange(100, 110).name


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    atomic.write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="kept: can't be written: No space left on device"):
        atomic.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.write_json(tmp_path / "x.json", {"value": float("nan")})
