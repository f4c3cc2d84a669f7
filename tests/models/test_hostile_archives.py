"""Checkpoints that lie about what they hold: archives, sizes, storages, containers. None of them needs to run code."""

import io
import pickle
import random
import struct
import warnings
import zipfile
from collections import OrderedDict
from functools import reduce

import pytest
import torch
from checkpoint_files import read, same, sha
from torch._utils import _rebuild_tensor_v2

from diffbench.errors import WeightsError
from diffbench.models import pickled
from diffbench.models.weights import read_checkpoint

STATE = {"a": torch.arange(100.0), "b": torch.ones(3, 4)}


def refused(folder, says):
    with pytest.raises(WeightsError, match=f"w.pt: .*{says}") as error:
        read_checkpoint(folder, "w.pt", sha(folder), True)
    assert "\n" not in str(error.value)


def saved(folder, state=STATE, zipped=True):
    torch.save(state, folder / "w.pt", _use_new_zipfile_serialization=zipped)


def rewritten(folder, change, **options):
    """The archive with all its records changed: ``change(name without folder, content)`` gives both, or None."""
    saved(folder)
    with zipfile.ZipFile(folder / "w.pt") as old:
        records = [(record.filename.partition("/")[2], old.read(record)) for record in old.infolist()]
    with zipfile.ZipFile(folder / "w.pt", "w", **options) as new, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for made in map(change, *zip(*records, strict=True)):
            for name, content in made:
                new.writestr(name if name.startswith("/") else f"w/{name}".removeprefix("w//"), content)


def test_a_rewritten_archive_is_read(tmp_path):
    rewritten(tmp_path, lambda name, content: [(name, content)])
    same(read(tmp_path, "w.pt", allow_pickle=True), STATE)


ARCHIVES = {
    "compressed": ({"compression": zipfile.ZIP_DEFLATED}, lambda n, c: [(n, c)], "is a compressed archive"),
    "program": ({}, lambda n, c: [(n, c), *([("constants.pkl", c)] if n == "data.pkl" else [])], "is a TorchScript"),
    "code": ({}, lambda n, c: [(n, c), *([("code/a.py", c)] if n == "data.pkl" else [])], "is a TorchScript"),
    "no pickle": ({}, lambda n, c: [(n, c)] if n != "data.pkl" else [], "is an archive without data.pkl"),
    "twice": ({}, lambda n, c: [(n, c)] * 2 if n == "data/0" else [(n, c)], "is an archive with ambiguous names"),
    "case": ({}, lambda n, c: [(n, c), *([("DATA.pkl", c)] if n == "data.pkl" else [])], "with ambiguous names"),
    "folders": ({}, lambda n, c: [(n, c), *([("/../x", c)] if n == "data.pkl" else [])], "with ambiguous names"),
    "short": ({}, lambda n, c: [(n, c[:-8] if n == "data/0" else c)], "record size .392 bytes. does not match"),
    "long": ({}, lambda n, c: [(n, c + bytes(8) if n == "data/0" else c)], "record size .408 bytes. does not match"),
    "lost": ({}, lambda n, c: [(n, c)] if n != "data/1" else [], "no checkpoint that can be read"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_that_torch_did_not_write_are_refused(tmp_path, case):
    options, change, says = ARCHIVES[case]
    rewritten(tmp_path, change, **options)
    refused(tmp_path, says)


def test_a_mapped_archive_would_have_been_believed(tmp_path):
    """Why files are not mapped: torch then takes any size of a storage, and the bytes after it."""
    rewritten(tmp_path, *[ARCHIVES["short"][1]])
    assert torch.load(tmp_path / "w.pt", weights_only=True, mmap=True)["a"].shape == (100,)
    refused(tmp_path, "does not match expected size")


def test_a_bomb_is_not_inflated(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("w/data.pkl", bytes(1 << 28))
    assert (tmp_path / "w.pt").stat().st_size < 1 << 19
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    refused(tmp_path, "is a compressed archive")


def test_a_record_that_claims_more_than_there_is_is_refused(tmp_path):
    saved(tmp_path)
    content = bytearray((tmp_path / "w.pt").read_bytes())
    entry = content.rindex(b"w/data/0") - 46
    assert content[entry : entry + 4] == b"PK\1\2"
    content[entry + 24 : entry + 28] = struct.pack("<I", 1 << 31)
    (tmp_path / "w.pt").write_bytes(content)
    refused(tmp_path, "claims to hold 2,147,48")


def test_real_torchscript_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.ones(1, 1)), tmp_path / "w.pt")
    refused(tmp_path, "is a TorchScript program, not weights")


def test_an_archive_with_two_directories_is_refused(tmp_path):
    """torch goes where the archive's end says; Python's zipfile looks right before it. Each sees another pickle."""
    made = io.BytesIO()
    torch.save({"a": torch.full((1,), 2.0)}, made)
    real = made.getvalue()
    end64 = real.rindex(b"PK\6\6")
    directory = int.from_bytes(real[end64 + 48 : end64 + 56], "little")
    # The directory again, with a record of its own, then an end for Python, and the old end64 for torch.
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"a": 1}, 2))
    body = other.getvalue()
    central = body[body.rindex(b"PK\1\2") : body.rindex(b"PK\5\6")]
    local, length = body[: body.rindex(b"PK\1\2")], len(real[:end64])
    central = central[:42] + struct.pack("<I", length + 56) + central[46:]
    head = real[: end64 + 56] + local
    fake64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(central), len(head))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end64, 1)
    last = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (tmp_path / "w.pt").write_bytes(head + central + fake64 + locator + last)
    assert directory < end64
    assert torch.load(tmp_path / "w.pt", weights_only=True)["a"].item() == 2.0
    refused(tmp_path, "directory lies elsewhere")


