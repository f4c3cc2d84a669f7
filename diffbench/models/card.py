"""The card of a checkpoint: what it predicts, in which time, on what data, and the sha256 of its files.

A card is ``card.yaml`` in the folder of a checkpoint. It is read without torch, so that suites can be checked anywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr
from pydantic_core import InitErrorDetails

from diffbench.diffusion.schedule import NoiseSchedule, schedule_from
from diffbench.document.spec import Name, Spec, fault
from diffbench.document.tree import Unreadable
from diffbench.document.words import Says, shown
from diffbench.errors import ScheduleError
from diffbench.models.card_parts import (
    Checkpoint,
    Codec,
    DataInfo,
    ExtractorName,
    Labels,
    Network,
    Range,
    RelativePath,
    Scheduler,
    Sha256,
    Shape,
    Text,
    TimeInput,
    Version1,
    range_fault,
)
from diffbench.models.mixture import Mixture, analytic_faults


class Card(Spec):
    """A model card. ``clip`` is the range that the denoised estimate is clamped to by default; None: not at all.

    ``sigma_data``, in units of the data, is a constant of networks whose ``prediction`` is ``edm``. ``variance``:
    ``learned-range`` for networks with twice as many channels out as in, whose second half says where the variance of
    an ancestral step lies (Nichol & Dhariwal 2021, Eq. 15); ``fixed`` for all others. A model whose denoiser is known
    exactly has an ``analytic`` distribution and neither network nor files. ``reference`` and ``extractor`` are null
    for a model whose samples are no pictures of anything: it has no FID and no IS.

    A network of class ``labels`` or of prompts (``text``) is told in the suite which ones its samples have.
    ``scheduler`` is the class of diffusers, with its config, that the checkpoint comes with. ``checkpoint`` says where
    the files are, if not beside the card; ``sha256`` may be left out for those that a command finds there and hashes.
    ``flops``: floating-point operations (two for a multiply-add) of one evaluation of one sample.
    """

    version: Version1
    """Version of the card."""
    name: Name
    """What suites and tables call the model."""
    family: Literal["ddpm", "latent", "score-sde"]
    """ddpm: pixels, a discrete chain; latent: a codec beside; score-sde: continuous time."""
    prediction: Literal["epsilon", "sample", "v_prediction", "score", "flow", "edm"]
    """What the network predicts."""
    sigma_data: Annotated[float, Field(gt=0.0)] | None = None
    """Constant of networks with EDM's preconditioning."""
    variance: Literal["fixed", "learned-range"] = "fixed"
    """learned-range: the second half of the channels says the variance of a step."""
    schedule: dict[str, Any]
    """The noise schedule of the training."""
    time: TimeInput
    """What the network takes as time."""
    data: DataInfo
    """The images that the model makes."""
    clip: Range | None
    """Range that the denoised estimate is clamped to; null: not at all."""
    network: Network | None
    """Where the network lies."""
    analytic: Mixture | None = None
    """An exactly known distribution in place of a network."""
    codec: Codec | None
    """The autoencoder of a latent model; null for the others."""
    labels: Labels | None = None
    """The classes of a network that is told one."""
    text: Text | None = None
    """The text encoder of a network that is told prompts."""
    scheduler: Scheduler | None = None
    """The scheduler of diffusers that the checkpoint comes with."""
    ema: bool
    """Whether the weights are the moving average."""
    reference: Name | None
    """Statistics of the real data: a shipped name, or a file beside the card."""
    extractor: ExtractorName | None
    """The network in whose eyes images are compared (diffbench list extractors)."""
    checkpoint: Checkpoint | None = None
    """Where the files are, if not beside the card."""
    sha256: Annotated[dict[RelativePath, Sha256], Says("a mapping of files to their sha256")]
    """Of every file that is loaded; {} with a checkpoint whose files are hashed where they are found."""
    flops: Annotated[float, Field(gt=0.0)] | None = None
    """Floating-point operations of one evaluation of one sample; a multiply-add is two."""
    source: str
    """Where the weights come from."""
    license: str
    """Of the weights."""
    _directory: Path = PrivateAttr(default=Path())
    _object: Any = PrivateAttr(default=None)
    _identity: str = PrivateAttr(default="")
    _latent: Shape | None = PrivateAttr(default=None)
    _home: Path = PrivateAttr(default=Path())
    _missing: str | None = PrivateAttr(default=None)

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """Everything that two keys must agree about."""
        yield from range_fault("clip", given.get("clip"))
        yield from _codec_faults(given)
        yield from _sigma_data_faults(given)
        yield from analytic_faults(given)
        if given.get("labels") is not None and given.get("text") is not None:
            yield fault(("text",), "a network takes labels or prompts, not both", given["text"])
        schedule = given.get("schedule")
        if not isinstance(schedule, dict) or any(isinstance(value, Unreadable) for value in schedule.values()):
            return
        try:
            discrete = schedule_from(_lists(schedule)).discrete
        except ScheduleError as error:
            yield fault(("schedule",), str(error), schedule)
            return
        time = given.get("time")
        if isinstance(time, dict) and time.get("input") in ("index", "scaled", "sigma", "log-sigma"):
            if (time["input"] == "index") != discrete:
                wanted = 'discrete schedule goes with "index"'
                if not discrete:
                    wanted = 'continuous schedule goes with "scaled", "sigma" or "log-sigma"'
                yield fault(("time", "input"), f"{shown(time['input'])} is not allowed; a {wanted}", time["input"])

    def lend(self, model: Any, identity: str, latent: Shape | None) -> None:
        """Make this the card of an object in memory, known by ``identity``, whose samples are of shape ``latent``."""
        self._object, self._identity, self._latent = model, identity, latent
        self._directory = Path(f"<{self.name}>")

    @property
    def lent(self) -> Any:
        """The object that this is the card of; None for one that was read."""
        return self._object

    @property
    def directory(self) -> Path:
        """The folder that the paths of networks and of ``sha256`` are relative to."""
        return self._directory

    @property
    def home(self) -> Path:
        """The folder of the card itself, where references of its own lie."""
        return self._home

    @property
    def missing(self) -> str | None:
        """Why the checkpoint's files can't be loaded, with what to get and where to put it; None if they are there."""
        return self._missing

    @property
    def conditional(self) -> bool:
        """Whether the network takes class labels or prompts."""
        return self.labels is not None or self.text is not None

    @property
    def time_scale(self) -> float:
        """What t, sigma or log sigma is multiplied with before the network sees it; 1 for an index or sigma."""
        return 1.0 if self.time.scale is None else self.time.scale

    @property
    def conditioning(self) -> Literal["time", "sigma", "log-sigma"]:
        """What the network is told of the noise level: the schedule's t, sigma, or the logarithm of sigma."""
        given = self.time.input
        return given if given == "sigma" or given == "log-sigma" else "time"

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what is sampled: latents or images."""
        return self._latent or (self.codec.latent_shape if self.codec else self.data.shape)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that come out."""
        return self.data.shape

    @property
    def weights_sha256(self) -> str:
        """One sha256 (hexadecimal) over the names and sha256 of all files, or an analytic model's parameters.

        Of an object, what it is known by; of weights that are elsewhere, and whose sha256 is not known yet, it is over
        where they are.
        """
        if self._object is not None:
            return self._identity
        what: Any = self.sha256 if self.analytic is None else self.analytic.model_dump()
        if not self.sha256 and self.checkpoint is not None:
            what = self.checkpoint.model_dump()
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def schedule_object(self) -> NoiseSchedule:
        """The noise schedule, in float64."""
        return schedule_from(_lists(self.schedule))


