"""One shard: noise to samples to features, batch by batch, on one device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.denoiser import Counted, Denoiser
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.errors import CellFailed
from diffbench.models.model import Model
from diffbench.runner.devices import synchronise
from diffbench.runner.trajectories import Recorded, trajectories
from diffbench.samplers.diffusers_scheduler import DiffusersScheduler
from diffbench.samplers.function import FunctionSampler
from diffbench.samplers.integrate import Noise, Sampler, integrate
from diffbench.scoring.extract import extract_all
from diffbench.scoring.extractor import Extractor
from diffbench.scoring.images import quantise
from diffbench.store.shards import IMAGES, TRAJECTORIES, X0, Artefact, ShardRange
from diffbench.suite.plan import Cell

AnySampler = Sampler | DiffusersScheduler | FunctionSampler


@dataclass(frozen=True)
class ShardSamples:
    """What one shard yields: artefacts for the store, and what it cost."""

    artefacts: dict[str, Artefact]
    nfe: float
    network_evals: float
    seconds: float


def make_sampler(cell: Cell) -> AnySampler:
    """The cell's sampler with its options."""
    entry = SAMPLERS[cell.method]
    own = {} if entry.scheduler is None else {"scheduler": entry.scheduler}
    sampler: AnySampler = load(entry.target)(**own, **cell.method_options)
    return sampler


def trajectory(
    sampler: AnySampler,
    denoiser: Denoiser,
    cell: Cell,
    schedule: NoiseSchedule,
    noise: Noise,
    observe: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Where the cell's sampler lands (B,C,H,W), on the cell's grid or on the sampler's own; ``observe`` as usual."""
    if isinstance(sampler, DiffusersScheduler):
        assert cell.steps is not None
        return sampler.run(denoiser, schedule, cell.steps, noise, observe)
    assert cell.grid is not None
    if isinstance(sampler, FunctionSampler):
        return sampler.run(denoiser, cell.grid, schedule, noise, observe)
    return integrate(sampler, denoiser, cell.grid, schedule, noise, observe)


def own_grid(cell: Cell, schedule: NoiseSchedule) -> dict[str, list[float]]:
    """``t`` and ``sigma`` of a sampler that brings its own grid; empty for all others, whose grid the plan knows."""
    sampler = make_sampler(cell) if cell.grid is None else None
    if not isinstance(sampler, DiffusersScheduler):
        return {}
    assert cell.steps is not None
    return sampler.evaluated(schedule, cell.steps)


@torch.inference_mode()
def sample_images(
    model: Model, cell: Cell, sampler: AnySampler, indices: range, through: Denoiser | None = None
) -> tuple[Tensor, Tensor, Counted]:
    """Images uint8 (B,C,H,W) of the samples ``indices``, x0 as the sampler returns it, and the evaluations' counter.

    ``through``: a wrapper of the model's denoiser of these samples to ask instead of it.
    """
    denoiser = Counted(through or model.denoiser_of(indices, cell.seed))
    noise = NoiseSource(cell.seed, indices, cell.card.sample_shape, device=model.device)
    x0 = trajectory(sampler, denoiser, cell, model.schedule, noise)
    _refuse_not_finite(x0, indices)
    return quantise(model.codec.decode(x0), first_index=indices.start), x0, denoiser


def run_shard(
    model: Model,
    cell: Cell,
    shard: ShardRange,
    extractor: Extractor | None,
    keep: int,
    advance: Callable[[int], None] = lambda samples: None,
) -> ShardSamples:
    """Sample a shard in batches of ``cell.batch_size`` and extract features.

    Args:
        model: on its device.
        cell: planned, with a grid.
        shard: sample indices first <= i < last.
        extractor: on the same device; None for a model that has none.
        keep: images of sample indices below this are stored.
        advance: told the number of samples after each batch.

    Raises:
        CellFailed: samples that are not finite, or a counted NFE other than the planned one.
    """
    sampler = make_sampler(cell)
    made, kept, landed = [], [], []
    artefacts: dict[str, Artefact] = {}
    evaluated, network_evaluations, seconds = 0, 0, 0.0
    for first in range(shard.first, shard.last, cell.batch_size):
        indices = range(first, min(first + cell.batch_size, shard.last))
        synchronise(model.device)
        begin = time.perf_counter()
        recorded = None
        if cell.keep_trajectories and not first:
            recorded = Recorded(model.denoiser_of(indices, cell.seed), cell.keep_trajectories)
        images, x0, counter = sample_images(model, cell, sampler, indices, recorded)
        synchronise(model.device)
        seconds += time.perf_counter() - begin
        evaluated += counter.samples_evaluated
        network_evaluations += counter.network_evaluations
        if recorded is not None:
            artefacts[TRAJECTORIES] = trajectories(recorded, model.codec, images)
        if extractor is not None:
            made.append(images)
        if cell.keep_x0:
            landed.append(x0.float().cpu().numpy())
        if first < keep:
            kept.append(images[: keep - first].cpu().numpy())
        advance(len(indices))
    size = shard.last - shard.first
    nfe = evaluated / size
    if cell.nfe is not None and nfe != cell.nfe:
        raise CellFailed(f"counted {nfe:g} evaluations a sample where {cell.nfe} were planned")
    if extractor is not None:
        found = extract_all(extractor, made, shard.first)
        artefacts[extractor.name] = Artefact(found, {"weights": extractor.sha256})
    if kept:
        images_kept = np.concatenate(kept)
        artefacts[IMAGES] = Artefact({IMAGES: images_kept}, {"count": len(images_kept)})
    if landed:
        artefacts[X0] = Artefact({X0: np.concatenate(landed)})
    return ShardSamples(artefacts, nfe, network_evaluations / size, seconds)


def _refuse_not_finite(x0: Tensor, indices: range) -> None:
    finite = torch.isfinite(x0).flatten(1).all(dim=1)
    if not bool(finite.all()):
        bad = [index for index, good in zip(indices, finite.tolist(), strict=True) if not good]
        raise CellFailed(f"sample {bad[0]} is not finite ({len(bad)} of {len(indices)} in its batch)")
