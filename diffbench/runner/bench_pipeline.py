"""Sampling a pipeline of diffusers through diffbench beside the pipeline itself."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import torch

from diffbench.errors import CellFailed
from diffbench.runner.devices import pick_device, synchronise
from diffbench.runner.execute import make_sampler, sample_images
from diffbench.runner.loaded import Loaded
from diffbench.suite.cell import Cell
from diffbench.suite.plan import plan
from diffbench.suite.read import suite_from_objects

SAMPLERS = ("diffusers:checkpoint", "ddim")
_BATCH = 16
_GUIDANCE = 4.0


@dataclass(frozen=True)
class PipelineCost:
    """Milliseconds for ``batch`` images in ``steps`` steps, medians; ``ratio`` is the median of the pairs' ratios."""

    pipeline: str
    sampler: str
    steps: int
    batch: int
    rounds: int
    ms: float
    pipeline_ms: float
    ratio: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def bench_pipeline(steps: int = 20, rounds: int = 21, batch: int = _BATCH, device: str = "auto") -> list[PipelineCost]:
    """Time tiny pipelines of random weights, each with its own scheduler and with our ``ddim``, to 8-bit images.

    The pipeline makes its noise, samples, decodes and rounds as its call does; diffbench does the same from noise to
    8-bit images, and refuses what is not finite besides. Both alternate in one process, which of them goes first, too.
    On a CPU the clock is the CPU time of one thread, which other processes do not stretch as they do wall-clock time;
    the number of threads is restored afterwards.
    """
    where = pick_device(device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _costs(where, steps, rounds, batch)
    finally:
        torch.set_num_threads(threads)


def _costs(where: torch.device, steps: int, rounds: int, batch: int) -> list[PipelineCost]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (make, call, model) in _PIPELINES.items():
            torch.manual_seed(0)
            pipeline = make()
            pipeline.set_progress_bar_config(disable=True)
            pipeline.save_pretrained(Path(folder, name))
            pipeline.to(where)
            own = {"id": name, "source": str(Path(folder, name)), "card": {"ema": False}, **model(batch)}
            for cell in _cells(own, steps, batch):
                theirs = _theirs(pipeline, {**call(batch), "num_inference_steps": steps, "output_type": "np"}, where)
                ours, other = _timed(
                    _ours(cell, where), theirs, rounds, time.thread_time if where.type == "cpu" else time.perf_counter
                )
                pairs = [one / two for one, two in zip(ours, other, strict=True)]
                costs = 1e3 * median(ours), 1e3 * median(other), median(pairs)
                found.append(PipelineCost(name, cell.sampler, steps, batch, rounds, *costs))
    return found


def _cells(model: Mapping[str, Any], steps: int, batch: int) -> list[Cell]:
    suite = {
        "name": "bench-pipeline",
        "models": [dict(model)],
        "samplers": list(SAMPLERS),
        "budgets": {"steps": [steps]},
        "samples": {"n": batch, "shard": batch},
        "run": {"batch_size": batch, "channels_last": False},
    }
    cells = plan(suite_from_objects(suite))
    for cell in cells:
        if cell.skip is not None:
            raise CellFailed(f"{cell.label}: {cell.skip}")
    return cells


def _timed(
    ours: Callable[[], None], theirs: Callable[[], None], rounds: int, clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    spent: tuple[list[float], list[float]] = ([], [])
    for call in (ours, theirs):
        call()
    for number in range(rounds):
        order = [(0, ours), (1, theirs)]
        for which, call in order if number % 2 else order[::-1]:
            begin = clock()
            call()
            spent[which].append(clock() - begin)
    return spent


def _ours(cell: Cell, device: torch.device) -> Callable[[], None]:
    model = Loaded(device).model(cell)
    sampler = make_sampler(cell)

    def run() -> None:
        sample_images(model, cell, sampler, range(cell.batch_size))[0].cpu()
        synchronise(device)

    return run


def _theirs(pipeline: Any, call: Mapping[str, Any], device: torch.device) -> Callable[[], None]:
    def run() -> None:
        images = pipeline(**call).images
        (images * 255).round().astype("uint8")
        synchronise(device)

    return run


def _diffusers(name: str) -> Any:
    return getattr(import_module("diffusers"), name)


def _unet(channels: int) -> Any:
    sizes = {"block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8, "attention_head_dim": 8}
    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    return _diffusers("UNet2DModel")(16, channels, channels, **sizes, **blocks)


def _autoencoder(channels: int) -> Any:
    sizes = {"block_out_channels": (16, 16), "layers_per_block": 1, "norm_num_groups": 8}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return _diffusers("AutoencoderKL")(3, 3, latent_channels=channels, **sizes, **blocks)


def _scheduler(**config: Any) -> Any:
    return _diffusers("DDIMScheduler")(**config)


def _pixels() -> Any:
    return _diffusers("DDIMPipeline")(_unet(3), _scheduler())


def _latents() -> Any:
    return _diffusers("LDMPipeline")(_autoencoder(3), _unet(3), _scheduler(clip_sample=False))


def _labels() -> Any:
    network = _diffusers("DiTTransformer2DModel")(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=8, num_layers=2, sample_size=16,
        num_embeds_ada_norm=1000,
    )  # fmt: skip
    return _diffusers("DiTPipeline")(network, _autoencoder(4), _scheduler(clip_sample=False))


_Arguments = Callable[[int], dict[str, Any]]
# How each is made; what its call, and the model of a suite, are given for a batch.
_PIPELINES: Mapping[str, tuple[Callable[[], Any], _Arguments, _Arguments]] = {
    "DDIMPipeline": (_pixels, lambda batch: {"batch_size": batch}, lambda batch: {}),
    "LDMPipeline": (_latents, lambda batch: {"batch_size": batch}, lambda batch: {}),
    "DiTPipeline": (
        _labels,
        lambda batch: {"class_labels": list(range(batch)), "guidance_scale": _GUIDANCE},
        lambda batch: {"labels": "balanced", "guidance": _GUIDANCE},
    ),
}
