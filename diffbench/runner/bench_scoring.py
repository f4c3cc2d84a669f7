"""What scoring costs beside the tools that people know: extraction and distance, same process, same weights."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from diffbench.errors import ScoringError, UsageError
from diffbench.scoring.extract import BATCH, extract
from diffbench.scoring.extractor import inception_extractor, load_extractor
from diffbench.scoring.fid import fid_of_moments
from diffbench.scoring.moments import Moments
from diffbench.scoring.reference import Reference
from diffbench.scoring.weights import hash_of

ROUNDS = 3


def random_weights(path: Path, seed: int = 0) -> None:
    """A file in the format of torch-fidelity's Inception weights; the random numbers keep activations in scale."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    kind = theirs.FeatureExtractorInceptionV3
    with mock.patch.object(theirs, "load_state_dict_from_url", lambda *_, **__: {}):
        with mock.patch.object(kind, "load_state_dict", lambda *_: None):
            network = kind("inception", ["2048"])
    generator = torch.Generator().manual_seed(seed)
    state = network.state_dict()
    for name, value in state.items():
        if not value.is_floating_point():
            continue
        drawn = torch.randn(value.shape, generator=generator)
        if name.endswith(("running_var", "bn.weight")):
            drawn = 0.5 + torch.rand(value.shape, generator=generator)
        elif name.endswith(("conv.weight", "fc.weight")):
            drawn *= (2.0 / value[0].numel()) ** 0.5
        else:
            drawn *= 0.1
        state[name] = drawn
    torch.save(dict(state), path)


def bench_extraction(
    images: int = BATCH, batch: int = BATCH, compiled: bool = False, size: int = 32
) -> list[dict[str, Any]]:
    """Images per second of the CPU's Inception: ours and torch-fidelity's, in turn; medians of ``ROUNDS``."""
    from torch_fidelity.utils import create_feature_extractor

    pictures = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        random_weights(path)
        sha256 = hash_of(path)
        theirs = create_feature_extractor(
            "inception-v3-compat", ["2048", "logits_unbiased"], cuda=False, verbose=False,
            feature_extractor_weights_path=str(path),
        )  # fmt: skip
        ours = {"eager": inception_extractor(path, sha256)}
        if compiled:
            ours["compiled"] = inception_extractor(path, sha256, compiled=True)
    calls: dict[str, Callable[[], Any]] = {"torch-fidelity": lambda: theirs(pictures)}
    calls |= {name: _call(extractor, pictures) for name, extractor in ours.items()}
    with torch.inference_mode():
        spent = _interleaved(calls, max(1, images // batch))
        known = theirs(pictures)[0]
    base = median(spent["torch-fidelity"])
    rows = []
    for name, seconds in spent.items():
        each = median(seconds) / batch
        apart = 0.0
        if name in ours:
            apart = float((ours[name](pictures).features - known).abs().max() / known.abs().max())
        rows.append(
            {"what": f"Inception, {name}", "ms": 1000 * each, "per second": 1 / each, "ratio": base / batch / each,
             "apart": apart}
        )  # fmt: skip
    return rows


def _call(extractor: Any, pictures: Tensor) -> Callable[[], Any]:
    return lambda: extractor(pictures)


def _interleaved(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call, in turn, after one each that does not count."""
    for call in calls.values():
        call()
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS * repeats):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            spent[name].append(time.perf_counter() - begin)
    return spent


def bench_fid(d: int = 2048, n: int = 6000, rounds: int = 3) -> list[dict[str, Any]]:
    """Seconds of FID from moments: ours, scipy's square root of a matrix, torch-fidelity's eigenvalues."""
    try:
        from scipy.linalg import sqrtm
    except ImportError as error:
        raise UsageError(f"bench scoring needs scipy ({error})") from None
    rng = np.random.default_rng(0)
    spectrum = 1 / np.sqrt(np.arange(1, d + 1))
    x, y = (rng.normal(size=(n, d)) * spectrum * scale for scale in (1.1, 1.0))
    one = Moments.of(x)
    reference = Reference.of_moments("bench", y.mean(axis=0), np.cov(y, rowvar=False), "none", "", {})
    _ = reference.sqrt_cov  # worked out once a reference
    shift = one.mean - reference.mean
    rest = float(shift @ shift + np.trace(one.cov) + np.trace(reference.cov))
    covs = torch.from_numpy(one.cov), torch.from_numpy(reference.cov)

    def by_sqrtm() -> float:
        return rest - 2 * float(np.trace(sqrtm(one.cov @ reference.cov)).real)

    def by_eigenvalues() -> float:
        return rest - 2 * float(torch.linalg.eigvals(covs[0] @ covs[1]).sqrt().real.sum())

    calls: dict[str, Callable[[], float]] = {
        "ours": lambda: fid_of_moments(one, reference), "scipy's sqrtm": by_sqrtm,
        "torch-fidelity's eigenvalues": by_eigenvalues,
    }  # fmt: skip
    values = {name: call() for name, call in calls.items()}
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _round in range(rounds):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            spent[name].append(time.perf_counter() - begin)
    ours = median(spent["ours"])
    scale = float(np.trace(one.cov) + np.trace(reference.cov))
    return [
        {"what": f"FID of d = {d}, {name}", "ms": 1000 * median(seconds), "per second": 1 / median(seconds),
         "ratio": median(seconds) / ours, "apart": abs(values[name] - values["ours"]) / scale}
        for name, seconds in spent.items()
    ]  # fmt: skip


_PEAK = """
import resource, sys
from diffbench.runner.bench_scoring import moments_of_images
moments_of_images(int(sys.argv[1]))
try:
    lines = open("/proc/self/status").read().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
except OSError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def bench_memory(counts: tuple[int, ...] = (2_000, 50_000)) -> list[dict[str, Any]]:
    """Peak resident memory of a process that takes moments of so many images from an iterator, torch's own included.

    Each in a process of its own. On Linux the kernel's mark of that process alone: what getrusage says of a child
    begins at its parent's size. Raises ScoringError if the process fails.
    """
    rows = []
    for count in counts:
        done = subprocess.run([sys.executable, "-c", _PEAK, str(count)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ScoringError(f"taking moments of {count:,} images failed: {done.stderr.strip()}")
        rows.append({"what": f"moments of {count:,} images", "peak MB": int(done.stdout.split()[-1]) * 1024 / 1e6})
    return rows


def moments_of_images(count: int) -> Moments:
    """Moments of the embedded extractor's features of random 28 x 28 images, ``BATCH`` of which exist at a time."""
    generator = torch.Generator().manual_seed(0)

    def blocks() -> Iterator[Tensor]:
        for start in range(0, count, BATCH):
            shape = (min(BATCH, count - start), 1, 28, 28)
            yield torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    parts = (Moments.of(found.features.numpy()) for found in extract(load_extractor("mnist-features"), blocks()))
    return reduce(Moments.merge, parts)
