"""Is a checkpoint read as it was trained: its denoising error on real data, beside estimates that need no network."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffbench.comparison.check import Check, Saved
from diffbench.comparison.denoising import AGAINST, Errors, apart, judge
from diffbench.diffusion.denoising_error import LinearEstimates
from diffbench.diffusion.schedule import FloatArray
from diffbench.errors import UsageError
from diffbench.models.card import Card
from diffbench.models.consent import TENSORS_ONLY, Consent
from diffbench.models.find import load_card
from diffbench.models.load import load_model
from diffbench.models.model import Model
from diffbench.models.precision import DTYPES
from diffbench.runner.denoising import Data, encoded, errors_of, most_images
from diffbench.runner.devices import keep_freed_memory, pick_device
from diffbench.runner.progress import Progress
from diffbench.runner.readings import other_readings
from diffbench.runner.real_images import DIGITS, RealImages, split_images
from diffbench.scoring.picture_arrays import Range

SIGMAS = 16
# Latents are scaled to a standard deviation near 1 (Rombach et al. 2022, appendix G); beyond this factor it is said.
_NEAR_ONE = 1.5


def check(
    model: str | Path,
    data: str | Path = DIGITS,
    n: int | None = None,
    *,
    against: str | Path | None = None,
    sigmas: int = SIGMAS,
    margin: float = AGAINST,
    values: Range | None = None,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int = 64,
    seed: int = 0,
    diagnose: bool = True,
    quiet: bool = False,
    ema: bool | None = None,
    consent: Consent = TENSORS_ONLY,
) -> Check:
    """Denoising error of a model against sigma on real images, without the card's clipping, and what it says.

    Args:
        model: name of a shipped model, or a folder with a card.
        data: ``digits``, a folder of PNG and JPEG, or a .npz or .npy file of uint8 images; a latent model's codec
            encodes them.
        n: images to test on; default 128, or half if there are fewer than 256. The others give the baselines' moments.
        against: another model, or a file that ``Check.save`` wrote: compared image by image with the same noise.
        sigmas: noise levels, evenly in log sigma over what all models have; with a file those of the file.
        margin: relative difference to the other model that does not matter.
        values: (black, white) of float arrays, which are rounded to 8 bits.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        dtype: precision of the network: float32, bfloat16 or float16.
        batch_size: images in one call of the network.
        seed: of the noise; image i has the same noise for every model.
        diagnose: read the network in other ways where a band is not GOOD.
        quiet: no progress on stderr.
        ema: whether the weights are the moving average, for pipelines whose configs do not say; None: the card's word.
        consent: what the checkpoint may do beyond giving tensors.

    Raises:
        UsageError, CardError, WeightsError, ImagesError: before anything is computed; UsageError, too, for another
            model on other data.
        StoreError: a file that is no saved check, or was changed.
        ScoringError: an estimate is not finite; names sigma and image.
    """
    begun = time.monotonic()
    if batch_size < 1 or sigmas < 2:
        raise UsageError(f"expected a batch size of at least 1 and 2 sigmas, got {batch_size} and {sigmas}")
    if dtype not in DTYPES:
        raise UsageError(f"dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    where = pick_device(device)
    keep_freed_memory(where)
    card = _card(model, data, ema)
    saved = Saved.read(against) if against is not None and Path(against).is_file() else None
    second = None if against is None or saved is not None else _card(against, data, ema)
    levels = saved.sigmas if saved is not None else _levels([card, *([second] if second else [])], sigmas)
    most = most_images(card.image_shape, card.codec is not None)
    images, others = split_images(data, card.image_shape, n, values, most)
    load = _Load(images, others, levels, seed, where, dtype, batch_size, consent)
    if saved is not None:
        saved.require(load.basis(card), card.name)
    with Progress(quiet) as progress:
        if second is not None:
            saved = Saved(second.name, load.basis(second), levels, load.measure(second, progress)[2].network)
            saved.require(load.basis(card), card.name)
        loaded, seen, errors = load.measure(card, progress)
        bands = judge(errors)
        asked = diagnose and card.network is not None and any(band.word != "GOOD" for band in bands)
        readings = other_readings(loaded, seen.x0, seen.estimates, seed) if asked else []
    differences = [] if saved is None else apart(levels, errors.std, saved.errors, errors.network, margin)
    return Check(
        model=card.name,
        family=card.family,
        prediction=card.prediction,
        weights_sha256=card.weights_sha256,
        device=str(where),
        dtype=dtype,
        split=f"{images.split}; moments of {len(others):,} others",
        basis=load.basis(card),
        errors=errors,
        bands=bands,
        readings=readings,
        other=None if saved is None else saved.name,
        against=differences,
        notes=_notes(card, errors, asked and not readings),
        seconds=time.monotonic() - begun,
    )


@dataclass(frozen=True, eq=False)
class _Load:
    """What every model of one check has in common."""

    images: RealImages
    others: Tensor
    sigmas: FloatArray
    seed: int
    device: torch.device
    dtype: str
    batch_size: int
    consent: Consent

    def measure(self, card: Card, progress: Progress) -> tuple[Model, Data, Errors]:
        model = load_model(card, self.device, self.dtype, channels_last=True, consent=self.consent)
        x0, others = (encoded(model, pixels, self.batch_size) for pixels in (self.images.pixels, self.others))
        data = Data(x0, LinearEstimates.of(others))
        return model, data, errors_of(model, data, self.sigmas, self.seed, self.batch_size, progress)

    def basis(self, card: Card) -> dict[str, Any]:
        """What decides x0 and its noise."""
        codec = None
        if card.codec is not None:
            own = {file: digest for file, digest in card.sha256.items() if file.startswith(card.codec.path)}
            codec = {"scaling_factor": card.codec.scaling_factor, "sha256": own}
        basis = {"data_sha256": self.images.sha256, "seed": self.seed, "n": len(self.images.pixels)}
        return {**basis, "range": list(card.data.range), "shape": list(card.sample_shape), "codec": codec}


def _card(model: str | Path, data: str | Path, ema: bool | None) -> Card:
    """The card without clipping. UsageError for digits where it is for other data."""
    card = load_card(model, {} if ema is None else {"ema": ema})
    if str(data) == DIGITS and card.data.dataset != "mnist":
        raise UsageError(f"{card.name}: its data set is {card.data.dataset}, not mnist; give images of it as the data")
    return card.model_copy(update={"clip": None})


def _levels(cards: list[Card], count: int) -> FloatArray:
    """Evenly in log sigma over the range that all models have. UsageError if there is none."""
    schedules = [card.schedule_object() for card in cards]
    low, high = max(s.sigma_min for s in schedules), min(s.sigma_max for s in schedules)
    if not low < high:
        raise UsageError(f"{' and '.join(card.name for card in cards)} have no range of sigmas in common")
    levels: FloatArray = np.geomspace(low, high, count)
    return levels


def _notes(card: Card, errors: Errors, unexplained: bool) -> list[str]:
    notes = []
    if unexplained:
        notes.append(
            "no other reading of the card gives much less error: other data, damaged weights or too little training"
        )
    if card.codec is not None and not 1 / _NEAR_ONE < errors.std < _NEAR_ONE:
        notes.append(
            f"scaled latents have standard deviation {errors.std:.3g}, not near 1: is codec.scaling_factor right?"
        )
    if card.network is not None and not card.ema:
        notes.append("the card says ema: false; an average of the weights, if there is one, can be held against these")
    return notes