def _codec_faults(given: Mapping[str, Any]) -> Iterable[InitErrorDetails]:
    codec, latent = given.get("codec"), given.get("family") == "latent"
    if latent and codec is None and "codec" in given:
        yield fault(("codec",), 'null is not allowed; family "latent" needs a codec', codec)
    if isinstance(codec, dict) and given.get("family") in ("ddpm", "score-sde"):
        yield fault(("codec",), f'only family "latent" has a codec, not {shown(given["family"])}', codec)
    if latent and given.get("clip") is not None:
        yield fault(
            ("clip",), f"{shown(given['clip'])} is not allowed; latents have no range to clip to", given["clip"]
        )
    data = given.get("data")
    shape = data.get("shape") if isinstance(data, dict) else None
    crop = codec.get("crop") if isinstance(codec, dict) else None
    if isinstance(shape, tuple) and type(crop) is int and shape[1:] != (crop, crop):
        yield fault(("codec", "crop"), f"{crop} does not give images of shape {shown(shape)}", crop)


def _sigma_data_faults(given: Mapping[str, Any]) -> Iterable[InitErrorDetails]:
    prediction, sigma_data = given.get("prediction"), given.get("sigma_data")
    if prediction == "edm" and sigma_data is None:
        yield fault((), 'the key "sigma_data" is missing; prediction "edm" needs it', given)
    if isinstance(prediction, str) and prediction != "edm" and sigma_data is not None:
        yield fault(("sigma_data",), f'only prediction "edm" has a sigma_data, not {shown(prediction)}', sigma_data)


def _lists(schedule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in schedule.items()}
