"""Pickles that run code when they are loaded: each is first shown to do so, and must not when diffbench reads it."""

import importlib
import io
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import torch
from checkpoint_files import read, sha

from diffbench.errors import WeightsError
from diffbench.models.weights import read_checkpoint

P2 = b"\x80\x02"
LEGACY = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def text(string, number=None):
    """A short string as a pickle's operation, memoised where it has a number."""
    data = string.encode()
    assert len(data) < 256
    return b"\x8c" + bytes([len(data)]) + data + (b"" if number is None else b"q" + bytes([number]) + b"0")


def line(string):
    return b"V" + string.encode() + b"\n"


def unsafe_torch_load(command, folder):
    """A pickle in a file beside, loaded by torch.load with a pickle module given, which turns ``weights_only`` off."""
    folder.mkdir(exist_ok=True)
    inner = folder / "inner.pt"
    inner.write_bytes(b"".join(pickle.dumps(part, 2) for part in LEGACY) + reduced(command, folder))
    return pickle.dumps(Call(torch.load, str(inner), "cpu", Call(importlib.import_module, "pickle")), 2)


def reduced(command, folder):
    return pickle.dumps(Call(os.system, command), 2)


# Each makes a pickle that runs a command of the shell; the name that the message must have stands beside.
ATTACKS = {
    "reduce": (reduced, "names .*system"),
    "protocol 4": (lambda c, _: pickle.dumps(Call(os.system, c), 4), "is a pickle of protocol 4"),
    "stack global": (lambda c, _: P2 + text("os") + text("system") + b"\x93" + text(c) + b"\x85R.", "STACK_GLOBAL"),
    "memo": (
        lambda c, _: P2 + text("system", 1) + text("os", 2) + text(c, 3) + b"h\2h\1\x93h\3\x85R.",
        "STACK_GLOBAL",
    ),
    "popped": (lambda c, _: P2 + b"cos\nsystem\n" + line(c) + b"\x85R0}.", "names .*os.system"),
    "instance": (lambda c, _: b"(" + line(c) + b"ios\nsystem\n.", "the operation INST"),
    "object": (lambda c, _: b"(cos\nsystem\n" + line(c) + b"o.", "names .*os.system"),
    "python 2": (lambda c, _: P2 + b"c__builtin__\neval\n" + line(evaluated(c)) + b"\x85R.", "names .*eval"),
    "exec": (lambda c, _: pickle.dumps(Call(exec, evaluated(c)), 2), "names .*exec"),
    "setstate": (
        lambda c, _: P2 + b"ctypes\nSimpleNamespace\n)R}X\x0c\0\0\0__setstate__cos\nsystem\nsb" + line(c) + b"b.",
        "names .*SimpleNamespace",
    ),
    "new object": (
        lambda c, _: P2 + b"ccollections\ndeque\ncbuiltins\nmap\ncos\nsystem\n]" + line(c) + b"a\x86\x81\x85R.",
        "names .*collections.deque",
    ),
    "nested pickle": (lambda c, f: pickle.dumps(Call(pickle.loads, reduced(c, f)), 2), "names .*loads"),
    "nested torch.load": (unsafe_torch_load, "names .*torch.serialization.load"),
    "getattr": (
        lambda c, _: P2 + b"cbuiltins\ngetattr\ncimportlib\nimport_module\nX\x02\0\0\0os\x85RX\x06\0\0\0system\x86R"
        + line(c) + b"\x85R.",
        "names .*builtins.getattr",
    ),
    "hidden in state": (
        lambda c, _: P2 + b"ccollections\nOrderedDict\n)R}X\x01\0\0\0acos\nsystem\n" + line(c) + b"\x85Rsb.",
        "names .*os.system",
    ),
}  # fmt: skip


def evaluated(command):
    return f"__import__('os').system({command!r})"


def plain(payload):
    return payload


def legacy(payload):
    """As torch saved before 1.6."""
    return b"".join(pickle.dumps(part, 2) for part in LEGACY) + payload + pickle.dumps([], 2)


