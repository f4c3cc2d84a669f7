"""How fast a device is, from a few batches, before a run begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from statistics import median

import torch

from diffbench.diffusion.noise import NoiseSource
from diffbench.models.consent import TENSORS_ONLY, Consent
from diffbench.runner.devices import device_name, pick_device, synchronise
from diffbench.runner.loaded import Loaded
from diffbench.scoring.images import quantise
from diffbench.status.cost import Key, Rate, Rates
from diffbench.suite.plan import Cell

_ENOUGH_SECONDS = 0.15
_MOST_CALLS = 5


def measured_rates(cells: Iterable[Cell], loaded: Loaded) -> Rates:
    """Time one evaluation, and the way from x0 to features, of each model at its batch size; one call warms up."""
    by: dict[Key, Rate] = {}
    for cell in cells:
        key = (cell.model_key, cell.batch_size)
        if key not in by:
            by[key] = _rate(cell, loaded)
    return Rates(by, device_name(loaded.device), "a probe of this device")


@torch.inference_mode()
def _rate(cell: Cell, loaded: Loaded) -> Rate:
    model, extractor = loaded.model(cell), loaded.extractor(cell)
    batch = min(cell.batch_size, cell.n)
    noise = NoiseSource(cell.seed, range(batch), cell.card.sample_shape, device=model.device)
    level = float(model.schedule.sigma(0.5 * (model.schedule.t_start + model.schedule.t_end)))
    sigma = torch.full((batch,), level, dtype=torch.float64)
    x_hat = noise.normal("probe", 0) * level

    def features() -> None:
        images = quantise(model.codec.decode(torch.tanh(x_hat)))
        if extractor is not None:
            extractor(images)

    denoiser = model.denoiser_of(range(batch), cell.seed)
    evaluation = _seconds(lambda: denoiser(x_hat, sigma), model.device)
    return Rate(_seconds(features, model.device) / batch, evaluation / batch)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Median seconds of a few calls, after one that does not count."""
    call()
    spent: list[float] = []
    while len(spent) < _MOST_CALLS and sum(spent) < _ENOUGH_SECONDS:
        synchronise(device)
        begin = time.perf_counter()
        call()
        synchronise(device)
        spent.append(time.perf_counter() - begin)
    return median(spent)


def probe_device(cells: Iterable[Cell], device: str, consent: Consent = TENSORS_ONLY) -> Rates:
    """Rates of the models of ``cells`` on a device that is named as in a suite. Raises what loading them raises."""
    loaded = Loaded(pick_device(device), consent)
    chosen = list(cells)
    for cell in chosen:
        loaded.check(cell)
    return measured_rates(chosen, loaded)
