import json
import random
import struct
import subprocess
import sys

import pytest
import torch
from checkpoint_files import TENSORS, read, same, sha
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load, save, save_file

from diffbench.errors import CardError, WeightsError
from diffbench.models import weights
from diffbench.models.weights import read_tensors


def raw(header, data=b""):
    """A safetensors file of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_safetensors_come_back_as_they_were_saved(tmp_path):
    (tmp_path / "unet").mkdir()
    save_file(TENSORS, tmp_path / "unet" / "w.safetensors", metadata={"format": "pt"})
    same(read(tmp_path, "unet/w.safetensors"), TENSORS)
    (tmp_path / "empty.safetensors").write_bytes(save({}))
    assert read(tmp_path, "empty.safetensors") == {}


def test_tensors_that_are_not_aligned_are_read(tmp_path):
    data = torch.arange(4.0).numpy().tobytes()
    text = b'{"b": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},'
    text += b' "a": {"dtype": "F32", "shape": [4], "data_offsets": [1, 17]}}'
    (tmp_path / "w.safetensors").write_bytes(raw(text, b"\7" + data))
    found = read(tmp_path, "w.safetensors")
    same(found, {"b": torch.tensor([7], dtype=torch.uint8), "a": torch.arange(4.0)})
    assert found["a"].data_ptr() % 4 == 0


def test_the_content_is_in_memory_once(tmp_path, monkeypatch):
    """All tensors lie in the bytes that were hashed: no second copy, and no map of a file that may still change."""
    save_file({"a": torch.ones(1000), "b": torch.zeros(50, 20)}, tmp_path / "w.safetensors")
    contents = []
    hashed = weights.read_checked
    monkeypatch.setattr(weights, "read_checked", lambda *a: contents.append(hashed(*a)) or contents[-1])
    found = read(tmp_path, "w.safetensors")
    (content,) = contents
    begin = torch.frombuffer(content, dtype=torch.uint8).data_ptr()
    assert all(begin < tensor.data_ptr() < begin + len(content) for tensor in found.values())


PEAK = """
import sys
from pathlib import Path
from diffbench.models.weights import file_sha256, read_tensors
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
folder, file = Path(sys.argv[1]), sys.argv[2]
hashes, before = {file: sys.argv[3]}, peak()
assert file_sha256(folder / file) == sys.argv[3]
between = peak()
tensors = read_tensors(folder, file, hashes, allow_pickle=True)
print(between - before, peak() - between)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize("kind", ["safetensors", "zip", "old"])
def test_hashing_needs_no_memory_and_reading_the_files_size(tmp_path, kind):
    tensors, size = {f"t{i}": torch.rand(1 << 21) for i in range(16)}, 16 << 23  # 128 MiB
    file = "w.safetensors" if kind == "safetensors" else "w.pt"
    if kind == "safetensors":
        save_file(tensors, tmp_path / file)
    else:
        torch.save(tensors, tmp_path / file, _use_new_zipfile_serialization=kind == "zip")
    command = [sys.executable, "-c", PEAK, str(tmp_path), file, sha(tmp_path)[file]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    hashing, reading = map(int, done.stdout.split())
    assert hashing < size / 32
    assert 0.9 * size < reading < 1.1 * size


HEADERS = {
    "long": (struct.pack("<Q", 1 << 62) + b"{}", "the header is longer than the file"),
    "cut": (b"\2\0\0", "the header is longer than the file"),
    "not JSON": (raw(b"{]"), "not JSON that can be read"),
    "list": (raw([1]), "not a JSON object"),
    "deep": (raw(b'{"a":' + b"[" * 100_000), "nested too deep"),
    "twice": (
        raw(b'{"a": %s, "a": %s}' % ((json.dumps(entry()).encode(),) * 2), bytes(4)),
        'key "a" stands there twice',
    ),
    "two shapes": (
        raw(b'{"a":{"dtype":"F32","shape":[9],"shape":[1],"data_offsets":[0,4]}}', bytes(4)),
        'key "shape" stands there twice',
    ),
    "no entry": (raw({"a": 1}), '"a" needs dtype, shape and data_offsets'),
    "no dtype": (raw({"a": {"shape": [1], "data_offsets": [0, 4]}}, bytes(4)), '"a" needs dtype'),
    "more": (raw({"a": {**entry(), "x": 1}}, bytes(4)), "and nothing else"),
    "dtype": (raw({"a": entry("Q4")}, bytes(4)), 'is of dtype "Q4", not one of BOOL'),
    "complex": (raw({"a": entry("C64", (1,), (0, 8))}, bytes(8)), 'is of dtype "C64", not one of'),
    "dtype list": (raw({"a": entry(["F32"])}, bytes(4)), "not one of"),
    "negative": (raw({"a": entry(shape=(-1, -1))}, bytes(4)), r"has shape \[-1, -1\]"),
    "fraction": (raw({"a": entry(shape=(1.0,))}, bytes(4)), r"has shape \[1.0\]"),
    "bool": (raw({"a": entry(shape=(True,))}, bytes(4)), r"has shape \[true\]"),
    "no list": (raw({"a": {**entry(), "shape": 1}}, bytes(4)), "has shape 1"),
    "dimensions": (raw({"a": entry(shape=(1,) * 65)}, bytes(4)), "has shape"),
    "backwards": (raw({"a": entry(shape=(0,), offsets=(4, 0))}, bytes(4)), "does not have -4 bytes"),
    "offsets": (raw({"a": entry(offsets=(0, 4, 8))}, bytes(8)), r"lies at \[0, 4, 8\]"),
    "before": (raw({"a": entry(offsets=(-4, 0))}, bytes(4)), r"lies at \[-4, 0\]"),
    "product": (raw({"a": entry(shape=(2,))}, bytes(4)), r'"a", F32 \[2\], does not have 4 bytes'),
    "overflow": (raw({"a": entry(shape=(1 << 32, 1 << 32), offsets=(0, 0))}), "does not have 0 bytes"),
    "outside": (raw({"a": entry(shape=(2,), offsets=(0, 8))}, bytes(4)), "take 8 bytes, but there are 4"),
    "rest": (raw({"a": entry()}, bytes(8)), "take 4 bytes, but there are 8"),
    "hole": (raw({"a": entry(), "b": entry(offsets=(8, 12))}, bytes(12)), 'a hole before "b"'),
    "first": (raw({"a": entry(offsets=(4, 8))}, bytes(8)), 'a hole before "a"'),
    "overlap": (raw({"a": entry(shape=(2,), offsets=(0, 8)), "b": entry(offsets=(4, 8))}, bytes(8)), "an overlap with"),
    "same": (raw({"a": entry(), "b": entry()}, bytes(4)), "an overlap with"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_bad_safetensors_are_one_clear_line(tmp_path, case):
    content, says = HEADERS[case]
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=f"w.safetensors: not a safetensors file .*{says}") as error:
        read(tmp_path, "w.safetensors")
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


def test_a_long_header_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "HEADER_LIMIT", 100)
    (tmp_path / "w.safetensors").write_bytes(raw(b"{}" + b" " * 99))
    monkeypatch.setattr(weights, "parse_json", None)
    with pytest.raises(WeightsError, match="the header is longer than 100 bytes"):
        read(tmp_path, "w.safetensors")


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_changed_bytes_are_refused_or_read_as_the_library_reads_them(tmp_path_factory, randomly: random.Random):
    folder = tmp_path_factory.mktemp("changed")
    content = bytearray(save({"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2]), "c": torch.ones(1).half()}))
    for _ in range(randomly.randint(1, 3)):
        content[randomly.randrange(len(content))] = randomly.choice([0, 32, 34, 48, 57, 91, 123, 125, 255])
    (folder / "w.safetensors").write_bytes(content)
    try:
        found = read(folder, "w.safetensors")
    except WeightsError as error:
        assert "\n" not in str(error)
    else:
        same(found, load(bytes(content)))


def test_what_the_library_refuses_is_refused_here():
    """The library takes more: the last of equal keys, keys of no meaning, complex numbers, 65 dimensions."""
    taken = set()
    for name, (content, _) in HEADERS.items():
        try:
            load(content)
        except (SafetensorError, KeyError):
            continue
        taken.add(name)
    assert taken <= {"twice", "two shapes", "more", "complex", "dimensions"}


@pytest.fixture
def sharded(tmp_path):
    """A checkpoint in two shards, and a way to change its index."""
    (tmp_path / "unet").mkdir()
    save_file({"a": torch.ones(2), "b": torch.zeros(3)}, tmp_path / "unet" / "w-1.safetensors")
    save_file({"c": torch.full((1,), 5.0)}, tmp_path / "unet" / "w-2.safetensors")
    weight_map = {"a": "w-1.safetensors", "b": "w-1.safetensors", "c": "w-2.safetensors"}

    def indexed(change=(), **values):
        index = {"metadata": {"total_size": 24}, "weight_map": {**weight_map, **dict(change)}, **values}
        (tmp_path / "unet" / "w.safetensors.index.json").write_text(json.dumps(index))
        return tmp_path

    return indexed


INDEX = "unet/w.safetensors.index.json"


def test_shards_are_read_together(sharded):
    expected = {"a": torch.ones(2), "b": torch.zeros(3), "c": torch.full((1,), 5.0)}
    same(read(sharded(), INDEX), expected)


SHARDS = ["/etc/x.safetensors", "../w-1.safetensors", "a/../../x.safetensors", "..\\w.safetensors", "C:w.safetensors"]


@pytest.mark.parametrize("shard", [*SHARDS, "w\0.safetensors", "w-1.pt", "w-1.safetensors.pkl", "", 1, None, ["w"]])
def test_an_index_that_points_elsewhere_is_refused(sharded, shard):
    folder = sharded({"c": shard})
    save_file({"c": torch.ones(1)}, folder / "w-1.safetensors")
    with pytest.raises(WeightsError, match="index.json: .* is no safetensors file beside the index"):
        read_tensors(folder, INDEX, {**sha(folder), "unet/../w-1.safetensors": "0" * 64}, True)


def test_shards_must_hold_what_the_index_lists(sharded):
    for change, says in (
        ({"d": "w-2.safetensors"}, 'w-2.safetensors: lacks "d", which w.safetensors.index.json lists there'),
        ({"b": "w-2.safetensors"}, 'w-1.safetensors: has "b", which w.safetensors.index.json does not list there'),
    ):
        with pytest.raises(WeightsError, match=says):
            read(sharded(change), INDEX)
    for weight_map in ({}, ["a"], None, "w"):
        with pytest.raises(WeightsError, match="has no weight_map"):
            read(sharded(weight_map=weight_map), INDEX)
    folder = sharded()
    with pytest.raises(CardError, match="the card states no sha256 for unet/w-2.safetensors"):
        read_tensors(folder, INDEX, {file: value for file, value in sha(folder).items() if "w-2" not in file})
    hashes = sha(folder)
    (folder / "unet" / "w-2.safetensors").unlink()
    with pytest.raises(WeightsError, match="w-2.safetensors: No such file"):
        read_tensors(folder, INDEX, hashes)
