"""The entries of a suite's lists: models, samplers, grids and metrics, each a bare name or a mapping with options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import InitErrorDetails

from diffbench.catalog import COSTS, GRIDS, LIKELIHOOD, METRICS
from diffbench.document.spec import Name, Spec, fault, option_faults, repeated
from diffbench.document.tree import UNREADABLE
from diffbench.document.words import Says, shown, unknown
from diffbench.errors import CardError
from diffbench.models.card import Card, Range, load_card, looks_like_path, range_fault, shipped_models

Dtype = Literal["float32", "bfloat16", "float16"]
Values = Annotated[tuple[Any, ...], Field(min_length=1, max_length=10_000)]


class ModelSweep(Spec):
    """Axes of a model: one cell for every combination."""

    dtype: Annotated[tuple[Dtype, ...], Field(min_length=1)] | None = None
    """Precisions of the network to try."""
    clip: Annotated[tuple[Range | None, ...], Field(min_length=1, max_length=1000)] | None = None
    """Ranges to clip to; null: none."""

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """No value twice, and every clip range must rise."""
        for key in ("dtype", "clip"):
            yield from repeated((key,), given.get(key))
        clips = given.get("clip")
        for index, clip in enumerate(clips if isinstance(clips, tuple) else ()):
            for problem in range_fault("clip", clip):
                yield InitErrorDetails(type=problem["type"], loc=("clip", index), input=clip)


class ModelChoice(Spec):
    """A model: the ``name`` of a shipped one, or ``source``, a folder or card. ``clip`` unset: the card's."""

    id: Name
    """Its name in tables and figures; the default is the card's."""
    name: str | None = None
    """The name of a shipped model (diffbench list models)."""
    source: str | None = None
    """A folder with a card.yaml, or a card; relative paths start at the suite file."""
    dtype: Dtype | None = None
    """Precision of the network; the default is that of run."""
    clip: Range | None = None
    """Range that the denoised estimate is clamped to; null: not at all; the default is the card's."""
    sweep: ModelSweep = ModelSweep()
    """Axes: one cell for every combination of values."""

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """A bare name or path to a mapping; sources made absolute; the id defaults to the card's name."""
        if isinstance(value, str):
            value = {"source" if looks_like_path(value) else "name": value}
        value = cls.anchored(value, (context or {}).get("directory", Path()))
        if not isinstance(value, dict):
            return value
        if "id" in value:
            return value
        try:
            return {**value, "id": _card_of(value, context).name}
        except CardError:
            return {**value, "id": UNREADABLE}

    @classmethod
    def anchored(cls, value: Any, directory: Path) -> Any:
        """A model, in the short or the long form, whose relative source is made absolute."""
        if isinstance(value, str) and looks_like_path(value) and "://" not in value:
            return str(Path(directory, value).absolute())
        source = value.get("source") if isinstance(value, dict) else None
        if not isinstance(source, str) or "://" in source:
            return value
        return {**value, "source": str(Path(directory, source).absolute())}

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """Exactly one card, and it must be readable."""
        name, source = given.get("name"), given.get("source")
        if (name is None) == (source is None):
            yield fault((), 'give either "name" (a shipped model) or "source" (a folder or card)', given)
        elif isinstance(source, str) and "://" in source:
            yield fault(("source",), f"{shown(source)}: sources with :// are not implemented yet", source)
        elif isinstance(name, str) or isinstance(source, str):
            try:
                card = _card_of(given, context)
            except CardError as error:
                yield fault(("name" if source is None else "source",), "; ".join(str(error).splitlines()), given)
            else:
                yield from _latent_clips(card, given)
        yield from range_fault("clip", given.get("clip"))
        sweep = given.get("sweep")
        for key in sweep if isinstance(sweep, dict) else ():
            if key in given and key in ModelSweep.model_fields:
                yield fault(("sweep", key), f"{key} is fixed above; give it once", sweep, at_key=True)

    def card(self) -> Card:
        """The model's card, read from disk. Raises CardError."""
        return _read_card(self.name, self.source)


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