def archive(payload):
    """As torch.save writes it: an archive with the pickle beside the storages."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, content in {
            "data.pkl": payload,
            "byteorder": b"little",
            "data/0": bytes(4),
            "version": b"3\n",
        }.items():
            file.writestr(f"archive/{name}", content)
    return made.getvalue()


def tar(payload):
    """As torch saved before 0.2."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as file:
        for name in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            file.addfile(info, io.BytesIO(payload))
    return made.getvalue()


CONTAINERS = {"plain": plain, "legacy": legacy, "archive": archive, "tar": tar}

# As anybody loads a pickle, from each container; the containers' own readers are plain Python here.
LIVE = """
import io, pickle, sys, tarfile, zipfile
for line in sys.stdin.read().splitlines():
    container, path = line.split(" ", 1)
    file = open(path, "rb")
    if container == "archive":
        file = io.BytesIO(zipfile.ZipFile(file).read("archive/data.pkl"))
    if container == "tar":
        file = tarfile.open(fileobj=file).extractfile("storages")
    try:
        while file.read(1):
            file.seek(-1, 1)
            pickle.load(file)
    except Exception as error:
        print(container, path, type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """All attacks in all containers, and the canary of each, which plain loading has been seen to leave behind."""
    folder = tmp_path_factory.mktemp("hostile")
    files = {}
    for number, (attack, container) in enumerate((a, c) for a in ATTACKS for c in CONTAINERS):
        place = folder / str(number)
        place.mkdir()
        payload = ATTACKS[attack][0](f"touch {place}/canary", place / "beside")
        (place / "w.pt").write_bytes(CONTAINERS[container](payload))
        shutil.copy(place / "w.pt", place / "w.safetensors")
        files[attack, container] = place
    given = "".join(f"{container} {place / 'w.pt'}\n" for (_, container), place in files.items())
    done = subprocess.run([sys.executable, "-c", LIVE], input=given, capture_output=True, text=True, timeout=300)
    for case, place in files.items():
        assert (place / "canary").exists(), (case, done.stdout, done.stderr)
        (place / "canary").unlink()
    return files


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_code_of_a_pickle_runs(live, attack, container):
    place = live[attack, container]
    says = ATTACKS[attack][1] if container != "tar" else "is a tar archive"
    with pytest.raises(WeightsError, match=f"w.pt: .*{says}") as error:
        read(place, "w.pt", allow_pickle=True)
    assert "\n" not in str(error.value)
    with pytest.raises(WeightsError, match=f"w.pt: .*{says}"):
        read_checkpoint(place, "w.pt", sha(place), True)
    with pytest.raises(WeightsError, match="pass --allow-pickle"):
        read(place, "w.pt")
    for allowed in (False, True):
        kind = "not a" if container == "tar" else "is a pickle, not a"
        with pytest.raises(WeightsError, match=f"w.safetensors: {kind} safetensors file"):
            read(place, "w.safetensors", allow_pickle=allowed)
    assert not (place / "canary").exists()


def test_what_other_packages_declare_safe_is_not(live, tmp_path):
    """``weights_only`` alone runs what anybody has put on its list."""
    command = f"touch {tmp_path}/canary"
    (tmp_path / "w.pt").write_bytes(
        archive(b"\x80\x02cmine\nrun\nX" + len(command).to_bytes(4, "little") + command.encode() + b"\x85R.")
    )
    with torch.serialization.safe_globals([(__import__("os").system, "mine.run")]):
        torch.load(tmp_path / "w.pt", weights_only=True)
        (tmp_path / "canary").unlink()
        with pytest.raises(WeightsError, match='names "mine.run", which is not allowed'):
            read(tmp_path, "w.pt", allow_pickle=True)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("operations", "name"),
    [(b"ccollections\nOrderedDict\n)\x81.", "NEWOBJ"), (b"(ccollections\nOrderedDict\no.", "OBJ"), (b"\x82\1.", "EXT1")]
    + [(b"\x83\1\0.", "EXT2"), (b"\x84\1\0\0\0.", "EXT4"), (b"ccollections\nOrderedDict\n)}\x92.", "NEWOBJ_EX")],
)
def test_other_ways_to_make_objects_are_refused(tmp_path, operations, name):
    (tmp_path / "w.pt").write_bytes(archive(P2 + operations))
    with pytest.raises(WeightsError, match=f"with the operation {name}, which torch.save never writes"):
        read(tmp_path, "w.pt", allow_pickle=True)
