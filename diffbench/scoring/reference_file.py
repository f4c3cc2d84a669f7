"""References in files: ours (JSON beside safetensors), and the moments that other tools keep in ``.npz``."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from diffbench.errors import ImagesError, ReferenceDataError
from diffbench.scoring.picture_arrays import DAMAGE, read_header
from diffbench.scoring.reference import Reference, require_regular
from diffbench.store.atomic import write_together

MOST = 2**31
"""Bytes of a moments file that are read: 2 GiB, a covariance of 16384 dimensions."""


def write_reference(reference: Reference, folder: Path) -> Path:
    """Write ``<name>.json`` and ``<name>.safetensors``, which ``read_reference`` reads; returns the JSON's path.

    Raises StoreError if the files can't be written.
    """
    known = {"features": reference.features, "logits": reference.logits, "mean": reference.mean, "cov": reference.cov}
    data = save({name: np.ascontiguousarray(array) for name, array in known.items() if array is not None})
    info = {
        **reference.info,
        "extractor": reference.extractor,
        "image_shape": None if reference.image_shape is None else list(reference.image_shape),
        "n": reference.n,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    text = json.dumps(info, indent=1, sort_keys=True) + "\n"
    write_together(folder, {f"{reference.name}.safetensors": data, f"{reference.name}.json": text.encode()})
    return folder / f"{reference.name}.json"


def has_moments(path: Path) -> bool:
    """Whether a file is an ``.npz`` with a mean and a covariance, by the names of its arrays."""
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {"mu.npy", "sigma.npy"} <= set(archive.namelist())
    except (*DAMAGE, ValueError):
        return False


def read_moments(path: Path, extractor: str, info: Mapping[str, Any] | None = None) -> Reference:
    """The ``mu`` and ``sigma`` of an ``.npz``, as pytorch-fid, clean-fid and EDM write them.

    They say neither of how many images they are, nor of which extractor: that is the caller's word, ``n`` in ``info``
    included.

    Raises:
        ReferenceDataError: missing or damaged, pickled, too large, or no mean and covariance.
    """
    require_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(_claimed(path, archive, name) for name in ("mu", "sigma"))
        if size > MOST:
            raise ReferenceDataError(f"{path}: claims {size:,} bytes of moments; at most {MOST:,}")
        content = path.read_bytes()
        with np.load(path, allow_pickle=False) as arrays:
            mean, cov = (_numbers(path, name, arrays[name]) for name in ("mu", "sigma"))
    except KeyError:
        raise ReferenceDataError(f"{path}: holds no mu and sigma") from None
    except ImagesError as error:  # a header that is none, or of pickled objects
        raise ReferenceDataError(str(error)) from None
    except (*DAMAGE, ValueError) as error:
        raise ReferenceDataError(f"{path}: can't be read ({' '.join(str(error).split())})") from None
    sha256 = hashlib.sha256(content).hexdigest()
    return Reference.of_moments(path.stem, mean, cov, extractor, sha256, {"source": path.name, **(info or {})})


def _claimed(path: Path, archive: zipfile.ZipFile, name: str) -> int:
    """Bytes of an array by its header, which numpy would allocate unseen. Raises KeyError if it is not there."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as stream:
        dims, dtype = read_header(path, stream)
        size = dtype.itemsize * math.prod(dims)
        if stream.tell() + size != entry.file_size:
            raise ReferenceDataError(f"{path}: {name} does not hold the {size:,} bytes that it claims")
    return size


def _numbers(path: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind != "f":
        raise ReferenceDataError(f"{path}: {name} holds {array.dtype}, not floats")
    return array
