"""How problems are put into words: a value as the user wrote it, what was expected, what may have been meant."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

LONGEST_SHOWN = 60
MOST_LISTED, _CLOSEST = 8, 5
_LISTED = ("sampler", "grid", "metric", "extractor", "model", "suite")


@dataclass(frozen=True)
class Says:
    """Put into ``Annotated``: what a value of this type must be, in words."""

    text: str


def text_of(value: Any) -> str:
    """A swept value as text, whole, so that two values never look alike: JSON without quotation marks."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True).replace('"', "")


def swept(key: str, value: Any) -> str:
    """A swept option for people: ``eta=0.2``, ``guidance 7.5 in 0.3..5``."""
    whole = value if isinstance(value, Mapping) and "scale" in value else {"scale": value}
    if key != "guidance" or not isinstance(whole["scale"], int | float):
        return f"{key}={text_of(value)}"
    interval = whole.get("interval")
    inside = f" in {interval[0]:g}..{interval[1]:g}" if interval else ""
    return f"guidance {whole['scale']:g}{inside}"


def slug(name: str) -> str:
    """A safe file name for any text: lower-case ASCII letters, digits, dots and dashes; altered names get a hash."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9._-]+", "-", plain).strip("-._")[:60]
    return plain if plain and plain == name else f"{plain or 'x'}-{sha256(name.encode()).hexdigest()[:8]}"


def shown(value: object) -> str:
    """``value`` as YAML on one line, shortened, with everything unprintable escaped."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(item) for item in value[:20]) + ("]" if len(value) <= 20 else ", …]")
    elif value is None or isinstance(value, bool | str):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, int) and abs(value) >= 10**LONGEST_SHOWN:
        text = "a huge number"
    elif isinstance(value, int | float):
        text = repr(value)
    else:
        text = f"an object of type {type(value).__name__}"
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def key_path(path: Iterable[str | int]) -> str:
    """``("samplers", 0, "eta")`` as ``samplers[0].eta``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else ("." if text else "") + shown(part)[1:-1]
    return text


def counted(count: int, noun: str) -> str:
    """``1 cell``, ``1,200 cells``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def listed(names: Iterable[str]) -> str:
    """Names in one line, for "known: …"."""
    return ", ".join(names) or "none"


def did_you_mean(wrong: object, known: Iterable[str]) -> str:
    """``; did you mean "…"?`` with the closest known name, or nothing."""
    if not isinstance(wrong, str):
        return ""
    folded = {name.casefold(): name for name in known}
    typed = wrong[:100].casefold()
    begun = [name for name in folded if len(typed) >= 3 and name.startswith(typed)]
    swapped = [name for name in folded if sorted(name) == sorted(typed)]
    close = begun or swapped or difflib.get_close_matches(typed, folded, n=1)
    return f'; did you mean "{folded[close[0]]}"?' if close else ""


def unknown(what: str, wrong: object, known: Iterable[str]) -> str:
    """``unknown sampler "dim"; did you mean "ddim"? Known: ddim, …``: what may have been meant, then all, or some."""
    names = list(known)
    return f"unknown {what} {shown(wrong)}{or_known(what, wrong, names)}"


def or_known(what: str, wrong: object, known: Iterable[str]) -> str:
    """The second half of :func:`unknown`: at most ``MOST_LISTED`` names, the closest of more, and where all are."""
    names = list(known)
    meant = did_you_mean(wrong, names)
    some = listed(names)
    if len(names) > MOST_LISTED:
        typed = str(wrong)[:100].casefold()
        ranked = difflib.get_close_matches(typed, [name.casefold() for name in names], n=_CLOSEST, cutoff=0.3)
        close = [name for folded in ranked for name in names if name.casefold() == folded]
        where = f"`diffbench list {what}s` has all {len(names)}" if what in _LISTED else f"{len(names)} in all"
        some = f"{listed(list(dict.fromkeys([*close, *names]))[:_CLOSEST])}, … ({where})"
    return f"{meant} Known: {some}" if meant else f"; known: {some}"