def _card_of(given: Mapping[str, Any], context: Any) -> Card:
    """The card of a model as it is given; read once for all checks of a suite."""
    name, source = given.get("name"), given.get("source")
    known: dict[tuple[str, str], Card | CardError] = (context or {}).get("cards", {})
    key = repr(name), repr(source)
    if key not in known:
        try:
            known[key] = _read_card(name, source)
        except CardError as error:
            known[key] = error
    found = known[key]
    if isinstance(found, CardError):
        raise found
    return found


def _read_card(name: Any, source: Any) -> Card:
    if source is not None:
        if not isinstance(source, str) or "://" in source:
            raise CardError(f"no card at {shown(source)}")
        return load_card(Path(source))
    if not isinstance(name, str) or name not in shipped_models():
        raise CardError(unknown("model", name, shipped_models()) + _path_hint(name))
    return load_card(name)


def _path_hint(name: Any) -> str:
    return "; a folder or card is given as source" if isinstance(name, str) and looks_like_path(name) else ""


def split(value: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """A mapping whose options, everything but ``keys``, are moved under ``options``."""
    fixed = {key: item for key, item in value.items() if key in keys}
    return {**fixed, "options": {key: item for key, item in value.items() if key not in keys}}


class GridChoice(Spec):
    """A time grid by kind, with its options beside."""

    kind: Annotated[str, Says("the kind of a grid")]
    """The kind of noise levels (diffbench list grids); its options stand beside."""
    options: dict[str, Any] = Field(default={}, exclude=True)

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """A bare kind to a mapping; options split off."""
        value = {"kind": value} if isinstance(value, str) else value
        return split(value, ("kind",)) if isinstance(value, dict) else value

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """A known kind, with options that it takes."""
        kind, options = given.get("kind"), given["options"]
        if isinstance(kind, str) and kind not in GRIDS:
            yield fault(("kind",), unknown("grid", kind, GRIDS), kind)
        if not isinstance(kind, str) or kind not in GRIDS:
            return
        found = option_faults(GRIDS[kind], options, beside=("kind",))
        yield from found
        if found:
            return
        low, high, sigmas = (options.get(key) for key in ("sigma_min", "sigma_max", "sigmas"))
        if low is not None and high is not None and low >= high:
            yield fault(("sigma_min",), f"{shown(low)} is not allowed; it must be below sigma_max, {shown(high)}", low)
        for index, sigma in enumerate(sigmas or ()):
            if sigma <= 0 or (index and sigma >= sigmas[index - 1]):
                message = f"{shown(sigma)} is not allowed; sigmas are positive and decrease strictly"
                yield fault(("sigmas", index), message, sigma)


class MetricChoice(Spec):
    """A quality metric of the catalog, with all its options."""

    name: Annotated[str, Field(alias="metric"), Says("the name of a metric")]
    """The name of a metric (diffbench list metrics); its options stand beside."""
    options: dict[str, Any] = Field(default={}, exclude=True)

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """A bare name to a mapping; options split off, and completed where they are fine."""
        value = {"metric": value} if isinstance(value, str) else value
        if not isinstance(value, dict):
            return value
        value = split(value, ("metric",))
        name = value.get("metric")
        if isinstance(name, str) and name in METRICS and not option_faults(METRICS[name].options, value["options"]):
            value["options"] = METRICS[name].options.model_validate(value["options"]).model_dump()
        return value

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """A known metric, with options that it takes."""
        name = given.get("metric")
        if isinstance(name, str) and name in METRICS:
            yield from option_faults(METRICS[name].options, given["options"], beside=("metric",))
        elif name == LIKELIHOOD.name:
            message = f"{shown(name)} belongs to a model, not to a sampler; measure it by diffbench likelihood MODEL"
            yield fault(("metric",), message, name)
        elif isinstance(name, str) and name in COSTS:
            message = f"{shown(name)} is measured by the timing pass of every run; leave it out of the metrics"
            yield fault(("metric",), message, name)
        elif isinstance(name, str):
            yield fault(("metric",), unknown("metric", name, METRICS), name)
