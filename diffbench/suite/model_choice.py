"""A model of a suite: which card, what is changed of it, what its samples are conditioned on, and its axes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import InitErrorDetails

from diffbench.document.spec import Name, Spec, fault, repeated
from diffbench.document.tree import UNREADABLE, Unreadable
from diffbench.document.words import Says, shown, unknown
from diffbench.errors import CardError
from diffbench.models.card import Card
from diffbench.models.card_parts import Range, range_fault
from diffbench.models.condition import Condition, Guidance, LabelList, LabelPolicy, Prompts
from diffbench.models.find import known_models, load_card, looks_like_path
from diffbench.models.hub import PREFIX, HubName
from diffbench.models.lent import lent_card
from diffbench.suite.trial import card_faults

Dtype = Literal["float32", "bfloat16", "float16", "amp-bfloat16", "amp-float16"]
AXES = ("dtype", "clip", "guidance")
"""What a model's ``sweep`` varies."""
_MOST_PROMPT_BYTES = 10_000_000


class ModelSweep(Spec):
    """Axes of a model: one cell for every combination."""

    dtype: Annotated[tuple[Dtype, ...], Field(min_length=1)] | None = None
    """Precisions of the network to try."""
    clip: Annotated[tuple[Range | None, ...], Field(min_length=1, max_length=1000)] | None = None
    """Ranges to clip to; null: none."""
    guidance: Annotated[tuple[Guidance, ...], Field(min_length=1, max_length=1000)] | None = None
    """Guidance to try: scales, or mappings with scale and interval."""

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """No value twice, and every clip range must rise."""
        for key in AXES:
            yield from repeated((key,), given.get(key))
        clips = given.get("clip")
        for index, clip in enumerate(clips if isinstance(clips, tuple) else ()):
            for problem in range_fault("clip", clip):
                yield InitErrorDetails(type=problem["type"], loc=("clip", index), input=clip)


class ModelChoice(Spec):
    """A model: the ``name`` of a known one, or ``source``, a folder, a card or a name of the hub.

    ``clip`` unset: the card's. ``card`` holds keys of the card, which go before those of the files. ``labels`` or
    ``prompts`` (a list, or a file of a line each) say what a conditional model is told.
    """

    id: Name
    """Its name in tables and figures; the default is the card's."""
    name: str | None = None
    """The name of a known model (diffbench list models)."""
    source: str | None = None
    """A folder or a card, relative to the suite file, or hf://owner/name@revision."""
    card: dict[str, Any] | None = None
    """Keys of the card, which go before those of the files."""
    dtype: Dtype | None = None
    """Precision of the network; the default is that of run."""
    clip: Range | None = None
    """Range that the denoised estimate is clamped to; null: not at all; the default is the card's."""
    labels: Annotated[LabelPolicy | LabelList | None, Says("balanced, uniform or a list of classes")] = None
    """Classes of the samples: balanced (i mod K), uniform (drawn), or a list that is gone through again and again."""
    prompts: Annotated[Prompts | None, Says("a list of prompts, or a file of a line each")] = None
    """Prompts of the samples: a list, or a file of a line each, relative to the suite file."""
    negative_prompt: str | None = None
    """What guidance leads away from; empty by default."""
    guidance: Annotated[Guidance | None, Says("a scale, or a mapping with scale and interval")] = None
    """Scale of classifier-free guidance; 1, the default, is the conditional model itself."""
    sweep: ModelSweep = ModelSweep()
    """Axes: one cell for every combination of values."""

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """A bare name or path to a mapping; sources made absolute or pinned; the id defaults to the card's name."""
        if isinstance(value, str):
            value = {"source" if looks_like_path(value) else "name": value}
        value = cls.anchored(value, Path((context or {}).get("directory", ".")))
        if not isinstance(value, dict):
            return value
        if isinstance(prompts := value.get("prompts"), str):
            value = {**value, "prompts": _lines(Path(prompts))}
        if "id" in value:
            return value
        try:
            return {**value, "id": card_of(value, context).name}
        except CardError:
            return {**value, "id": UNREADABLE}

    @classmethod
    def anchored(cls, value: Any, directory: Path) -> Any:
        """A model, in the short or the long form, whose source means the same everywhere, as its file of prompts."""
        if isinstance(value, str):
            return _whole(value, directory) if looks_like_path(value) else value
        if not isinstance(value, dict):
            return value
        source, prompts = value.get("source"), value.get("prompts")
        if isinstance(source, str):
            value = {**value, "source": _whole(source, directory)}
        return {**value, "prompts": str(directory / prompts)} if isinstance(prompts, str) else value

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """Exactly one card, and it must be readable and fit what is said of it."""
        name, source, latent = given.get("name"), given.get("source"), False
        if (name is None) == (source is None):
            yield fault((), 'give either "name" (a shipped model) or "source" (a folder or card)', given)
        elif isinstance(name, str) or isinstance(source, str):
            try:
                card: object = card_of(given, context)
                whole = True
            except CardError as error:
                for line in str(error).splitlines():
                    yield fault(("name" if source is None else "source",), line, given)
                card, whole = error.partial, False
            if isinstance(card, Card):
                yield from _latent_clips(card, given)
                yield from _condition_faults(card, given, whole)
                latent = card.codec is not None
                found = card_faults(card) if whole and (context or {}).get("trial") is not None else ()
                for key, said in found:
                    own = isinstance(given.get("card"), dict) and key in given["card"]
                    yield fault(("card", key) if own else ("name" if source is None else "source",), said, given)
        if not latent:
            yield from range_fault("clip", given.get("clip"))
        sweep = given.get("sweep")
        for key in sweep if isinstance(sweep, dict) else ():
            if key in given and key in ModelSweep.model_fields:
                yield fault(("sweep", key), f"{key} is fixed above; give it once", sweep, at_key=True)

    def read_card(self) -> Card:
        """The model's card, read from disk. Raises CardError."""
        return _read_card(self.name, self.source, self.card)

    def condition(self, guidance: Guidance | None = None) -> Condition | None:
        """What its samples are conditioned on, with this guidance or its own; None for a model that takes nothing."""
        if self.labels is None and self.prompts is None:
            return None
        return Condition(
            labels=self.labels,
            prompts=self.prompts,
            negative_prompt=self.negative_prompt or "",
            guidance=guidance or self.guidance or Guidance(scale=1.0),
        )


