"""Features and statistics of the real data, and how well real images themselves score against them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from diffbench import shipped
from diffbench.errors import ReferenceDataError, ScoringError
from diffbench.scoring.fid import fid_value
from diffbench.scoring.kid import kernel_mean, kid
from diffbench.scoring.moments import Array, Moments

if TYPE_CHECKING:
    from diffbench.scoring.extractor import Extractor

# Below this ratio of smallest to largest eigenvalue, the root of a covariance is taken from the features instead.
_ROOT_CONDITION = 1e-9
# What float32 arithmetic may leave of asymmetry, and of eigenvalues below zero, relative to the largest entry.
_SYMMETRY = 1e-5


@dataclass(frozen=True, eq=False)
class Reference:
    """Features of N real images in the eyes of one extractor.

    Attributes:
        name: what suites and cards call it.
        features: (N, d) float32; None where only the moments are known.
        logits: (N, K) float32; None with the features.
        mean: (d,) float64.
        cov: (d, d) float64, unbiased.
        n: N; 0 where it is not known.
        extractor: name of the extractor.
        image_shape: (C, H, W) of the images; None where it is not known.
        sha256: of the file that holds it; "" for one made in memory.
        info: data set, source, split, resize, the extractor's hash ("extractor_sha256") …
    """

    name: str
    features: NDArray[Any] | None
    logits: NDArray[Any] | None
    mean: Array
    cov: Array
    n: int
    extractor: str
    image_shape: tuple[int, int, int] | None
    sha256: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_moments(
        cls, name: str, mean: NDArray[Any], cov: NDArray[Any], extractor: str, sha256: str, info: Mapping[str, Any]
    ) -> Reference:
        """Reference of a mean (d,) and a covariance (d, d) alone; N as ``info`` has it.

        Raises ReferenceDataError: shapes that don't fit, values that are not finite, or a matrix that is no covariance:
        asymmetric, or with an eigenvalue below zero by more than rounding.
        """
        known, matrix = np.asarray(mean, np.float64), np.asarray(cov, np.float64)
        told = f"reference {name!r}"
        if known.ndim != 1 or not known.size or matrix.shape != (known.size, known.size):
            raise ReferenceDataError(f"{told}: a mean of shape {known.shape} and a covariance of {matrix.shape}")
        if not np.isfinite(known).all() or not np.isfinite(matrix).all():
            raise ReferenceDataError(f"{told}: its mean or covariance is not finite")
        largest = float(np.abs(matrix).max())
        if float(np.abs(matrix - matrix.T).max()) > _SYMMETRY * largest:
            raise ReferenceDataError(f"{told}: its covariance is not symmetric")
        symmetric = (matrix + matrix.T) / 2
        lowest = float(np.linalg.eigvalsh(symmetric)[0])
        if lowest < -_SYMMETRY * largest:
            raise ReferenceDataError(f"{told}: its covariance has a negative eigenvalue ({lowest:.3g}); it is none")
        return cls(name, None, None, known, symmetric, int(info.get("n") or 0), extractor, None, sha256, dict(info))

    @classmethod
    def of(
        cls,
        name: str,
        features: NDArray[Any],
        logits: NDArray[Any],
        extractor: str,
        image_shape: tuple[int, int, int],
        info: Mapping[str, Any] | None = None,
    ) -> Reference:
        """Reference made in memory from features (N, d) and logits (N, K), N >= 2.

        Raises:
            ScoringError: fewer than two samples, wrong shapes, or values that are not finite (the sample is named).
        """
        moments = Moments.of(features)
        if len(logits) != moments.n:
            raise ScoringError(f"{moments.n} features but {len(logits)} logits")
        return cls(
            name, features, logits, moments.mean, moments.cov, moments.n, extractor, image_shape, info=dict(info or {})
        )

    def part(self, indices: NDArray[np.int64]) -> Reference:
        """Reference made of some of the images only. Raises ReferenceDataError for one of moments alone."""
        features, logits, shape = self.known_features, self.logits, self.image_shape
        assert logits is not None and shape is not None
        made = Reference.of(self.name, features[indices], logits[indices], self.extractor, shape, self.info)
        return replace(made, info={**self.info, "part_of": self.sha256})

    @property
    def known_features(self) -> NDArray[Any]:
        """The features (N, d). Raises ReferenceDataError where only their moments are known."""
        if self.features is None:
            raise ReferenceDataError(f"reference {self.name!r} holds moments alone, not features")
        return self.features

    @cached_property
    def sqrt_cov(self) -> Array:
        """Symmetric square root of ``cov``, (d, d).

        Eigenvalues of a (nearly) singular covariance are off by up to eps times the largest, and their roots by
        1e-8; singular values of the centred features are not, so there the root comes from those.
        """
        eigenvalues, vectors = np.linalg.eigh(self.cov)
        if self.features is None or eigenvalues[0] > _ROOT_CONDITION * eigenvalues[-1]:
            roots = np.sqrt(np.maximum(eigenvalues, 0.0))
        else:
            centred = self.features.astype(np.float64) - self.mean
            _, singular, rows = np.linalg.svd(np.linalg.qr(centred, mode="r"), full_matrices=False)
            roots, vectors = singular / np.sqrt(self.n - 1), rows.T
        root: Array = (vectors * roots) @ vectors.T
        return root

    @cached_property
    def kernel_mean(self) -> float:
        """Mean of the KID kernel over all pairs of different images. Raises as ``known_features``."""
        return kernel_mean(self.known_features)

    def check_extractor(self, extractor: Extractor) -> None:
        """Raise ReferenceDataError unless the features were made by this very extractor, resizing as it does."""
        theirs = self.info.get("extractor_sha256")
        if self.extractor != extractor.name or (theirs is not None and theirs != extractor.sha256):
            raise ReferenceDataError(
                f"reference {self.name!r} was made with extractor {self.extractor} (sha256 {str(theirs)[:12]}…), "
                f"not with {extractor.name} (sha256 {extractor.sha256[:12]}…)"
            )
        resize = self.info.get("resize")
        if resize not in (None, "", extractor.resize):
            raise ReferenceDataError(
                f"reference {self.name!r} was made of images resized by {resize!r}, but {extractor.name} resizes by "
                f"{extractor.resize!r}"
            )


def load_reference(name: str) -> Reference:
    """Read a shipped reference, e.g. "mnist", after checking its hash, shapes and statistics.

    Raises:
        ReferenceDataError: no such reference, or its files are corrupt or contradict each other.
    """
    known = shipped.references()
    if name not in known:
        raise ReferenceDataError(f"no reference {name!r}: known are {', '.join(known) or 'none'}")
    return read_reference(known[name])


def require_regular(path: Path) -> None:
    """Raise ReferenceDataError for a pipe or a device, reading which might never end; a missing file is told later."""
    if path.exists() and not path.is_file():
        raise ReferenceDataError(f"{path}: not a regular file")


def read_reference(path: Path) -> Reference:
    """Read a reference from its JSON file and the safetensors file of the same name.

    Raises:
        ReferenceDataError: files are missing, corrupt, or contradict each other.
    """
    for file in (path, path.with_suffix(".safetensors")):
        require_regular(file)
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        content = path.with_suffix(".safetensors").read_bytes()
    except (OSError, ValueError, RecursionError) as error:
        raise ReferenceDataError(f"{path}: can't be read: {error}") from None
    if not isinstance(info, dict):
        raise ReferenceDataError(f"{path}: no JSON object, as a reference is")
    missing = {"sha256", "extractor", "extractor_sha256", "image_shape", "n"} - set(info)
    if missing:
        raise ReferenceDataError(f"{path}: lacks {', '.join(sorted(missing))}")
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != info["sha256"]:
        raise ReferenceDataError(
            f"{path.with_suffix('.safetensors')}: sha256 is {sha256}, but {path.name} says {info['sha256']}"
        )
    try:
        tensors = load(content)
        if "features" not in tensors:
            return Reference.of_moments(path.stem, tensors["mean"], tensors["cov"], info["extractor"], sha256, info)
        parts = [tensors[key] for key in ("features", "logits", "mean", "cov")]
    except (SafetensorError, KeyError) as error:
        raise ReferenceDataError(f"{path.with_suffix('.safetensors')}: {error}") from None
    shape = tuple(int(size) for size in info["image_shape"])
    if len(shape) != 3:
        raise ReferenceDataError(f"{path}: image_shape must be [C, H, W], got {info['image_shape']}")
    return _checked(path, parts, shape, info)


def _checked(path: Path, parts: list[NDArray[Any]], shape: tuple[int, int, int], info: dict[str, Any]) -> Reference:
    """Return the reference if its stored statistics are those of its features."""
    features, logits, mean, cov = parts
    try:
        made = Reference.of(path.stem, features, logits, info["extractor"], shape, info)
    except ScoringError as error:
        raise ReferenceDataError(f"{path}: {error}") from None
    if made.n != info["n"]:
        raise ReferenceDataError(f"{path}: says n = {info['n']}, but there are features of {made.n} images")
    for what, stored, right in (("mean", mean, made.mean), ("cov", cov, made.cov)):
        if stored.shape != right.shape or not np.abs(stored - right).max() <= 1e-9 * np.abs(right).max():
            raise ReferenceDataError(f"{path}: the stored {what} is not that of the stored features")
    return replace(made, sha256=info["sha256"])


def floor(
    reference: Reference, n: int, metric: Literal["fid", "kid"] = "fid", draws: int = 10, seed: int = 0
) -> tuple[float, float]:
    """Score of real images: mean and standard deviation (draws - 1) over draws of metric(n of them, the rest).

    A generator that is perfect would score about this much at the same n. The draws are without replacement and
    depend on (seed, number of the draw) alone.

    Raises:
        ReferenceDataError: n < 2, or fewer than two images would be left.
        ScoringError: another metric, draws < 2, or a seed outside [0, 2^32).
    """
    if not 2 <= n <= reference.n - 2:
        raise ReferenceDataError(
            f"no floor for n = {n}: reference {reference.name!r} has {reference.n} images, of which 2 at least must be "
            "drawn and 2 be left"
        )
    features = reference.known_features
    if metric not in ("fid", "kid") or draws < 2 or not 0 <= seed < 2**32:
        raise ScoringError(f"no floor for metric {metric!r}, {draws} draws, seed {seed}")
    values = np.empty(draws)
    for draw in range(draws):
        order = np.random.RandomState([seed, draw]).permutation(reference.n)
        rest = reference.part(order[n:])
        drawn = features[order[:n]]
        if metric == "fid":
            values[draw] = fid_value(drawn, rest)
        else:
            value = kid(drawn, rest).value
            assert value is not None  # n >= 2
            values[draw] = value
    return float(values.mean()), float(values.std(ddof=1))