def test_an_archive_with_a_comment_is_refused(tmp_path):
    saved(tmp_path)
    with zipfile.ZipFile(tmp_path / "w.pt", "a") as archive:
        archive.comment = b"x"
    refused(tmp_path, "directory lies elsewhere")


def legacy_parts(folder):
    """A file in torch's old format: what comes before the list of storages, the list, what comes after it."""
    saved(folder, zipped=False)
    content = (folder / "w.pt").read_bytes()
    begin = content.rindex(b"\x80\x02]")
    end = begin + content[begin:].index(b".") + 1
    return content[:begin], pickle.loads(content[begin:end]), content[end:]


def test_storages_that_the_old_format_leaves_out_are_refused(tmp_path):
    """torch itself leaves what is not listed as the memory happened to be."""
    before, keys, after = legacy_parts(tmp_path)
    listed = before + pickle.dumps(keys[:1], 2)
    (first,) = struct.unpack("<q", after[:8])
    for rest in (after, after[: 8 + 4 * first]):  # with the numbers of the second storage still there, and without
        (tmp_path / "w.pt").write_bytes(listed + rest)
        assert torch.load(tmp_path / "w.pt", weights_only=True)["b"].shape == (3, 4)
        refused(tmp_path, "lacks numbers of its tensors")


def test_old_files_of_other_sizes_are_refused(tmp_path):
    before, keys, after = legacy_parts(tmp_path)
    listed = before + pickle.dumps(keys, 2)
    (tmp_path / "w.pt").write_bytes(listed + after)
    same(read(tmp_path, "w.pt", allow_pickle=True), STATE)
    (tmp_path / "w.pt").write_bytes(listed + struct.pack("<q", 98) + after[8:])
    refused(tmp_path, "wrong byte size")
    (tmp_path / "w.pt").write_bytes(listed + after[:-8])
    refused(tmp_path, "no checkpoint that can be read")
    (tmp_path / "w.pt").write_bytes(listed + after + b"x")
    refused(tmp_path, "lacks numbers of its tensors")


class Rebuilt:
    """Pickles as a call that makes a tensor."""

    def __init__(self, *arguments, function=_rebuild_tensor_v2):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def storage(*values):
    return torch.storage.TypedStorage(
        wrap_storage=torch.tensor(values).untyped_storage(), dtype=torch.float32, _internal=True
    )


def view(size, stride, offset=0, metadata=None):
    return Rebuilt(storage(1.0, 2.0), offset, size, stride, False, OrderedDict(), metadata or {})


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their deprecation
        return torch.quantize_per_tensor(torch.ones(1), 1.0, 0, torch.quint8)


def doubled(times):
    held = []
    for _ in range(times):
        held = [held, held]
    return held


def cycle():
    held = []
    held.append([held])
    return held


class Shadowed(OrderedDict):
    """An ``OrderedDict`` whose attributes hide its methods."""

    def __reduce__(self):
        return OrderedDict, (), {"items": OrderedDict, "keys": OrderedDict}, None, iter(dict.items(self))


