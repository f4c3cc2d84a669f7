"""What the runner itself costs: a shard's whole time over that of its network calls alone."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from diffbench.errors import UsageError
from diffbench.runner.devices import keep_freed_memory, pick_device, synchronise
from diffbench.runner.execute import run_shard
from diffbench.runner.loaded import Loaded
from diffbench.store.shards import ShardRange, Store
from diffbench.suite.plan import Cell, plan
from diffbench.suite.read import suite_from_objects


@dataclass(frozen=True)
class RunnerCost:
    """Medians over interleaved rounds; ``ratio`` is the median of the rounds' own ratios."""

    model: str
    batch_size: int
    nfe: int
    rounds: int
    device: str
    runner_seconds: float
    network_seconds: float
    ratio: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    def line(self) -> str:
        """One line for people."""
        return (
            f"{self.model}, batch {self.batch_size}, NFE {self.nfe}, {self.device}: "
            f"runner {self.runner_seconds:.3f} s, "
            f"network {self.network_seconds:.3f} s, ratio {self.ratio:.3f} (medians of {self.rounds} rounds)"
        )


def bench_runner(model: str, batch_size: int, nfe: int, rounds: int, device_name: str) -> RunnerCost:
    """Time one shard of ``batch_size`` samples with DDIM against ``nfe`` bare network calls, in turn."""
    device = pick_device(device_name)
    keep_freed_memory(device)
    suite = suite_from_objects(
        {
            "name": "bench-runner",
            "samples": batch_size,
            "models": [model],
            "samplers": ["ddim"],
            "budgets": {"nfe": [nfe]},
            "run": {"batch_size": batch_size},
        }
    )
    (cell,) = plan(suite)
    loaded = Loaded(device)
    runner, network = [], []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        _runner_seconds(cell, loaded, store)
        for _ in range(rounds):
            network.append(_network_seconds(cell, loaded))
            runner.append(_runner_seconds(cell, loaded, store))
    ratios = [whole / bare for whole, bare in zip(runner, network, strict=True)]
    return RunnerCost(model, batch_size, nfe, rounds, str(device), median(runner), median(network), median(ratios))


def _runner_seconds(cell: Cell, loaded: Loaded, store: Store) -> float:
    begin = time.perf_counter()
    shard = ShardRange(0, cell.batch_size)
    samples = run_shard(loaded.model(cell), cell, shard, loaded.extractor(cell), keep=64)
    store.write(cell.id, shard, samples.artefacts, {"nfe": samples.nfe})
    return time.perf_counter() - begin


@torch.inference_mode()
def _network_seconds(cell: Cell, loaded: Loaded) -> float:
    model = loaded.model(cell)
    if cell.grid is None:
        raise UsageError(f"{cell.label}: the bench needs a sampler on a grid of the suite")
    x = torch.randn((cell.batch_size, *cell.card.sample_shape), device=model.device, dtype=model.dtype)
    times = [torch.full((cell.batch_size,), float(t), device=model.device, dtype=model.dtype) for t in cell.grid.t[:-1]]
    synchronise(model.device)
    begin = time.perf_counter()
    for t in times:
        model.network(x, t)
    synchronise(model.device)
    return time.perf_counter() - begin
