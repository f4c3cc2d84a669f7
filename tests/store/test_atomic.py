import os

import pytest

from diffbench.errors import StoreError
from diffbench.store import atomic


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


def test_short_writes_go_on(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    atomic.write_atomically(tmp_path / "file", bytes(range(100)))
    assert (tmp_path / "file").read_bytes() == bytes(range(100))


def test_one_creator_wins(tmp_path):
    assert atomic.create(tmp_path / "a" / "b", b"first")
    assert not atomic.create(tmp_path / "a" / "b", b"second")
    assert (tmp_path / "a" / "b").read_bytes() == b"first"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_creating_works_without_hard_links(tmp_path, monkeypatch):
    def unsupported(source, target):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", unsupported)
    assert atomic.create(tmp_path / "b", b"first")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_files_written_together_appear_in_their_order(tmp_path, monkeypatch):
    """All are on disk before the first is renamed; the folder is synchronised once, at the end."""
    said = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(os, "replace", lambda a, b: (said.append(os.path.basename(b)), replace(a, b)))
    monkeypatch.setattr(os, "fsync", lambda descriptor: (said.append("sync"), fsync(descriptor)))
    atomic.write_together(tmp_path, {"data": b"1", "manifest": b"2"})
    assert said == ["sync", "sync", "data", "manifest", "sync"]


def test_errors_name_the_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for call in (
        lambda: atomic.write_atomically(tmp_path / "file" / "below", b"x"),
        lambda: atomic.create(tmp_path / "file" / "below", b"x"),
        lambda: atomic.read_bytes(tmp_path / "none"),
        lambda: atomic.remove(tmp_path),
    ):
        with pytest.raises(StoreError, match=str(tmp_path)):
            call()
