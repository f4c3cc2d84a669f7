"""Which code makes samples and scores: hashes of the files that decide them; without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import diffbench


def sampling_code() -> str:
    """The sha256 of all files of diffbench that decide samples: recorded with every shard, so that drift is seen."""
    return _hash_of("diffusion/*.py", "samplers/*.py", "models/*.py", "scoring/images.py", "runner/execute.py")


def scoring_code() -> str:
    """The sha256 of all files of diffbench that make scores of features: stored scores of other code are not used."""
    return _hash_of("scoring/*.py")


def _hash_of(*patterns: str) -> str:
    package = Path(diffbench.__file__).parent
    digest = hashlib.sha256()
    for path in (path for pattern in patterns for path in sorted(package.glob(pattern))):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
