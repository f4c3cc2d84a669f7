"""Files that appear whole or not at all, whatever interrupts the writer; nothing here needs a lock.

Every step is a call of :mod:`os`, in this order: a unique temporary file, write, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from diffbench.errors import StoreError

TEMPORARY = ".tmp"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` in one step that survives a crash. Raises StoreError, naming the file."""
    write_together(path.parent, {path.name: data})


def update(path: Path, data: bytes) -> bool:
    """Replace ``path`` unless it holds ``data`` already; returns whether it was written. Raises StoreError."""
    try:
        if read_bytes(path) == data:
            return False
    except StoreError:
        pass
    write_atomically(path, data)
    return True


def write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace several files of one folder, each in one step, in their order; one fsync of the folder covers all.

    After a power cut a later file may be there without an earlier one: whoever reads them has to check.
    Raises StoreError, naming the file; files before it may have been replaced already.
    """
    temporary: dict[str, str] = {}
    name = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            temporary[name] = _written(folder, name, data)
        for name in files:
            os.replace(temporary[name], folder / name)
            del temporary[name]
        _sync(folder)
    except OSError as error:
        raise StoreError(f"{folder / name}: can't be written: {error.strerror}") from error
    finally:
        for left in temporary.values():
            _discard(left)


def create(path: Path, data: bytes) -> bool:
    """Write ``path`` unless it exists; of several writers one wins, and False tells the others. Raises StoreError."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _written(path.parent, path.name, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links: the last writer wins
            os.replace(temporary, path)
            temporary = None
        _sync(path.parent)
        return True
    except OSError as error:
        raise StoreError(f"{path}: can't be written: {error.strerror}") from error
    finally:
        if temporary is not None:
            _discard(temporary)


def read_bytes(path: Path | str) -> bytes:
    """A file's content. Raises StoreError, naming the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            data = os.read(descriptor, size)
            while len(data) < size and (more := os.read(descriptor, size - len(data))):  # a read may be short
                data += more
            return data
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None


def remove(path: Path) -> None:
    """Delete a file, if it is there. Raises StoreError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: can't be deleted: {error.strerror}") from error


def _written(folder: Path, name: str, data: bytes) -> str:
    """A temporary file beside its goal, on disk to the last byte."""
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.", suffix=TEMPORARY)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        _discard(temporary)
        raise
    return temporary


def _discard(temporary: str) -> None:
    try:
        os.unlink(temporary)
    except OSError:  # nothing reads it, and gc finds it
        pass


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def unsynchronised() -> Iterator[None]:
    """Writes inside need not survive a power cut: for what benchmarks make up, which would take minutes otherwise."""
    fsync = os.fsync
    os.fsync = lambda fd: None
    try:
        yield
    finally:
        os.fsync = fsync