def expected(field: FieldInfo, inner: tuple[str | int, ...] = ()) -> str:
    """What the value at ``inner`` below a field must be, from the field's annotation."""
    annotation: Any = field.annotation
    metadata: tuple[Any, ...] = tuple(field.metadata)
    for part in inner:
        annotation, metadata = _element(annotation, part)
    return _described(annotation, metadata)


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The texts that a field, or one member of its union, takes; empty where any text or none may stand."""
    members = members_of(field)
    return tuple(text for one in members if get_origin(one) is Literal for text in get_args(one) if type(text) is str)


def members_of(field: FieldInfo) -> list[Any]:
    """The types that a field takes, None apart: one, or those of its union."""
    annotation = _unwrapped(field.annotation)[0]
    union = get_origin(annotation) in (Union, UnionType)
    return [_unwrapped(one)[0] for one in (get_args(annotation) if union else (annotation,)) if one is not NoneType]


def _unwrapped(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(annotation) is Annotated:
        base, *metadata = get_args(annotation)
        return base, tuple(metadata)
    return annotation, ()


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, UnionType):
        members = [arg for arg in get_args(annotation) if arg is not NoneType]
        return members[0], len(members) < len(get_args(annotation))
    return annotation, False


def _element(annotation: Any, part: str | int) -> tuple[Any, tuple[Any, ...]]:
    annotation, _ = _unwrapped(_without_none(_unwrapped(annotation)[0])[0])
    args = get_args(annotation)
    if get_origin(annotation) is tuple:
        return _unwrapped(args[0] if args[-1] is Ellipsis else args[min(int(part), len(args) - 1)])
    return _unwrapped(args[1]) if get_origin(annotation) is dict else (Any, ())


def _described(annotation: Any, metadata: tuple[Any, ...]) -> str:
    annotation, optional = _without_none(annotation)
    annotation, more = _unwrapped(annotation)
    metadata = _flat((*metadata, *more))
    said = [item.text for item in metadata if isinstance(item, Says)]
    text = said[0] if said else _kind(annotation, metadata)
    return text + (", or null" if "," in text else " or null") * optional


def _flat(metadata: tuple[Any, ...]) -> tuple[Any, ...]:
    """Constraints of a ``Field(...)`` inside an annotation are one level deeper than those of a field."""
    flat: list[Any] = []
    for item in metadata:
        flat += item.metadata if isinstance(item, FieldInfo) else [item]
    return tuple(flat)


def _kind(annotation: Any, metadata: tuple[Any, ...]) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(shown(arg) for arg in args)
    if origin is tuple and args[-1] is Ellipsis:
        return f"a list of {_sizes(metadata)}elements, each {_described(*_unwrapped(args[0]))}"
    if origin is tuple:
        return f"a list of {len(args)} elements, each {_described(*_unwrapped(args[0]))}"
    if annotation in (int, float):
        return ("a whole number" if annotation is int else "a number") + _range(metadata)
    if annotation is bool:
        return "true or false"
    if annotation is str:
        return "text"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a mapping with keys among {listed(keys_of(annotation))}"
    return "a mapping" if origin is dict else "another value"


def keys_of(model: type[BaseModel]) -> list[str]:
    """Keys of a model as they are written in YAML."""
    return [field.alias or name for name, field in model.model_fields.items() if not field.exclude]


def _sizes(metadata: tuple[Any, ...]) -> str:
    low = next((item.min_length for item in metadata if isinstance(item, MinLen)), 0)
    high = next((item.max_length for item in metadata if isinstance(item, MaxLen)), None)
    if high is not None:
        return f"{low} to {high} "
    return f"at least {low} " if low else ""


def _range(metadata: tuple[Any, ...]) -> str:
    ge = next((item.ge for item in metadata if isinstance(item, Ge)), None)
    le = next((item.le for item in metadata if isinstance(item, Le)), None)
    if ge is not None and le is not None:
        return f" from {_number(ge)} to {_number(le)}"
    bounds = [f"at least {_number(ge)}"] if ge is not None else []
    bounds += [f"at most {_number(le)}"] if le is not None else []
    bounds += [f"above {_number(item.gt)}" for item in metadata if isinstance(item, Gt)]
    bounds += [f"below {_number(item.lt)}" for item in metadata if isinstance(item, Lt)]
    return (" of " if ge is not None or le is not None else " ") + " and ".join(bounds) if bounds else ""


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
