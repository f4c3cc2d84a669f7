"""What a report costs: a large run folder is made up, and drawn."""

from __future__ import annotations

import hashlib
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbench.results import Row, frame, write
from diffbench.scoring.interval import score_from_influence
from diffbench.status.score_cache import ScoreCache
from diffbench.store.atomic import unsynchronised
from diffbench.store.kept import FRAMES
from diffbench.store.sealed import write_sealed
from diffbench.store.shards import IMAGES, TRAJECTORIES, Arrays, Artefact, ShardRange, Store

_SAMPLERS = ("ddim", "heun", "dpmpp-2m", "dpmpp-3m", "unipc", "deis", "ddpm", "sa-solver", "lms", "ipndm")
_BUDGETS = (4, 5, 6, 8, 10, 15, 20, 30, 50, 100)
_N, _IMAGES, _FOLLOWED, _SHAPE = 2000, 64, 4, (3, 32, 32)


@dataclass(frozen=True)
class ReportCost:
    """Seconds to draw a report of so many cells with samples and trajectories, and the page's size.

    ``cpu_seconds``: of this process, which is what remains of ``seconds`` on a machine that does nothing else.
    """

    cells: int
    seconds: float
    cpu_seconds: float
    page_megabytes: float
    folder_megabytes: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def bench_report(cells: int = 500, folder: Path | None = None) -> ReportCost:
    """Make up a run of so many cells (2,000 samples of 3x32x32, paired scores), into ``folder`` if given; draw it."""
    from diffbench.report.page import draw

    with tempfile.TemporaryDirectory() as temporary:
        run = made_up(Path(temporary) if folder is None else folder, cells)
        begin, spent = time.perf_counter(), time.process_time()
        files = draw(run)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - spent
        whole = sum(path.stat().st_size for path in files) / 1e6
        return ReportCost(cells, seconds, cpu, (run / "report.html").stat().st_size / 1e6, whole)


def made_up(run: Path, cells: int) -> Path:
    """Write a run folder of so many cells, as a run would, with made-up images and scores; returns it."""
    random = np.random.default_rng(0)
    rows: list[Row] = []
    common = random.standard_normal(_N)
    with unsynchronised():
        for index in range(cells):
            place, budget = divmod(index, len(_BUDGETS))
            model, sampler = divmod(place, len(_SAMPLERS))
            rows += _cell(run, f"model-{model + 1}", _SAMPLERS[sampler], _BUDGETS[budget], common, random)
        write(frame(rows), run)
        floors = {str(_N): {"fid": {"mean": 3.1, "sd": 0.1, "draws": 10}}}
        write_sealed(run / "references.json", {"real": {"n": 50_000, "sha256": "0" * 64, "floors": floors}})
    (run / "suite.yaml").write_text("version: 1\nname: made-up\n", encoding="utf-8")
    return run


def _cell(
    run: Path, model: str, sampler: str, budget: int, common: NDArray[np.float64], random: np.random.Generator
) -> list[Row]:
    cell = hashlib.sha256(f"{model}/{sampler}/{budget}".encode()).hexdigest()[:16]
    skill = 1 + _SAMPLERS.index(sampler) / 10
    fid = 4 + 300 / budget ** (1.2 * skill) + 0.2 * random.random()
    seconds = 0.004 * budget * (1 + 0.1 * random.random())
    signature = '{"comparable":{"metric":"fid","n":2000,"reference":"real"},"other":{}}'
    influence = 10 * (common + 0.3 * random.standard_normal(_N))
    score = score_from_influence(fid, influence - influence.mean())
    base: dict[str, Any] = {
        "suite": "made-up", "cell": cell, "model": model, "family": "ddpm", "sampler": sampler, "grid": "trailing",
        "budget_kind": "nfe", "budget": budget, "steps": budget, "nfe": float(budget), "network_evals": float(budget),
        "n": _N, "status": "ok", "device": "cpu", "dtype": "float32", "reference": "real", "extractor": "inception",
    }  # fmt: skip
    _store(run, cell, sampler, signature, score, random)
    ends: dict[str, Any] = {"ci_low": score.ci_low, "ci_high": score.ci_high, "se": score.se}
    return [
        Row(**base, metric="fid", value=fid, **ends, better="lower", signature=signature),
        Row(**base, metric="is", value=9 - fid / 40, better="higher", signature=signature.replace("fid", "is")),
        Row(**base, metric="seconds_per_image", value=seconds, ci_low=0.97 * seconds, ci_high=1.03 * seconds,
            better="lower", unit="s"),
    ]  # fmt: skip


def _store(run: Path, cell: str, sampler: str, signature: str, score: Any, random: np.random.Generator) -> None:
    store = Store(run)
    images = _smooth(random, (_IMAGES, *_SHAPE))
    frames = _smooth(random, (_FOLLOWED, FRAMES + 1, *_SHAPE))
    followed: Arrays = {
        TRAJECTORIES: frames,
        "evaluations": np.arange(1, FRAMES + 2),
        "sigma": np.tile(np.geomspace(100, 0.1, FRAMES + 1), (_FOLLOWED, 1)),
    }
    artefacts = {
        "inception": Artefact({"features": np.zeros((128, 16), np.float32)}),
        IMAGES: Artefact({IMAGES: images}, {"count": _IMAGES}),
        TRAJECTORIES: Artefact(followed, {"count": _FOLLOWED}),
    }
    store.write(cell, ShardRange(0, 128), artefacts, {"nfe": 1.0, "probe": "", "device": "cpu", "code": ""})
    write_sealed(store.folder(cell) / "cell.json", {"method": sampler, "method_options": {}})
    cache = ScoreCache(store.folder(cell), cell, "")
    cache.add(signature, score)
    cache.write()


def _smooth(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Noise with the spectrum of natural images, amplitude 1/f, a file of which is as large as one of theirs."""
    height, width = shape[-2:]
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    f[0, 0] = 1 / max(height, width)
    waves = np.fft.irfft2(np.fft.rfft2(random.standard_normal(shape)) / f, s=(height, width))
    waves /= waves.std(axis=(-2, -1), keepdims=True)
    return np.clip(127.5 + 55 * waves, 0, 255).astype(np.uint8)
