"""The parts of a model card: networks, codec, text encoder, labels, time, data, and where the files are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import InitErrorDetails

from diffbench.document.spec import Name, Spec, fault
from diffbench.document.words import Says, shown


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if (not parts and path != ".") or path.startswith("/") or ".." in parts or "\\" in path or ":" in path:
        raise ValueError("outside the folder")
    return path


RelativePath = Annotated[str, AfterValidator(_inside), Says("a path inside the card's folder, with / and without ..")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$"), Says("a sha256: 64 lowercase hexadecimal digits")]
Version1 = Annotated[int, Field(ge=1, le=1), Says("1, the only version there is")]
Size = Annotated[int, Field(ge=1, le=65536)]
Shape = tuple[Size, Size, Size]
Range = tuple[float, float]
ClassName = Annotated[str, Field(alias="class", min_length=1, max_length=200)]
Factory = Annotated[
    str,
    Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$"),
    Says("package.module:factory, a callable that makes the network"),
]
ExtractorName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+=-]{0,63}(:[a-z0-9-]{1,32})?$"),
    Says("the name of an extractor, such as inception-v3-compat or inception-v3-compat:clean"),
]
Words = Annotated[str, Field(min_length=1, max_length=1000)]
KeyMap = Literal["ddpm", "score-sde", "guided-diffusion"]


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


class Component(Spec):
    """A network in the diffusers layout: a folder (``.``: the card's) with ``config.json`` and weights; its class."""

    path: RelativePath
    """Folder with config.json and weights, inside that of the files."""
    class_name: ClassName
    """Its class, such as AutoencoderKL."""


class Network(Spec):
    """The denoising network, in one of three forms.

    - ``path`` and ``class``: a class of diffusers. ``path`` is a folder with ``config.json`` and safetensors; or, with
      ``config``, a file of weights, whose names ``key_map`` translates where it comes from the authors' own code.
    - ``factory`` (and ``options``, its arguments): ``package.module:function``, the user's own code, called with the
      card's folder; it returns a module or function of (x, t), or (x, t, class_labels=…) where the card has labels.
    - ``program``: a file of ``torch.export``, of the same arguments.
    """

    path: RelativePath | None = None
    """Folder with config.json and safetensors; or, with config, a file of weights."""
    class_name: Annotated[str | None, Field(alias="class", min_length=1, max_length=200)] = None
    """Class of diffusers, such as UNet2DModel."""
    config: dict[str, Any] | None = None
    """Config of the class, for a file of weights alone."""
    key_map: KeyMap | None = None
    """Whose code named the tensors of that file, if not diffusers."""
    factory: Factory | None = None
    """package.module:function that makes the network: the user's own code."""
    options: dict[str, Any] = {}
    """Arguments of the factory."""
    program: RelativePath | None = None
    """A file of torch.export."""

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """Exactly one of the three forms, with nothing of the others."""
        forms = [key for key in ("class", "factory", "program") if given.get(key) is not None]
        if len(forms) != 1:
            wanted = 'give "path" and "class", or "factory", or "program"'
            if forms:
                yield fault((), f"{wanted}; one, not {' and '.join(forms)}", given)
            else:
                yield fault((), f'the key "class" is missing; {wanted}', given)
            return
        goes_with = {"class": ("path", "config", "key_map"), "factory": ("options",), "program": ()}[forms[0]]
        for key in ("path", "config", "key_map", "options"):
            if given.get(key) and key not in goes_with:
                yield fault((key,), f'"{key}" does not go with "{forms[0]}"', given[key])
        if forms[0] == "class" and given.get("path") is None:
            yield fault((), 'the key "path" is missing; expected a folder or a file of weights', given)
        if given.get("key_map") is not None and given.get("config") is None:
            yield fault((), 'the key "config" is missing; a key_map needs the config of the class', given)

    @property
    def is_code(self) -> bool:
        """Whether loading it runs code that does not come with diffbench or diffusers."""
        return self.class_name is None


class Codec(Component):
    """The autoencoder of a latent model; latents are ``latent_shape`` (C, H, W).

    The denoiser knows z as (z - ``shift``) ``scaling_factor``. Decoded images are cropped in the middle to ``crop`` x
    ``crop`` pixels.
    """

    scaling_factor: Annotated[float, Field(gt=0.0)]
    """Latents are divided by it before they are decoded."""
    shift: float = 0.0
    """And this is added then."""
    latent_shape: Shape
    """[channels, height, width] of the latents."""
    crop: Size | None = None
    """Side of the square that is cut from the middle of decoded images."""


class Labels(Spec):
    """A network of class labels 0 <= y < ``classes``; ``unconditional`` is the label that stands for none."""

    classes: Annotated[int, Field(ge=1, le=10_000_000)]
    """How many there are."""
    unconditional: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    """The label that stands for none; guidance needs it."""


class Text(Spec):
    """A network of prompts: a text encoder of transformers (or ``LDMBertModel``) with its tokenizer's folder.

    Prompts are padded and cut to ``length`` tokens; what the network is given is the encoder's first output. Where
    several encoders go together, ``pipeline`` names the class of diffusers whose way it is; their files are the
    checkpoint's folders ``text_encoder…`` and ``tokenizer…``.
    """

    encoder: Component | None = None
    """The text encoder: a folder and its class."""
    tokenizer: RelativePath | None = None
    """Folder of the tokenizer."""
    pipeline: Literal["StableDiffusion3Pipeline"] | None = None
    """Class of diffusers that encodes prompts with several encoders."""
    length: Annotated[int, Field(ge=1, le=4096)]
    """Tokens that a prompt is padded or cut to."""

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """An encoder with its tokenizer, or a pipeline."""
        named = [key for key in ("encoder", "tokenizer", "pipeline") if given.get(key) is not None]
        if named not in (["encoder", "tokenizer"], ["pipeline"]):
            yield fault((), 'give "encoder" and "tokenizer", or "pipeline"', given)


class Scheduler(Spec):
    """A scheduler class of diffusers with the config that a checkpoint states for it; betas are the card's."""

    class_name: ClassName
    """Class of diffusers, such as DDIMScheduler."""
    config: dict[str, Any]
    """Its config, as the checkpoint states it."""


class Checkpoint(Spec):
    """Where a card's files are, if not beside it: in ``source``, or to be fetched by hand from what ``from`` says.

    ``source``: ``hf://owner/name@revision``, or a folder. ``from``: an address, or a release in words, whose ``files``
    go to ``$DIFFBENCH_WEIGHTS/<name of the card>``. ``note``: what one should know of these weights.
    """

    source: Words | None = None
    """hf://owner/name@revision, or a folder."""
    files: tuple[RelativePath, ...] = ()
    """What is to be fetched by hand."""
    origin: Annotated[Words | None, Field(alias="from")] = None
    """An address, or a release in words, of files to be fetched by hand."""
    note: Words | None = None
    """What one should know of these weights."""

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """A source, or words that say where to look."""
        if (given.get("source") is None) == (given.get("from") is None):
            yield fault((), 'give either "source" (hf://owner/name@revision, or a folder) or "from" (in words)', given)

    def __str__(self) -> str:
        note = "" if self.note is None else f" ({self.note})"
        return f"{self.source or self.origin}{note}"
