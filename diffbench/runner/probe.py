"""The questions whose answers tell whether samples were made by the code and the networks of today.

A model is asked for D at 8 fixed inputs and 4 noise levels, for 8 decoded images and their quantised form, and its
extractor for the features of 8 fixed images. A cell's sampler is run on the cell's own grid with an exactly known
denoiser, in float64: that tells of every coefficient, of the noise, and of a sampler's code outside diffbench.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffbench.diffusion.denoiser import Denoised
from diffbench.diffusion.noise import NoiseSource
from diffbench.errors import CellFailed, ScoringError
from diffbench.models.model import Model
from diffbench.runner.devices import device_name
from diffbench.runner.execute import make_sampler, sample_images, trajectory
from diffbench.scoring.extractor import Extractor
from diffbench.scoring.images import quantise
from diffbench.store.probe import Answer, Answers, Numbers
from diffbench.suite.cell import Cell

INPUTS = 8
LEVELS = 4
MOST_ELEMENTS = 256
_SIDE = 4
_CELL_INPUTS = 2
_MOST_STATES = 8
_REPLAYED = range(1000, 1000 + _CELL_INPUTS)
_VARIANCES = {"trajectory": 0.25, "wide trajectory": 400.0}


@torch.inference_mode()
def ask_model(model: Model, extractor: Extractor | None, dtype: str) -> Answers:
    """Answers of a model on its device, with its clip range, and of its extractor, if it has one.

    Of every answer at most ``MOST_ELEMENTS`` evenly spaced elements an input are kept.
    """
    noise = NoiseSource(0, range(INPUTS), model.card.sample_shape, device=model.device)
    denoiser, dtype = model.denoiser_of(range(INPUTS), 0), dtype.removeprefix("amp-")
    x0 = torch.tanh(noise.normal("probe", LEVELS))
    ends = np.log(model.schedule.sigma_min), np.log(model.schedule.sigma_max)
    sigmas = np.exp(np.linspace(*ends, LEVELS)).clip(model.schedule.sigma_min, model.schedule.sigma_max)
    denoised, reach = [], []
    for level, sigma in enumerate(sigmas):
        x_hat = x0 + float(sigma) * noise.normal("probe", level)
        answer = denoiser(x_hat, torch.full((INPUTS,), float(sigma), dtype=torch.float64)).x0
        denoised.append(_some(answer))
        moved = (answer - x_hat).abs()
        reach.append(float(torch.where(moved.isfinite(), moved, 0.0).max()))
    decoded = model.codec.decode(x0)
    named = {
        "denoised": Answer(np.stack(denoised), dtype, np.array(reach).reshape(-1, 1, 1)),
        "decoded": _answer(decoded, dtype),
        "quantised": Answer(_some(quantise(torch.linspace(-1.1, 1.1, 256).view(1, 1, 16, 16))), "uint8", np.ones(1)),
    }
    if extractor is not None:
        seen = extractor(_fixed_images(extractor))
        named["features"] = _answer(seen.features, "float32")
        named["logits"] = _answer(seen.logits, "float32")
    return Answers(named, _where(model))


def _where(model: Model) -> dict[str, str]:
    """What else than code and networks decides the last bits."""
    threads = str(torch.get_num_threads())
    return {"device": device_name(model.device), "torch": torch.__version__, "threads": threads}


@torch.inference_mode()
def ask_sampler(model: Model, cell: Cell) -> Answers:
    """Where the cell's sampler takes two samples of N(0.1, v), in float64: states along the way and the last one.

    D = 0.1 + (x - 0.1) v / (v + sigma^2) is linear in x. For v = 0.25 it has the size of data; for v = 400 it is larger
    than any, so that what a sampler does to large values alone, such as clamping them, has an effect. Then two samples
    are made as the run makes them: by the network, at every noise level of the cell's grid, decoded and quantised.
    """
    named = {name: _trajectory(model, cell, v) for name, v in _VARIANCES.items()}
    try:
        images = _some(sample_images(model, cell, make_sampler(cell), _REPLAYED)[0])
    except (CellFailed, ScoringError):  # not finite: the run itself will say which sample
        images = np.full((_CELL_INPUTS, 1), np.nan)
    named["samples"] = Answer(images, "image", np.full(1, 255.0))
    return Answers(named, _where(model))


def _trajectory(model: Model, cell: Cell, variance: float) -> Answer:
    """States (k, inputs, elements) for data of this variance; each is compared relative to its own size."""
    assert cell.steps is not None
    channels, height, width = cell.card.sample_shape
    shape = (channels, min(height, _SIDE), min(width, _SIDE))
    noise = NoiseSource(cell.seed, range(_CELL_INPUTS), shape, device=model.device, dtype=torch.float64)
    seen: dict[int, Tensor] = {}
    kept = set(np.linspace(0, cell.steps - 1, min(_MOST_STATES, cell.steps)).round().astype(int).tolist())

    def observe(step: int, x_hat: Tensor) -> None:
        if step in kept:
            seen[step] = x_hat.clone()

    def denoise(x_hat: Tensor, sigma: Tensor) -> Denoised:
        level = sigma.to(x_hat.device).view(-1, *[1] * (x_hat.ndim - 1))
        gain = variance / (variance + level**2)
        return Denoised(0.1 + (x_hat - 0.1) * gain, torch.full_like(x_hat, -0.4))

    landed = trajectory(make_sampler(cell), denoise, cell, model.schedule, noise, observe)
    states = np.stack([_some(state) for state in (*seen.values(), landed)])
    return Answer(states, "float64", np.abs(states).max(axis=(1, 2), keepdims=True))


def _fixed_images(extractor: Extractor) -> Tensor:
    """The same uint8 images on every device: blocks of grey levels."""
    channels, height, width = extractor.image_shape or (3, 32, 32)
    side = -(-max(height, width) // 4)
    levels = (np.arange(INPUTS * channels * side * side, dtype=np.int64) * 2654435761 >> 7) % 256
    blocks = levels.astype(np.uint8).reshape(INPUTS, channels, side, side).repeat(4, axis=2).repeat(4, axis=3)
    return torch.from_numpy(blocks[:, :, :height, :width].copy()).to(extractor.device)


def _answer(values: Tensor, dtype: str) -> Answer:
    kept = _some(values)
    return Answer(kept, dtype, np.array([np.abs(kept[np.isfinite(kept)]).max(initial=0.0)]))


def _some(values: Tensor) -> Numbers:
    """At most ``MOST_ELEMENTS`` elements of every row, the first and the last among them, as float64."""
    rows = values.flatten(1)
    chosen = np.unique(np.linspace(0, rows.shape[1] - 1, min(MOST_ELEMENTS, rows.shape[1])).round().astype(np.int64))
    kept: Numbers = rows[:, torch.from_numpy(chosen).to(rows.device)].double().cpu().numpy()
    return kept
