"""A model that is an object in memory: a denoiser with schedule and shape, or a network with its preconditioning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args
from uuid import uuid4

import torch
from torch import Tensor, nn

from diffbench.diffusion.denoiser import Conditioning, Denoised, NetworkDenoiser
from diffbench.diffusion.prediction import Prediction
from diffbench.diffusion.schedule import NoiseSchedule, schedule_from
from diffbench.document.words import unknown
from diffbench.errors import CardError, UsageError
from diffbench.fingerprint import fingerprint, why_unknown
from diffbench.models.card import Card
from diffbench.models.card_parts import DataInfo, TimeInput
from diffbench.models.codec import PixelCodec
from diffbench.models.model import Model

Estimate = Callable[[Tensor, Tensor], Tensor | Denoised]
Family = Literal["ddpm", "latent", "score-sde"]
Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class OwnModel:
    """What ``diffbench.run(models={"mine": OwnModel(...)})`` takes.

    Attributes:
        denoiser: D(x_hat (B,C,H,W), sigma (B,) float64 on the CPU) -> x0 (B,C,H,W) or ``Denoised``;
            x_hat = x_t / s(t) = x0 + sigma n.
        schedule: its noise schedule, or the mapping that a card has.
        shape: (C, H, W) of a sample; without ``decode`` of an image too.
        range: black and white of what ``decode`` returns, or of the samples themselves.
        clip: range that the denoised estimate is clamped to; None: not at all.
        reference: the real data: a shipped name or the path of a reference file; None: no FID.
        extractor: in whose eyes; None: that of the shipped references, where one is given.
        decode: samples to images (B,C,H,W) in ``range``; None: a sample is an image.
        image_shape: (C, H, W) of what ``decode`` returns.
        family: what tables call it.
        network: the bare network(x, t), for timing it apart; None: the denoiser on sigma.
        modules: the torch modules inside: put in evaluation mode while samples are made, then back.
    """

    denoiser: Estimate
    schedule: NoiseSchedule | Mapping[str, Any]
    shape: Sequence[int]
    range: Range = (-1.0, 1.0)
    clip: Range | None = None
    reference: str | None = None
    extractor: str | None = None
    decode: Callable[[Tensor], Tensor] | None = None
    image_shape: Sequence[int] | None = None
    family: Family = "ddpm"
    network: Callable[[Tensor, Tensor], Tensor] | None = None
    modules: tuple[nn.Module, ...] = ()
    _told: object = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or any(int(size) < 1 for size in self.shape):
            raise UsageError(f"a model's shape is (C, H, W), not {tuple(self.shape)}")
        inside = self.modules or ((self.denoiser,) if isinstance(self.denoiser, nn.Module) else ())
        object.__setattr__(self, "modules", inside)

    @classmethod
    def of_network(
        cls,
        network: nn.Module,
        *,
        prediction: Prediction,
        schedule: NoiseSchedule | Mapping[str, Any],
        shape: Sequence[int],
        conditioning: Conditioning = "time",
        time_scale: float = 1.0,
        sigma_data: float | None = None,
        **settings: Any,
    ) -> OwnModel:
        """A network F(x (B,C,H,W), time (B,)) with stated preconditioning, as a card states it.

        Args:
            network: a torch module; what it returns may also be a tuple, or have ``sample``, as those of diffusers.
            prediction: what it predicts: ``epsilon``, ``sample``, ``v_prediction``, ``score``, ``flow``, ``edm``.
            schedule: its noise schedule, or the mapping that a card has.
            shape: (C, H, W) of a sample.
            conditioning: what it is told of the noise: the schedule's ``time``, ``sigma`` or ``log-sigma``.
            time_scale: what that is multiplied with.
            sigma_data: of the prediction ``edm``.
            settings: the other attributes.

        Raises UsageError for a prediction or conditioning that there is not.
        """
        known = schedule if isinstance(schedule, NoiseSchedule) else schedule_from(schedule)
        for what, value, names in (
            ("prediction", prediction, get_args(Prediction)),
            ("conditioning", conditioning, get_args(Conditioning)),
        ):
            if value not in names:
                raise UsageError(unknown(what, value, names))

        def bare(x: Tensor, t: Tensor) -> Tensor:
            returned = network(x, t)
            returned = returned[0] if isinstance(returned, tuple) else getattr(returned, "sample", returned)
            return cast(Tensor, returned)

        first = next(network.parameters(), None)
        dtype = torch.float32 if first is None else first.dtype
        denoiser = NetworkDenoiser(bare, known, prediction, time_scale, dtype, conditioning, sigma_data)
        told = (network, prediction, conditioning, time_scale, sigma_data, str(dtype))
        return cls(denoiser, known, shape, **{"network": bare, "modules": (network,), **settings, "_told": told})

    @property
    def unidentified(self) -> str:
        """Why the model's samples can't be known again; empty if they can."""
        return why_unknown(self._what())

    @property
    def device(self) -> torch.device | None:
        """Where its networks are; None without any parameter."""
        first = next((one for module in self.modules for one in module.parameters()), None)
        return None if first is None else first.device

    def _what(self) -> object:
        settings = tuple(map(int, self.shape)), self.range, self.clip, self._schedule().to_dict(), self.decode
        return self._told or self.denoiser, settings

    def _schedule(self) -> NoiseSchedule:
        return self.schedule if isinstance(self.schedule, NoiseSchedule) else schedule_from(self.schedule)

    def card(self, name: str) -> Card:
        """What a plan knows of it, with the weights that it has now: known by a hash, or by a random text."""
        extractor = self.extractor or ("mnist-features" if self.reference == "mnist" else None)
        if (self.reference is None) != (extractor is None):
            raise UsageError(f"model {name}: give both a reference and an extractor, or neither")
        shape = cast(tuple[int, int, int], tuple(map(int, self.image_shape or self.shape)))
        latent = cast(tuple[int, int, int], tuple(map(int, self.shape))) if self.decode is not None else None
        schedule = self._schedule()
        card = Card.model_construct(
            version=1, name=name, family=self.family, prediction="sample", schedule=schedule.to_dict(),
            time=TimeInput.model_construct(input="index" if schedule.discrete else "sigma", scale=None),
            data=DataInfo.model_construct(range=self.range, shape=shape, dataset=name), clip=self.clip, network=None,
            codec=None, ema=False, reference=self.reference, extractor=extractor, sha256={},
            source="an object in memory", license="the caller's",
        )  # fmt: skip
        card.lend(self, fingerprint(self._what()) or f"unidentified {uuid4().hex}", latent)
        return card

    def load(self, card: Card, device: torch.device, dtype: str) -> Model:
        """The model on its own device. Raises CardError for another device or precision than its own."""
        if dtype != "float32":
            raise CardError(f"model {card.name} is an object: it runs in its own precision; leave dtype {dtype} out")
        if self.device is not None and self.device != device:
            raise CardError(f"model {card.name} is on {self.device}, the run on {device}; give the run that device")

        def denoise(x_hat: Tensor, sigma: Tensor) -> Denoised:
            found = self.denoiser(x_hat, sigma)
            return found if isinstance(found, Denoised) else Denoised(found)

        def bare(x: Tensor, t: Tensor) -> Tensor:
            return denoise(x, t.detach().to("cpu", torch.float64)).x0

        codec = PixelCodec(*self.range) if self.decode is None else _OwnCodec(self.decode, *self.range)
        return Model(card, denoise, self._schedule(), codec, self.network or bare, device, torch.float32)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """All modules in evaluation mode inside; every part is as before afterwards."""
        parts = [part for module in self.modules for part in module.modules()]
        before = [part.training for part in parts]
        try:
            for module in self.modules:
                module.eval()
            yield
        finally:
            for part, training in zip(parts, before, strict=True):
                part.training = training


@dataclass(frozen=True)
class _OwnCodec(PixelCodec):
    """Samples to images by a function of the caller's."""

    def __init__(self, function: Callable[[Tensor], Tensor], low: float, high: float) -> None:
        super().__init__(low, high)
        object.__setattr__(self, "function", function)

    def decode(self, x0: Tensor) -> Tensor:
        """Images (B,C,H,W)."""
        images: Tensor = self.function(x0)  # type: ignore[attr-defined]
        return super().decode(images)

    def encode(self, images: Tensor) -> Tensor:
        """Nothing: the way back is not known."""
        raise CardError("a model that is an object with decode has no way from images to samples")


def own_model(name: str, given: Any) -> OwnModel:
    """What stands for a model in ``run(models=...)``: an OwnModel, or a denoiser with ``schedule`` and ``shape``.

    Raises UsageError.
    """
    if isinstance(given, OwnModel):
        return given
    schedule = getattr(given, "schedule", None)
    shape = getattr(given, "sample_shape", None) or getattr(given, "shape", None)
    if not callable(given) or not isinstance(schedule, NoiseSchedule | Mapping) or shape is None:
        kind = type(given).__name__
        raise UsageError(
            f"model {name}: {kind} is no denoiser with schedule and sample_shape; give diffbench.OwnModel(denoiser, "
            "schedule, shape), or OwnModel.of_network(module, prediction=…, schedule=…, shape=…)"
        )
    return OwnModel(given, schedule, shape)
