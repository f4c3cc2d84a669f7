"""Bits/dim of a model on real images: one number a model, whatever samples it."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from diffbench.catalog import LIKELIHOOD, LikelihoodOptions
from diffbench.diffusion.likelihood import bits_per_dim, dequantise, log_density
from diffbench.diffusion.noise import NoiseSource
from diffbench.errors import StoreError, UsageError
from diffbench.models.card import Card
from diffbench.models.consent import TENSORS_ONLY, Consent
from diffbench.models.find import load_card
from diffbench.models.load import load_model
from diffbench.models.model import Model
from diffbench.models.precision import DTYPES
from diffbench.runner.devices import keep_freed_memory, pick_device
from diffbench.runner.progress import Progress
from diffbench.runner.real_images import DIGITS, RealImages, real_images
from diffbench.scoring.interval import score_from_influence, score_without_error, too_few
from diffbench.scoring.picture_arrays import Range
from diffbench.store.manifest import write_manifest
from diffbench.store.sealed import read_sealed, write_sealed

FILE = "likelihood.json"
# What tells two rows of a run folder apart: the same again replaces the earlier one.
_KEY = ("model", "weights_sha256", "data_sha256", "dequantisation", "t_end", "dtype")


@dataclass(frozen=True, kw_only=True, eq=False)
class BitsPerDim:
    """Bits/dim of one model on n images, all that decided it, and how well it was solved.

    Attributes:
        value: mean over the images of -log2 p / d in bits, an upper bound for the 8-bit images; None with a ``reason``.
        se: standard error of the mean: over images, dequantisation and probes.
        ci_low: lower end of the 95 % interval; None with ``se``.
        ci_high: upper end of the 95 % interval.
        nfe: evaluations of the denoiser an image, on average.
        largest_change: what the last doubling of the steps changed at most, in bits/dim; beyond ``tolerance`` if the
            ``reason`` says so.
        per_image: bits/dim of each image (n,), float64.
    """

    model: str
    family: str
    metric: str = LIKELIHOOD.name
    value: float | None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    unit: str = "bits/dim"
    better: str = LIKELIHOOD.better
    reason: str | None = None
    n: int
    nfe: float | None = None
    data: str
    split: str
    data_sha256: str
    dequantisation: str
    t_end: float
    sigma_min: float
    sigma_max: float
    probes: int
    tolerance: float
    largest_change: float | None = None
    seed: int
    device: str
    dtype: str
    weights_sha256: str
    per_image: NDArray[np.float64] | None = None

    def minus(self, other: BitsPerDim) -> tuple[float, float] | None:
        """Mean and standard error of the difference to another model on the same images with the same noise.

        None where either has no value, for other images, and for fewer than two.
        """
        mine, theirs = self.per_image, other.per_image
        alike = [getattr(self, key) == getattr(other, key) for key in ("data_sha256", "seed", "dequantisation")]
        if mine is None or theirs is None or not all(alike) or len(mine) < 2:
            return None
        difference = mine - theirs
        return float(difference.mean()), float(difference.std(ddof=1)) / len(difference) ** 0.5

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without the single images."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "per_image"}


def likelihood(
    model: str | Path,
    data: str | Path = DIGITS,
    n: int | None = None,
    *,
    values: Range | None = None,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int = 64,
    seed: int = 0,
    quiet: bool = False,
    consent: Consent = TENSORS_ONLY,
    **options: Any,
) -> BitsPerDim:
    """Bits/dim of a model's probability-flow ODE on real 8-bit images, without the card's clipping.

    Args:
        model: name of a shipped model, or a folder with a card.
        data: ``digits``, a folder of PNG and JPEG, or a .npz or .npy file of uint8 images.
        n: the first n images; default 128, or all if there are fewer.
        values: (black, white) of float arrays, which are rounded to 8 bits.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        dtype: precision of the network: float32, bfloat16 or float16; the ODE is solved in float64.
        batch_size: images in one call of the network.
        seed: of the dequantisation and of the probes; image i has the same noise for every model.
        quiet: no progress on stderr.
        consent: what the checkpoint may do beyond giving tensors.
        options: ``dequantisation``, ``probes``, ``tolerance``, ``t_end``; see :class:`LikelihoodOptions`.

    Raises:
        UsageError, CardError, WeightsError, ImagesError: before anything is computed.
        ScoringError: a log-density is not finite; names the image.
    """
    asked = _checked(options)
    if batch_size < 1:
        raise UsageError(f"the batch size must be at least 1, got {batch_size}")
    if dtype not in DTYPES:
        raise UsageError(f"dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    where = pick_device(device)
    keep_freed_memory(where)
    card = _card(load_card(model), asked.t_end)
    if str(data) == DIGITS and card.data.dataset != "mnist":
        raise UsageError(f"{card.name}: its data set is {card.data.dataset}, not mnist; give images of it as the data")
    images = real_images(data, card.image_shape, n, values)
    if card.codec is not None:
        latent = "a latent model gives a density of latents, not of images: bits/dim is not defined for it"
        return _result(card, images, asked, value=None, reason=latent, seed=seed, device=str(where), dtype=dtype)
    loaded = load_model(card, where, dtype, channels_last=True, consent=consent)
    return _measure(loaded, images, asked, seed, batch_size, Progress(quiet))


def check_run(run: Path) -> None:
    """StoreError unless this is a run folder."""
    if not (run / "suite.yaml").is_file():
        raise StoreError(f"{run}: no suite.yaml here; not a run folder")


def keep(run: Path, measured: BitsPerDim) -> None:
    """Write a row into ``likelihood.json`` of a run folder, whose report shows it; the same again replaces it.

    Raises:
        StoreError: no run folder, or one that can't be read or written.
    """
    check_run(run)
    path = run / FILE
    known = read_sealed(path)["rows"] if path.exists() else []
    rows = {json.dumps([row[key] for key in _KEY]): row for row in [*known, measured.to_dict()]}
    write_sealed(path, {"format": 1, "rows": [rows[key] for key in sorted(rows)]})
    write_manifest(run, only=[FILE])


def _checked(options: dict[str, Any]) -> LikelihoodOptions:
    try:
        return LikelihoodOptions.model_validate(options)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"{LIKELIHOOD.name}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None


def _card(card: Card, t_end: float | None) -> Card:
    """The card without clipping, and with another end of the ODE if one is given. UsageError if it can't have one."""
    changed: dict[str, Any] = {"clip": None}
    if t_end is not None:
        if card.schedule_object().discrete:
            raise UsageError(f"{card.name}: t_end belongs to models in continuous time; this one ends at its index 0")
        changed["schedule"] = {**card.schedule, "t_end": t_end}
    return card.model_copy(update=changed)


