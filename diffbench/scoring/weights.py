"""Where extractors' weights lie and what they must be; read without torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from diffbench import shipped
from diffbench.errors import WeightsError


@dataclass(frozen=True)
class WeightsFile:
    """A file that does not come with diffbench: its name, the beginning of its sha256, and where it is published.

    ``numbers`` is how many features and logits it gives of an image.
    """

    name: str
    sha256: str
    source: str
    numbers: int


INCEPTION = "inception-v3-compat"

FILES: Mapping[str, WeightsFile] = {
    INCEPTION: WeightsFile(
        "weights-inception-2015-12-05-6726825d.pth",
        "6726825d",  # as its name says, in the manner of torch's hub
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        2048 + 1008,
    ),
}


def folders() -> list[Path]:
    """Where weights are looked for: ``$DIFFBENCH_WEIGHTS``, then the checkpoints of torch's hub."""
    own = os.environ.get("DIFFBENCH_WEIGHTS")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    hub = Path(os.environ.get("TORCH_HOME", cache / "torch")) / "hub" / "checkpoints"
    return [*([Path(own)] if own else []), hub]


def base_name(extractor: str) -> str:
    """``inception-v3-compat`` of ``inception-v3-compat:clean``: weights don't depend on how images are resized."""
    return extractor.partition(":")[0]


def find_weights(extractor: str) -> tuple[Path, str]:
    """Path and sha256 of an extractor's weights.

    Raises WeightsError: the file is not there (the message says which, and where it is looked for), or is another one.
    """
    file = FILES[base_name(extractor)]
    places = folders()
    path = next((place / file.name for place in places if (place / file.name).is_file()), None)
    if path is None:
        own = [] if os.environ.get("DIFFBENCH_WEIGHTS") else ["a folder that $DIFFBENCH_WEIGHTS names"]
        looked = " or ".join([*own, *map(str, places)])
        raise WeightsError(
            f"{extractor} needs {file.name} (sha256 {file.sha256}…) in {looked}; it is published at {file.source}"
        )
    sha256 = hash_of(path)
    if not sha256.startswith(file.sha256):
        raise WeightsError(f"{path}: sha256 is {sha256}, but {file.name} has one that begins with {file.sha256}")
    return path, sha256


def hash_of(path: Path) -> str:
    """The sha256 of a file, worked out once as long as size and time of the file stay. Raises WeightsError."""
    try:
        status = path.stat()
        return _hash_of(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"{path}: can't be read: {error.strerror or error}") from None


@lru_cache(maxsize=32)
def _hash_of(path: Path, size: int, time: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def numbers_of(extractor: str) -> int:
    """How many features and logits an extractor gives of an image; 0 where that is not known without loading it."""
    if (file := FILES.get(base_name(extractor))) is not None:
        return file.numbers
    config = shipped.extractor_config(extractor)
    return int(config.get("feature_dim", 0)) + int(config.get("classes", 0))


def weights_sha256(extractor: str) -> str | None:
    """What a shard's features must have been made with; None where that is not known here."""
    if base_name(extractor) in FILES:
        try:
            return find_weights(extractor)[1]
        except WeightsError:
            return None
    known = shipped.extractor_config(extractor).get("sha256")  # of others, whatever made the features
    return None if known is None else str(known)
