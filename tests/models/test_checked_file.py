import hashlib
import json
import os
import socket
import subprocess
import sys

import pytest

from diffbench.errors import CardError, WeightsError
from diffbench.models import checked_file
from diffbench.models.checked_file import JSON_LIMIT, file_sha256, read_checked, read_json, verify_file


def sha(content):
    return hashlib.sha256(content).hexdigest()


def stated(folder, *files):
    return {file: sha((folder / file).read_bytes()) for file in files}


def test_a_file_is_read_and_hashed(tmp_path):
    content = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(content)
    hashes = {"a": sha(content)}
    assert file_sha256(tmp_path / "a") == sha(content)
    assert read_checked(tmp_path, "a", hashes) == content
    verify_file(tmp_path, "a", hashes)
    with checked_file.checked_file(tmp_path, "a", hashes) as handle:
        assert handle.read() == content


@pytest.mark.parametrize("read", [read_checked, verify_file, read_json])
def test_hashes_must_be_stated_and_match(tmp_path, read):
    (tmp_path / "a").write_bytes(b"{}")
    with pytest.raises(CardError, match="the card states no sha256 for a$"):
        read(tmp_path, "a", {"b": sha(b"{}")})
    with pytest.raises(WeightsError, match="a: sha256 is 44136fa355b3…, the card says e3b0c44298fc…"):
        read(tmp_path, "a", {"a": sha(b"")})


@pytest.mark.parametrize("file", ["../a", "/etc/passwd", "b/../../a", "..\\a", "C:a", "a\0", "", "."])
def test_paths_that_leave_the_folder_are_refused(tmp_path, file):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "in").mkdir()
    for read in (read_checked, verify_file, read_json):
        with pytest.raises(WeightsError, match="is no path inside the checkpoint's folder"):
            read(tmp_path / "in", file, {file: sha(b"x")})


def test_links_stay_inside(tmp_path):
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "real").write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"x")
    (folder / "unet" / "inside").symlink_to("../real")
    (folder / "outside").symlink_to("../secret")
    (folder / "way").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    (tmp_path / "alias").symlink_to("model")
    assert read_checked(folder, "unet/inside", {"unet/inside": sha(b"x")}) == b"x"
    assert read_checked(tmp_path / "alias", "real", {"real": sha(b"x")}) == b"x"
    for file in ("outside", "way/secret"):
        for read in (read_checked, verify_file):
            with pytest.raises(WeightsError, match="is a link to .*secret, outside of the checkpoint's folder"):
                read(folder, file, {file: sha(b"x")})
    with pytest.raises(WeightsError, match="loop: Too many levels of symbolic links"):
        read_checked(folder, "loop", {"loop": sha(b"x")})


def test_the_hubs_cache_is_a_folder_with_links(tmp_path):
    def cached(model):
        snapshot = tmp_path / model / "snapshots" / "0123"
        (snapshot / "unet").mkdir(parents=True)
        (tmp_path / model / "blobs").mkdir()
        (tmp_path / model / "blobs" / "beef").write_bytes(b"x")
        (snapshot / "unet" / "a").symlink_to("../../../blobs/beef")
        return snapshot

    folder, other, fake = cached("models--o--n"), cached("models--o--other"), cached("elsewhere")
    hashes = {"unet/a": sha(b"x"), "a": sha(b"x"), "b": sha(b"x"), "c": sha(b"x"), "d": sha(b"x")}
    assert read_checked(folder, "unet/a", hashes) == read_checked(folder / "unet", "a", hashes) == b"x"
    (folder / "b").symlink_to("../../../models--o--other/blobs/beef")
    (folder / "c").symlink_to("../../refs")
    (tmp_path / "models--o--n" / "refs").write_bytes(b"x")
    (other / "d").symlink_to("../../blobs/link")  # blobs are files, not links onwards
    (tmp_path / "models--o--other" / "blobs" / "link").symlink_to(tmp_path / "models--o--n" / "refs")
    for where, file in ((folder, "b"), (folder, "c"), (other, "d"), (fake, "unet/a")):
        with pytest.raises(WeightsError, match="is a link to .*, outside of the checkpoint's folder"):
            read_checked(where, file, hashes)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


KINDS = {"FIFO": os.mkfifo, "folder": os.mkdir, "socket": make_socket}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    KINDS[kind](tmp_path / "a")
    monkeypatch.setattr(os, "open", None)
    for read in (read_checked, verify_file):
        with pytest.raises(WeightsError, match=f"a: is a {kind}, not a file"):
            read(tmp_path, "a", {"a": sha(b"")})
    with pytest.raises(WeightsError, match=f"a: is a {kind}, not a file"):
        file_sha256(tmp_path / "a")


def test_devices_are_refused():
    with pytest.raises(WeightsError, match="/dev/zero: is a device, not a file"):
        file_sha256(checked_file.Path("/dev/zero"))


SWAPPED = """
import os, sys
from pathlib import Path
from diffbench.models import checked_file
path, kind, real = Path(sys.argv[1]), sys.argv[2], os.open
def swap(name, flags):
    path.unlink()
    os.mkfifo(path) if kind == "fifo" else path.symlink_to("/etc/passwd")
    return real(name, flags)
os.open = swap
try:
    checked_file.file_sha256(path)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(("kind", "says"), [("fifo", "is a FIFO, not a file"), ("link", "Too many levels of symbolic")])
def test_a_file_swapped_after_the_checks_is_refused_without_waiting(tmp_path, kind, says):
    (tmp_path / "a").write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-c", SWAPPED, str(tmp_path / "a"), kind], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("WeightsError") and says in done.stdout, done


def test_a_file_written_to_while_it_is_read_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100)
    status = (tmp_path / "a").stat()
    with pytest.raises(WeightsError, match="was written to while it was read"):
        with checked_file.checked_file(tmp_path, "a", {"a": sha(b"x" * 100)}):
            (tmp_path / "a").write_bytes(b"y" * 100)
            os.utime(tmp_path / "a", ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    def full(size):
        raise MemoryError

    (tmp_path / "a").write_bytes(b"x")
    monkeypatch.setattr(checked_file, "bytearray", full, raising=False)
    with pytest.raises(WeightsError, match="1 bytes do not fit into memory"):
        read_checked(tmp_path, "a", {"a": sha(b"x")})


def test_configs(tmp_path):
    (tmp_path / "c.json").write_text('{"a": [1, {"b": "ü"}]}', encoding="utf-8")
    assert read_json(tmp_path, "c.json", stated(tmp_path, "c.json")) == {"a": [1, {"b": "ü"}]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"a": 1, "b": 2, "a": 1}', 'the key "a" stands there twice'),
        (b'{"x": [{"a": 1, "a": 2}]}', 'the key "a" stands there twice'),
        (b"[1]", "not a JSON object"),
        (b'{"a": ', "not JSON that can be read"),
        (b'{"a": "\xff"}', "not JSON that can be read"),
        (json.dumps({"a": 1}).encode("utf-16"), "not JSON that can be read"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON that can be read"),
        (b'{"a": ' + b"[" * 100_000, "nested too deep"),
        (b"{}" + b" " * JSON_LIMIT, "has 16,777,218 bytes; at most 16,777,216 are read"),
    ],
    ids=["twice", "twice inside", "list", "cut", "latin", "utf-16", "digits", "deep", "long"],
)
def test_bad_configs_are_one_clear_line(tmp_path, content, says):
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(WeightsError, match=says) as error:
        read_json(tmp_path, "c.json", stated(tmp_path, "c.json"))
    assert "\n" not in str(error.value)
