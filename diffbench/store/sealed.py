"""JSON files that carry the sha256 of their own text, so that no changed byte can become a number."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffbench.errors import StoreError
from diffbench.store.atomic import read_bytes, update

_SEAL = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n}\n\Z')


def seal(content: Mapping[str, Any]) -> bytes:
    """``content`` as JSON text whose last key, ``sha256``, is the hash of all text before it.

    ValueError for NaN, which other readers would not take, and for content with a ``sha256`` of its own.
    """
    if not content or "sha256" in content:
        raise ValueError("sealed content needs keys, and none called sha256")
    body = json.dumps(content, indent=1, allow_nan=False).removesuffix("\n}").encode()
    return body + b',\n "sha256": "%s"\n}\n' % hashlib.sha256(body).hexdigest().encode()


def unseal(data: bytes, path: Path | str) -> dict[str, Any]:
    """The content of sealed text. Raises StoreError, naming ``path``, if any byte of it was changed."""
    content: dict[str, Any] = json.loads((checked(data, path) + b"}").decode())
    return content


def checked(data: bytes, path: Path | str) -> bytes:
    """The text before the seal, which is unbroken. Raises StoreError, naming ``path``, if it is not."""
    found = _SEAL.search(data[-100:])
    if found is None:
        raise StoreError(f"{path}: cut short, or not sealed with a sha256")
    body = data[: len(data) - len(found[0])]
    if hashlib.sha256(body).hexdigest().encode() != found[1]:
        raise StoreError(f"{path}: does not match its own sha256")
    return body


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write sealed JSON atomically; a file that holds the same already is left alone. Raises StoreError."""
    update(path, seal(content))


def read_sealed(path: Path | str) -> dict[str, Any]:
    """Read sealed JSON. Raises StoreError, naming the file, if it is missing, cut short or changed."""
    return unseal(read_bytes(path), path)
