"""One network read in other ways than its card's: which of the card's keys, if it were another, would explain it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from diffbench.comparison.check import Told
from diffbench.diffusion.denoiser import Conditioning, NetworkDenoiser
from diffbench.diffusion.denoising_error import LinearEstimates, squared_error
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.prediction import Prediction
from diffbench.diffusion.schedule import NoiseSchedule, schedule_from
from diffbench.models.model import Model

IMAGES, LEVELS = 32, 6
# Sigmas tried, over the data's standard deviation: where a network is far better than any linear estimate.
_BETWEEN = (0.1, 5.0)
MUCH_LESS = 0.8
"""A reading is told whose error is below this share of the card's, and below the best linear estimate's."""
_NEARLY = 1.2

_RANGES = ((-1.0, 1.0), (0.0, 1.0), (-0.5, 0.5), (0.0, 255.0))
_STABLE_DIFFUSION = 0.18215
_TIMES: tuple[tuple[str, Conditioning, float], ...] = (
    ("t", "time", 1.0),
    ("999 t", "time", 999.0),
    ("sigma", "sigma", 1.0),
    ("log sigma", "log-sigma", 1.0),
    ("(log sigma)/4", "log-sigma", 0.25),
)
_BETAS: tuple[dict[str, Any], ...] = (
    {"betas": "linear", "beta_start": 0.0001, "beta_end": 0.02},
    {"betas": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"betas": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195},
    {"betas": "cosine"},
)


@dataclass(frozen=True)
class Reading:
    """A way to call the network: x0 becomes ``scale`` x0 + ``shift``; the rest is as in ``NetworkDenoiser``."""

    key: str
    value: str
    prediction: Prediction
    schedule: NoiseSchedule
    conditioning: Conditioning
    time_scale: float
    sigma_data: float | None
    scale: float = 1.0
    shift: float = 0.0


def other_readings(model: Model, x0: Tensor, estimates: LinearEstimates, seed: int) -> list[Told]:
    """The readings whose error is much less than the card's, the best first, and those nearly as good.

    Errors are geometric means over six sigmas of the mean squared error as a share of the best linear estimate's, on
    the first 32 of ``x0`` (n,C,H,W), both in the reading's own unit. One key is changed at a time.
    """
    x0 = x0[:IMAGES]
    own = _own(model)
    card = _of_linear(model, own, x0, estimates, seed)
    found = []
    for reading in _others(model, own, estimates):
        share = _of_linear(model, reading, x0, estimates, seed)
        if share <= min(MUCH_LESS * card, 1.0):
            found.append(Told(reading.key, reading.value, share, card))
    found.sort(key=lambda told: told.of_linear)
    return [told for told in found if told.of_linear <= _NEARLY * found[0].of_linear]


def _own(model: Model) -> Reading:
    card = model.card
    return Reading(
        "card", card.name, card.prediction, model.schedule, card.conditioning, card.time_scale, card.sigma_data
    )


def _others(model: Model, own: Reading, estimates: LinearEstimates) -> Iterator[Reading]:
    card = model.card
    for kind in get_args(Prediction):
        if kind != own.prediction and (kind != "flow" or card.schedule["kind"] == "flow"):
            width = estimates.square**0.5 if kind == "edm" else None
            yield replace(own, key="prediction", value=kind, prediction=kind, sigma_data=width)
    if card.codec is not None:
        yield from _scalings(own, card.codec.scaling_factor, estimates)
    else:
        low, high = card.data.range
        for black, white in _RANGES:
            if (black, white) != (low, high):
                scale = (white - black) / (high - low)
                named = f"[{black:g}, {white:g}]"
                yield replace(own, key="data.range", value=named, scale=scale, shift=black - low * scale)
    yield from _times(own)
    yield from _schedules(own, card.schedule)


def _scalings(own: Reading, factor: float, estimates: LinearEstimates) -> Iterator[Reading]:
    tried = [factor]
    names = (("1 / the latents' standard deviation", factor / estimates.std), ("no scaling", 1.0),
             ("Stable Diffusion's", _STABLE_DIFFUSION), ("divided by", 1 / factor))  # fmt: skip
    for name, value in names:
        if all(abs(value / one - 1) > 0.02 for one in tried):
            tried.append(value)
            yield replace(own, key="codec.scaling_factor", value=f"{value:.4g} ({name})", scale=value / factor)


def _times(own: Reading) -> Iterator[Reading]:
    if own.schedule.discrete:
        steps = own.schedule.t_start + 1
        value = f"index / {steps:g}"
        yield replace(own, key="time.input", value=value, time_scale=1 / steps)
    for name, conditioning, scale in _TIMES:
        near = conditioning == own.conditioning and 0.9 < scale / own.time_scale < 1.1
        if not near and not (own.schedule.discrete and conditioning == "time"):
            yield replace(own, key="time", value=f"told {name}", conditioning=conditioning, time_scale=scale)


def _schedules(own: Reading, schedule: dict[str, Any]) -> Iterator[Reading]:
    others: list[dict[str, Any]] = []
    if schedule["kind"] == "ddpm":
        others = [{"kind": "ddpm", "steps": schedule["steps"], **betas} for betas in _BETAS]
    elif schedule["kind"] in ("vp", "subvp"):
        others = [{**schedule, "kind": "subvp" if schedule["kind"] == "vp" else "vp"}]
    for other in others:
        if other != schedule:
            name = f"{other['kind']} ({', '.join(f'{k} {v}' for k, v in other.items() if k not in ('kind', 'steps'))})"
            yield replace(own, key="schedule", value=name, schedule=schedule_from(other))


def _of_linear(model: Model, reading: Reading, x0: Tensor, estimates: LinearEstimates, seed: int) -> float:
    """Geometric mean over sigmas of error over the linear estimate's; infinite where the network's is not finite."""
    denoiser = NetworkDenoiser(
        model.network,
        reading.schedule,
        reading.prediction,
        time_scale=reading.time_scale,
        dtype=model.dtype,
        conditioning=reading.conditioning,
        sigma_data=reading.sigma_data,
        learned_variance=model.card.variance == "learned-range",
    )
    x0 = x0.double() * reading.scale + reading.shift
    moments = estimates.moved(reading.scale, reading.shift)
    noise = NoiseSource(seed, range(len(x0)), tuple(x0.shape[1:]), device=x0.device)
    low, high = (share * moments.std for share in _BETWEEN)
    low, high = max(low, reading.schedule.sigma_min), min(high, reading.schedule.sigma_max)
    if not low < high:
        return np.inf
    logs = []
    for step, sigma in enumerate(np.geomspace(low, high, LEVELS)):
        x_hat = (x0 + sigma * noise.normal("denoise", step)).float()
        levels = torch.full((len(x0),), sigma, dtype=torch.float64)
        with torch.inference_mode():
            error = float(squared_error(denoiser(x_hat, levels).x0, x0).mean())
        logs.append(np.log(error / float(squared_error(moments.linear(x_hat, sigma), x0).mean())))
    mean = float(np.mean(logs))
    return float(np.exp(min(mean, 700.0))) if np.isfinite(mean) else np.inf
