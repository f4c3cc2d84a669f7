"""The card of a checkpoint: what it predicts, in which time, on what data, and the sha256 of its files.

A card is ``card.yaml`` in the folder of a checkpoint. It is read without torch, so that suites can be checked anywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr
from pydantic_core import InitErrorDetails

from diffbench import shipped
from diffbench.diffusion.schedule import NoiseSchedule, schedule_from
from diffbench.document.source import located, read_document, spec_of
from diffbench.document.spec import Name, Spec, fault
from diffbench.document.tree import Unreadable
from diffbench.document.words import LONGEST_SHOWN, Says, shown, unknown
from diffbench.errors import CardError, ScheduleError
from diffbench.models.mixture import Mixture, analytic_faults

FILE = "card.yaml"


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in path:
        raise ValueError("outside the folder")
    return path


RelativePath = Annotated[str, AfterValidator(_inside), Says("a path inside the card's folder, with / and without ..")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$"), Says("a sha256: 64 lowercase hexadecimal digits")]
Version1 = Annotated[int, Field(ge=1, le=1), Says("1, the only version there is")]
Size = Annotated[int, Field(ge=1, le=65536)]
Shape = tuple[Size, Size, Size]
Range = tuple[float, float]


def range_fault(key: str, value: Any) -> list[InitErrorDetails]:
    """The problem of a [low, high] pair, where both are numbers, that does not rise."""
    numbers = isinstance(value, tuple) and len(value) == 2 and all(type(end) in (int, float) for end in value)
    if not numbers or value[0] < value[1]:
        return []
    return [fault((key,), f"{shown(value)} is not allowed; the first number must be below the second", value)]


class TimeInput(Spec):
    """What the network takes as time: a number that its ``input`` names, as it is or times ``scale``.

    ``index``: the discrete schedule's index; ``scaled``: continuous time times ``scale``; ``sigma``: the noise level in
    units of the data; ``log-sigma``: its natural logarithm times ``scale``.
    """

    input: Literal["index", "scaled", "sigma", "log-sigma"]
    """What of the time or noise level the network is told."""
    scale: Annotated[float, Field(gt=0.0)] | None = None
    """Factor of scaled time (999, say) or log sigma (0.25, say)."""

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """``scale`` belongs to ``scaled`` and ``log-sigma`` alone."""
        given_input, scale = given.get("input"), given.get("scale")
        if given_input in ("scaled", "log-sigma") and scale is None:
            yield fault((), f'the key "scale" is missing; input {shown(given_input)} needs it', given)
        if given_input in ("index", "sigma") and scale is not None:
            yield fault(("scale",), f"input {shown(given_input)} has no scale", scale)


class DataInfo(Spec):
    """The images that the model makes: value range, shape (C, H, W), data set."""

    range: Range
    """Black and white, such as [-1, 1]."""
    shape: Shape
    """[channels, height, width] of the images."""
    dataset: Name
    """Name of the data set."""

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """The range must rise."""
        return range_fault("range", given.get("range"))


class Network(Spec):
    """Where a network lies in the card's folder, and its class."""

    path: RelativePath
    """Folder inside the card's, with config.json and safetensors."""
    class_name: Annotated[str, Field(alias="class", min_length=1, max_length=200)]
    """Class of diffusers, such as UNet2DModel."""


class Codec(Network):
    """The autoencoder of a latent model: latents of ``latent_shape`` (C, H, W) are scaled by ``scaling_factor``.

    Decoded images are cropped in the middle to ``crop`` x ``crop`` pixels.
    """

    scaling_factor: Annotated[float, Field(gt=0.0)]
    """Latents are divided by it before they are decoded."""
    latent_shape: Shape
    """[channels, height, width] of the latents."""
    crop: Size | None = None
    """Side of the square that is cut from the middle of decoded images."""


class Card(Spec):
    """A model card. ``clip`` is the range that the denoised estimate is clamped to by default; None: not at all.

    ``sigma_data``, in units of the data, is a constant of networks whose ``prediction`` is ``edm``. ``variance``:
    ``learned-range`` for networks with twice as many channels out as in, whose second half says where the variance of
    an ancestral step lies (Nichol & Dhariwal 2021, Eq. 15); ``fixed`` for all others. A model whose denoiser is known
    exactly has an ``analytic`` distribution and neither network nor files. ``reference`` and ``extractor`` are null
    for a model whose samples are no pictures of anything: it has no FID and no IS.
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
    ema: bool
    """Whether the weights are the moving average."""
    reference: Name | None
    """Statistics of the real data: a shipped name, or a file beside the card."""
    extractor: Name | None
    """The network in whose eyes images are compared (diffbench list extractors)."""
    sha256: Annotated[dict[RelativePath, Sha256], Says("a mapping of files to their sha256")]
    """Of every file that is loaded."""
    source: str
    """Where the weights come from."""
    license: str
    """Of the weights."""
    _directory: Path = PrivateAttr(default=Path())

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """Everything that two keys must agree about."""
        yield from range_fault("clip", given.get("clip"))
        yield from _codec_faults(given)
        yield from _sigma_data_faults(given)
        yield from analytic_faults(given)
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

    @property
    def directory(self) -> Path:
        """The folder that the card's paths are relative to."""
        return self._directory

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
        return self.codec.latent_shape if self.codec else self.data.shape

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that come out."""
        return self.data.shape

    @property
    def weights_sha256(self) -> str:
        """One sha256 (hexadecimal) over the names and sha256 of all files, or an analytic model's parameters."""
        what = self.sha256 if self.analytic is None else self.analytic.model_dump()
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


def shipped_models() -> tuple[str, ...]:
    """Names of the models that come with diffbench."""
    folder = shipped.reference_models()
    return tuple(sorted(path.parent.name for path in folder.glob(f"*/{FILE}"))) if folder.is_dir() else ()


def looks_like_path(name: str) -> bool:
    """Whether ``name`` says where a card lies, rather than being the name of a shipped model."""
    return "/" in name or "\\" in name or name.startswith((".", "~")) or name.endswith((".yaml", ".yml"))


def load_card(path_or_name: str | Path) -> Card:
    """Read a card: from a folder with ``card.yaml``, a card file, or the name of a shipped model (which goes first).

    CardError where there is none, or with one line for each of its problems: file, line, column, key, allowed values.
    """
    name = str(path_or_name)
    if not looks_like_path(name) and name in shipped_models():
        path = shipped.reference_models() / name / FILE
    else:
        path = Path(path_or_name)
        try:
            path = path / FILE if path.is_dir() else path
            found = path.exists()
        except (OSError, ValueError):  # too long, or with NUL
            found = False
        if not found:
            raise CardError(_nothing_at(name, path))
    document = read_document(path)
    card, problems = spec_of(Card, document)
    if card is None:
        lines = located(problems, document)
        raise CardError("\n".join(f"{path}:{line}:{column}: {text}" for _, line, column, text in lines))
    card._directory = path.parent
    return card


def _nothing_at(name: str, path: Path) -> str:
    if not looks_like_path(name):
        return unknown("model", name, shipped_models())
    name = name if len(name) < LONGEST_SHOWN else "…" + name[4 - LONGEST_SHOWN :]  # the end tells paths apart
    return f"{shown(name)}: no {FILE} there" if path.name == FILE else f"{shown(name)}: no such folder or card"