def _measure(
    model: Model, images: RealImages, options: LikelihoodOptions, seed: int, batch_size: int, progress: Progress
) -> BitsPerDim:
    card, count = model.card, len(images.pixels)
    low, high = card.data.range
    how, size = options.dequantisation, images.pixels[0].numel()
    a_bit = size * float(np.log(2))
    found, changes, evaluations = [], [], 0
    with progress:
        progress.begin(f"{LIKELIHOOD.title} of {card.name}", count)
        for begin in range(0, count, batch_size):
            pixels = images.pixels[begin : begin + batch_size].to(model.device)
            noise = NoiseSource(seed, range(begin, begin + len(pixels)), card.image_shape, device=model.device)
            x = dequantise(pixels, noise, low, high, how)
            tolerance = options.tolerance * a_bit
            solved = log_density(model.denoiser, x, model.schedule, noise, tolerance, options.probes)
            found.append(bits_per_dim(solved.nats, size, low, high, how))
            changes.append(solved.change / a_bit)
            evaluations += int(solved.nfe.sum())
            progress.advance(len(pixels))
    bits, change = (torch.cat(parts).numpy() for parts in (found, changes))
    value = float(bits.mean())
    if count < 2:
        score = score_without_error(value, count, too_few(count))
    else:
        score = score_from_influence(value, bits - value)
    largest = float(np.abs(change).max())
    missed = int((~(np.abs(change) <= options.tolerance)).sum())
    reason = f"{missed} of {count} images changed by more than the tolerance when the steps were last doubled"
    return _result(
        card,
        images,
        options,
        seed=seed,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        value=score.value,
        se=score.se,
        ci_low=score.ci_low,
        ci_high=score.ci_high,
        nfe=evaluations / count,
        largest_change=largest if np.isfinite(largest) else None,
        reason="; ".join(filter(None, [score.reason, reason if missed else None])) or None,
        per_image=bits,
    )


def _result(card: Card, images: RealImages, options: LikelihoodOptions, **values: Any) -> BitsPerDim:
    schedule = card.schedule_object()
    return BitsPerDim(
        model=card.name,
        family=card.family,
        n=len(images.pixels),
        data=images.name,
        split=images.split,
        data_sha256=images.sha256,
        dequantisation=options.dequantisation,
        t_end=schedule.t_end,
        sigma_min=schedule.sigma_min,
        sigma_max=schedule.sigma_max,
        probes=options.probes,
        tolerance=options.tolerance,
        weights_sha256=card.weights_sha256,
        **values,
    )
