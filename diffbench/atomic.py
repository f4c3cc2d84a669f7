"""Files that appear whole or not at all, whatever interrupts the writer."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from diffbench.errors import StoreError


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` in one step that survives a crash: unique file, fsync, rename, fsync of the folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(f"{path}: can't be written: {error.strerror}") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN is refused, as other readers would not take it."""
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises StoreError, naming the file, if it is missing or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise StoreError(f"{path}: not JSON ({error})") from None