HELD = {
    "expanded": ({"a": torch.ones(1).expand(1 << 40)}, "a tensor of 4,398,046,511,104 bytes in a storage of 4"),
    "outside": ({"a": view((3,), (1,))}, "no checkpoint that can be read .*storage"),
    "offset": ({"a": view((1,), (1,), offset=2)}, "no checkpoint that can be read .*storage"),
    "overflow": ({"a": view((1 << 62, 4), (0, 0))}, "no checkpoint that can be read .*overflow"),
    "negated": ({"a": view((1,), (1,), metadata={"neg": True})}, "holds a negated view of a tensor"),
    "complex": ({"a": torch.ones(1, dtype=torch.complex64)}, "names .*Complex"),
    "sparse": ({"a": torch.eye(2).to_sparse()}, "names .*_rebuild_sparse_tensor"),
    "meta": ({"a": torch.ones(2, device="meta")}, "names .*_rebuild_meta_tensor"),
    "quantised": ({"a": quantised()}, "names .*_rebuild_qtensor"),
    "dtype": ({"a": torch.uint16}, "holds an object of type dtype"),
    "storage": ({"a": storage(1.0)}, "holds an object of type TypedStorage"),
    "function": ({"a": _rebuild_tensor_v2}, "holds an object of type function"),
    "bytes": ({"a": bytearray(b"x")}, "names .*bytearray"),
    "set": ({"a": {1}}, "names .*set"),
    "cycle": (cycle(), "is nested more than 64 deep"),
    "deep": (reduce(lambda held, _: [held], range(70), 1), "is nested more than 64 deep"),
    "tuple key": ({("a", 1): 1}, "holds a key"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("case", HELD)
def test_what_is_no_dense_tensor_in_plain_containers_is_refused(tmp_path, case, zipped):
    held, says = HELD[case]
    saved(tmp_path, held, zipped)
    refused(tmp_path, says)


def test_containers_that_hold_one_another_many_times_are_read_once(tmp_path):
    saved(tmp_path, doubled(50))
    found = read_checkpoint(tmp_path, "w.pt", sha(tmp_path), True)
    assert found[0] is found[1] and found[0][0] is found[0][1]


def test_methods_that_a_pickle_hides_are_not_called(tmp_path):
    saved(tmp_path, Shadowed(a=torch.ones(1)))
    assert list(torch.load(tmp_path / "w.pt", weights_only=True).items()) == []
    same(read(tmp_path, "w.pt", allow_pickle=True), {"a": torch.ones(1)})


def test_views_are_copied_up_to_the_files_size(tmp_path):
    base = torch.randn(100, 100)
    saved(tmp_path, [base, *(base[i % 9 :].t() for i in range(100))])
    refused(tmp_path, "holds more views of its tensors than it has bytes")


def test_items_are_set_in_dictionaries_alone(tmp_path):
    """CVE-2026-24747."""
    for operations in (b"]K\0K\1s.", b"](K\0K\1u.", b"ccollections\nOrderedDict\nX\1\0\0\0aK\1s."):
        before = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
        (tmp_path / "w.pt").write_bytes(before + b"\x80\2" + operations + b"\x80\2].")
        refused(tmp_path, "no checkpoint that can be read .Weights only load failed")


def test_a_long_pickle_is_refused(tmp_path, monkeypatch):
    saved(tmp_path)
    monkeypatch.setattr(pickled, "PICKLE_LIMIT", 100)
    refused(tmp_path, "is a pickle of more than 100 bytes")


@pytest.mark.parametrize("zipped", [True, False])
def test_changed_bytes_are_refused_or_give_the_same_kind_of_tensors(tmp_path, zipped):
    randomly = random.Random(7)
    saved(tmp_path, zipped=zipped)
    content, taken = (tmp_path / "w.pt").read_bytes(), 0
    for _ in range(400):
        changed = bytearray(content)
        changed[randomly.randrange(len(content))] = randomly.randrange(256)
        (tmp_path / "w.pt").write_bytes(changed[: randomly.choice([None, None, randomly.randrange(len(content))])])
        try:
            found = read(tmp_path, "w.pt", allow_pickle=True)
        except WeightsError as error:
            assert "\n" not in str(error)
            continue
        taken += 1
        assert all(tensor.numel() <= 100 for tensor in found.values())
    assert 20 < taken < 380
