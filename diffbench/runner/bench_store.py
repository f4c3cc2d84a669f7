"""What keeping samples safely costs: the store's share of sampling, and the start of a run of many shards."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from diffbench import shipped
from diffbench.errors import StoreError
from diffbench.runner.devices import pick_device
from diffbench.runner.execute import run_shard
from diffbench.runner.loaded import Loaded
from diffbench.runner.resume import ask
from diffbench.status.code import sampling_code
from diffbench.status.stored import distinct, wanted
from diffbench.store.atomic import unsynchronised
from diffbench.store.shards import Artefact, ShardRange, Store, shard_ranges
from diffbench.suite.plan import Cell, plan
from diffbench.suite.read import find_suite, read_suite

_CELLS = 10


@dataclass(frozen=True)
class StoreCost:
    """One shard of one cell: seconds to sample it, to store it, and to check it when the run is resumed."""

    cell: str
    samples: int
    sampling_seconds: float
    write_seconds: float
    check_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {**asdict(self), "share": self.share}

    @property
    def share(self) -> float:
        """Storing and checking, over sampling."""
        return (self.write_seconds + self.check_seconds) / self.sampling_seconds


def bench_store(suite: str, only: str | None, device: str) -> list[StoreCost]:
    """Sample, store and check the first shard of each cell of a suite, in turn; the last row is the sum of all."""
    spec = read_suite(find_suite(suite))
    loaded = Loaded(pick_device(device))
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        cells = distinct(plan(spec, only))
        for model in {cell.model_key: cell for cell in cells}.values():  # the first call of a model is no measure
            run_shard(loaded.model(model), model, ShardRange(0, 1), loaded.extractor(model), keep=0)
        costs = [_store_cost(cell, loaded, store, spec.run.keep.samples) for cell in cells]
    seconds = [(c.sampling_seconds, c.write_seconds, c.check_seconds) for c in costs]
    totals = (sum(column) for column in zip(*seconds, strict=True))
    return [*costs, StoreCost("all", sum(c.samples for c in costs), *totals)]


def _store_cost(cell: Cell, loaded: Loaded, store: Store, keep: int) -> StoreCost:
    shard = shard_ranges(cell.n, cell.shard)[0]
    marks = [time.perf_counter()]
    samples = run_shard(loaded.model(cell), cell, shard, loaded.extractor(cell), keep)
    marks.append(time.perf_counter())
    store.write(cell.id, shard, samples.artefacts, {"nfe": samples.nfe, "probe": "", "device": "", "code": ""})
    marks.append(time.perf_counter())
    if store.flaw(cell.id, shard, wanted(cell, keep, None)) is not None:
        raise StoreError(f"{cell.label}: a shard that was just written can't be read")
    marks.append(time.perf_counter())
    return StoreCost(cell.key, shard.size, *np.diff(marks).tolist())


@dataclass(frozen=True)
class ResumeCost:
    """The whole command on a run that lacks one of so many shards: seconds, and the process's peak memory."""

    shards: int
    cells: int
    seconds: float
    peak_memory_mb: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def bench_resume(shards: int, device: str) -> ResumeCost:
    """Make a run of ``shards`` one-sample shards by script, score it once, take one shard away, and time `run`."""
    with tempfile.TemporaryDirectory() as folder:
        run, suite = Path(folder, "run"), Path(folder, "resume.yaml")
        cells = max(1, min(_CELLS, shards // 20))
        suite.write_text(yaml.safe_dump(_suite(cells, -(-shards // cells))))
        made = _fill(run, suite, device)
        _command(suite, run, device)
        first = next(iter(distinct(plan(read_suite(suite)))))
        Store(run).remove(first.id, ShardRange(0, 1))
        seconds, peak = _command(suite, run, device)
    return ResumeCost(made, cells, seconds, peak)


def _suite(cells: int, samples: int) -> dict[str, Any]:
    etas = [round(i / cells, 6) for i in range(cells)]
    return {
        "name": "resume",
        "models": ["ddpm-mnist"],
        "samplers": [{"id": "ddim", "sampler": "ddim", "sweep": {"eta": etas}}],
        "budgets": {"nfe": [2]},
        "samples": {"n": samples, "shard": 1},
        "metrics": ["fid", "is"],
        "run": {"batch_size": 1, "keep": {"samples": 0}},
        "timing": {"seconds": 0},
    }


def _fill(run: Path, suite: Path, device: str) -> int:
    """Shards of random features under the probe of today's code; returns their number."""
    loaded, store, random = Loaded(pick_device(device)), Store(run), np.random.default_rng(0)
    cells = distinct(plan(read_suite(suite)))
    probed = ask(run, cells, loaded)
    name = str(cells[0].card.extractor)
    config = shipped.extractor_config(name)
    made = 0
    with unsynchronised():
        for cell in cells:
            features = random.standard_normal((cell.n, config["feature_dim"]), dtype=np.float32)
            logits = random.standard_normal((cell.n, config["classes"]), dtype=np.float32)
            info = {"nfe": cell.nfe, "network_evals": cell.nfe, "device": device, "code": sampling_code()}
            for shard in shard_ranges(cell.n, cell.shard):
                rows = slice(shard.first, shard.last)
                seen = Artefact({"features": features[rows], "logits": logits[rows]}, {"weights": config["sha256"]})
                named = {**info, "probe": probed.digests[cell.id]}
                store.write(cell.id, shard, {name: seen}, named)
                made += 1
    return made


_PEAK = """
import resource, sys
from diffbench.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def _command(suite: Path, run: Path, device: str) -> tuple[float, float]:
    """Seconds and peak memory in MB of `diffbench run` in a process of its own. Raises StoreError if it fails."""
    arguments = ["run", str(suite), "--out", str(run), "--device", device, "--quiet"]
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", _PEAK, *arguments], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise StoreError(f"the run failed: {done.stderr.strip()}")
    return seconds, int(done.stderr.split()[-1]) * 1024 / 1e6