def _whole(source: str, folder: Path) -> str:
    """A source that means the same everywhere: an absolute path, or a name of the hub at its commit."""
    if not source.startswith(PREFIX):
        return source if "://" in source else str(Path(folder, os.path.expanduser(source)).absolute())
    try:
        return str(HubName.parse(source).pinned())
    except CardError:
        return source


def _lines(path: Path) -> Any:
    """The prompts of a file, one a line, without empty lines."""
    try:
        if path.stat().st_size > _MOST_PROMPT_BYTES:
            return UNREADABLE
        return tuple(line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError):
        return str(path)


def _latent_clips(card: Card, given: Mapping[str, Any]) -> Iterable[InitErrorDetails]:
    """Clip ranges, fixed or swept, of a model whose latents have no range."""
    sweep = given.get("sweep")
    swept = sweep.get("clip") if isinstance(sweep, dict) else None
    clips: list[tuple[tuple[str | int, ...], Any]] = [(("clip",), given.get("clip"))]
    clips += [(("sweep", "clip", index), clip) for index, clip in enumerate(swept if isinstance(swept, tuple) else ())]
    for path, clip in clips if card.codec is not None else ():
        if clip is not None:
            message = f"{shown(clip)} is not allowed; {card.name} samples latents, which have no range to clip to"
            yield fault(path, message, clip)


def _condition_faults(card: Card, given: Mapping[str, Any], whole: bool) -> Iterable[InitErrorDetails]:
    """Labels where there are labels, prompts where there are prompts, guidance where none can be told apart.

    Of a card that is not ``whole``, what it lacks may be what is wrong with it.
    """
    for key, part, wanted in (
        ("labels", card.labels, "balanced, uniform or a list of classes"),
        ("prompts", card.text, "a list of prompts, or a file of a line each"),
    ):
        if whole and part is None and given.get(key) is not None:
            yield fault((key,), f"{card.name} takes no {key}", given[key])
        if part is not None and given.get(key) is None:
            yield fault((), f'the key "{key}" is missing; {card.name} needs it: {wanted}', given)
    labels = given.get("labels")
    for index, label in enumerate(labels if isinstance(labels, tuple) and card.labels is not None else ()):
        assert card.labels is not None
        if not isinstance(label, Unreadable) and not (type(label) is int and 0 <= label < card.labels.classes):
            message = f"{shown(label)} is not allowed; {card.name} has the classes 0 to {card.labels.classes - 1}"
            yield fault(("labels", index), message, label)
    if isinstance(prompts := given.get("prompts"), str) and card.text is not None:
        yield fault(("prompts",), f"{prompts}: no such file", prompts)
    if not whole:
        return
    unconditional = card.text is not None or (card.labels is not None and card.labels.unconditional is not None)
    sweep = given.get("sweep")
    swept = isinstance(sweep, dict) and sweep.get("guidance") is not None
    if (given.get("guidance") is not None or swept) and not unconditional:
        why = "takes no condition" if not card.conditional else "has no label that stands for none"
        path = ("guidance",) if given.get("guidance") is not None else ("sweep", "guidance")
        yield fault(path, f"{card.name} {why}, so that nothing can guide it", given, at_key=True)
    if given.get("negative_prompt") is not None and card.text is None:
        yield fault(("negative_prompt",), f"{card.name} takes no prompts", given["negative_prompt"])


def card_of(given: Mapping[str, Any], context: Any) -> Card:
    """The card of a model as it is given; read once for all checks of a suite. Raises CardError."""
    name, source, card = given.get("name"), given.get("source"), given.get("card")
    known: dict[tuple[str, ...], Card | CardError] = (context or {}).get("cards", {})
    key = repr(name), repr(source), repr(card)
    if key not in known:
        try:
            known[key] = _read_card(name, source, card)
        except CardError as error:
            known[key] = error
    found = known[key]
    if isinstance(found, CardError):
        raise found
    return found


def _read_card(name: Any, source: Any, card: Any) -> Card:
    given = card if isinstance(card, dict) else {}
    if source is not None:
        if not isinstance(source, str) or ("://" in source and not source.startswith(PREFIX)):
            raise CardError(f"no card at {shown(source)}; a source is a folder, a card or hf://owner/name@revision")
        return load_card(source, given)
    if (lent := lent_card(name)) is not None:
        return lent
    if not isinstance(name, str) or name not in known_models():
        raise CardError(unknown("model", name, known_models()) + _path_hint(name))
    return load_card(name, given)


def _path_hint(name: Any) -> str:
    return "; a folder or card is given as source" if isinstance(name, str) and looks_like_path(name) else ""
