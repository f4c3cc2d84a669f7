"""Files of a checkpoint: opened once, only inside their folder, and believed only with the stated sha256."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

from diffbench.document.words import shown
from diffbench.errors import CardError, WeightsError

JSON_LIMIT = 16 << 20
"""The longest JSON file that is read, in bytes."""

# Without O_NONBLOCK, opening a FIFO waits for a writer; the others are for a link or a FIFO put there after the checks.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))
_KINDS = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}


def inside_fault(path: str) -> str | None:
    """Why a path can't be one inside of a checkpoint's folder, in words; None if it can."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or any(c in path for c in "\\:\0"):
        return f"{shown(path)} is no path inside the checkpoint's folder"
    return None


def file_sha256(path: Path) -> str:
    """The sha256 (hexadecimal) of a file, read in pieces. Raises WeightsError: no regular file, or unreadable."""
    with _opened(path, path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def verify_file(folder: Path, file: str, sha256: Mapping[str, str]) -> None:
    """Hash a file, read in pieces. Errors as ``checked_file``."""
    with checked_file(folder, file, sha256):
        pass


@contextmanager
def checked_file(folder: Path, file: str, sha256: Mapping[str, str]) -> Iterator[BufferedReader]:
    """An open file whose whole content has been hashed, at its start: for what is read piece by piece.

    Raises CardError: ``sha256`` has no hash of ``file``. WeightsError: no such regular file inside ``folder``, another
    hash, or, on leaving, the file was written to in between.
    """
    path, stated = _stated(folder, file, sha256)
    with _opened(_contained(folder, file), path) as handle:
        before = _version(handle)
        _compare(path, hashlib.file_digest(handle, "sha256").hexdigest(), stated)
        handle.seek(0)
        yield handle
        if _version(handle) != before:
            raise WeightsError(f"{path}: was written to while it was read")


def read_checked(folder: Path, file: str, sha256: Mapping[str, str], limit: int | None = None) -> bytearray:
    """The content of a file of at most ``limit`` bytes: the very bytes that were hashed. Errors as ``checked_file``."""
    path, stated = _stated(folder, file, sha256)
    content = _read(folder, file, limit)
    _compare(path, hashlib.sha256(content).hexdigest(), stated)
    return content


def read_json(folder: Path, file: str, sha256: Mapping[str, str]) -> dict[str, Any]:
    """A JSON object, such as a network's config, without repeated keys.

    Raises CardError, WeightsError as ``checked_file``; WeightsError: too long, or no such object.
    """
    return parse_json(folder / file, read_checked(folder, file, sha256, JSON_LIMIT))


def read_unchecked_json(folder: Path, file: str) -> dict[str, Any]:
    """As ``read_json``, of a file without a stated hash: good for refusing it, never for believing it."""
    if (fault := inside_fault(file)) is not None:
        raise WeightsError(f"{folder}: {fault}")
    return parse_json(folder / file, _read(folder, file, JSON_LIMIT))


def parse_json(path: Path, content: bytes | bytearray) -> dict[str, Any]:
    """The JSON object that is a file's content. Raises WeightsError: it is none, or repeats a key."""
    try:
        parsed = json.loads(content.decode("utf-8"), object_pairs_hook=_once)
    except RecursionError:
        raise WeightsError(f"{path}: not JSON that can be read (nested too deep)") from None
    except ValueError as error:
        raise WeightsError(f"{path}: not JSON that can be read ({error})") from None
    if not isinstance(parsed, dict):
        raise WeightsError(f"{path}: not a JSON object")
    return parsed


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {shown(key)} stands there twice")
        made[key] = value
    return made


def _stated(folder: Path, file: str, sha256: Mapping[str, str]) -> tuple[Path, str]:
    if (fault := inside_fault(file)) is not None:
        raise WeightsError(f"{folder}: {fault}")
    if (stated := sha256.get(file)) is None:
        raise CardError(f"{folder}: the card states no sha256 for {file}")
    return folder / file, stated


def _read(folder: Path, file: str, limit: int | None) -> bytearray:
    path = folder / file
    with _opened(_contained(folder, file), path) as handle:
        size = os.fstat(handle.fileno()).st_size
        if limit is not None and size > limit:
            raise WeightsError(f"{path}: has {size:,} bytes; at most {limit:,} are read")
        try:
            content = bytearray(size)
        except MemoryError:
            raise WeightsError(f"{path}: {size:,} bytes do not fit into memory") from None
        handle.readinto(content)
    return content


def _compare(path: Path, actual: str, stated: str) -> None:
    if actual != stated:
        raise WeightsError(f"{path}: sha256 is {actual[:12]}…, the card says {stated[:12]}…")


def _version(handle: BufferedReader) -> tuple[int, int, int]:
    status = os.fstat(handle.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _contained(folder: Path, file: str) -> Path:
    """Where a file really lies: in the folder, or, for a model in the cache of Hugging Face's hub, in its blobs."""
    path = folder / file
    try:
        root, target = (Path(os.path.realpath(at, strict=True)) for at in (folder, path))
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from None
    if not target.is_relative_to(root) and target.parent != _blobs(root):
        raise WeightsError(f"{path}: is a link to {target}, outside of the checkpoint's folder")
    return target


def _blobs(root: Path) -> Path | None:
    """``models--owner--name/blobs`` for a folder in ``models--owner--name/snapshots/<commit>``."""
    for above in root.parents:
        if above.name == "snapshots" and above.parent.name.startswith("models--"):
            return above.parent / "blobs"
    return None


@contextmanager
def _opened(target: Path, path: Path) -> Iterator[BufferedReader]:
    """A regular file, open; other kinds are refused before they are opened. ``path``: what messages call it."""
    try:
        _refuse_kind(os.stat(target), path)
        descriptor = os.open(os.path.realpath(target), _FLAGS)
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as handle:
        _refuse_kind(os.fstat(descriptor), path)
        try:
            yield handle
        except OSError as error:
            raise WeightsError(f"{path}: {error.strerror or error}") from None


def _refuse_kind(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise WeightsError(f"{path}: is a {_KINDS.get(stat.S_IFMT(status.st_mode), 'device')}, not a file")
