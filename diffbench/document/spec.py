"""Base of the pydantic models behind YAML documents; its errors name the value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, ValidationInfo
from pydantic import model_validator as validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from diffbench.document.tree import Path, Problem, Unreadable
from diffbench.document.words import Says, choices, did_you_mean, expected, keys_of, listed, members_of, shown, unknown

_EXPLAINED = "explained"

# The first character keeps out ".", "..", and what a command line would take for an option.
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+=-]{0,63}$"),
    Says("a name of 1 to 64 letters, digits, and . _ - + =, beginning with a letter, a digit or _"),
]


def fault(path: Path, message: str, value: Any = None, at_key: bool = False) -> InitErrorDetails:
    """One problem of a value, as a pydantic error; ``path`` is relative to the model that finds it."""
    kind = PydanticCustomError(_EXPLAINED, "{text}", {"text": message, "at_key": at_key})
    return InitErrorDetails(type=kind, loc=path, input=value)


def text_of_fault(problem: InitErrorDetails) -> str:
    """The message of a :func:`fault`."""
    kind = problem["type"]
    return str((kind.context or {})["text"]) if isinstance(kind, PydanticCustomError) else kind


class Spec(BaseModel):
    """A mapping of a YAML document: strict types, no unknown keys, no coercion; lists are given as tuples.

    ``later`` holds keys that the design foresees and this version refuses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=False)
    later: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """Bring a short form (a bare name, say) into the full form; anything unexpected is returned as it is."""
        return value

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """Find problems across keys; ``given`` is prepared but not validated, so that all problems show at once."""
        return ()

    @validator(mode="wrap")
    @classmethod
    def _explain(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        value = cls.prepare(value, info.context)
        found = list(cls.check(value, info.context)) if isinstance(value, Mapping) else []
        result: Self | None = None
        try:
            result = handler(value)
        except ValidationError as error:
            told = [problem["loc"] for problem in found if not _at_key(problem)]
            found = explained(cls, error, told=told) + found
        if result is None or found:
            raise ValidationError.from_exception_data(cls.__name__, found)
        return result


def _at_key(problem: InitErrorDetails) -> bool:
    kind = problem["type"]
    return isinstance(kind, PydanticCustomError) and bool((kind.context or {})["at_key"])


def explained(
    model: type[BaseModel],
    error: ValidationError,
    what: str = "key",
    beside: Iterable[str] = (),
    told: Iterable[Path] = (),
) -> list[InitErrorDetails]:
    """The errors of ``model.model_validate`` in our words; ``beside`` are further keys of the same mapping.

    Of values that are ``told`` of, at their place or inside, no type is asked for.
    """
    errors = error.errors(include_url=False)
    consequences = _consequences(model, errors, tuple(told))
    errors = [details for index, details in enumerate(errors) if index not in consequences]
    found = [_explained(model, details, what, beside) for details in errors]
    return list({(problem["loc"], text_of_fault(problem)): problem for problem in found}.values())


def _consequences(model: type[BaseModel], errors: list[ErrorDetails], told: tuple[Path, ...]) -> set[int]:
    """Which errors only follow from others, or from those that are ``told``.

    A list is too short because its elements have problems; a key is missing because it is mistyped; what a member of a
    union says of an element, the union says of the whole, unless the element is unreadable.
    """
    found: set[int] = set()
    known = keys_of(model)
    mistyped = [did_you_mean(one["loc"][0], known) for one in errors if _at(one, "extra_forbidden")]
    inside = {i for i, one in enumerate(errors) if _in_union(model, one) and len(one["loc"]) > 2}
    unreadable = {errors[i]["loc"][0] for i in inside if isinstance(errors[i]["input"], Unreadable)}
    for index, one in enumerate(errors):
        short = one["type"] == "too_short" and len(one["input"]) >= one["ctx"]["min_length"]
        meant = _at(one, "missing") and did_you_mean(one["loc"][0], [str(one["loc"][0])]) in mistyped
        place = one["loc"][:1] if _in_union(model, one) else one["loc"]
        better = bool(place) and one["type"] != _EXPLAINED and any(path[: len(place)] == place for path in told)
        if short or meant or better or (_in_union(model, one) and place[0] in unreadable):
            found.add(index)
    return found | inside


def _at(details: ErrorDetails, kind: str) -> bool:
    """Whether this is an error of that type, of a key of the model itself."""
    return details["type"] == kind and len(details["loc"]) == 1


def _in_union(model: type[BaseModel], details: ErrorDetails) -> bool:
    """Whether a member of a union has its say, of the whole value or of something in it; ours has no unions inside."""
    field = _field(model, details["loc"])
    return field is not None and len(members_of(field)) > 1 and details["type"] != _EXPLAINED


def _explained(model: type[BaseModel], details: ErrorDetails, what: str, beside: Iterable[str]) -> InitErrorDetails:
    kind, path, value = details["type"], details["loc"], details["input"]
    if _in_union(model, details):
        path = path[:1]
    if kind == _EXPLAINED:
        context = details["ctx"]
        return fault(path, context["text"], value, context["at_key"])
    if kind == "missing" and len(path) == 1:
        return fault((), f"the {what} {shown(path[0])} is missing; expected {_wanted(model, path)}", value)
    if kind == "extra_forbidden" and len(path) == 1:
        return fault(path, unknown_key(model, str(path[0]), what, beside), value, at_key=True)
    if kind == "missing":  # an element of a list of fixed length
        path = path[:-1]
    if not path and kind == "value_error":
        return fault(path, str(details["ctx"]["error"]), value)
    if not path or "[key]" in path:
        wanted = f"a mapping with keys {listed(keys_of(model))}" if not path else "text as key"
    else:
        wanted = _wanted(model, path, value)
    return fault(path, f"{shown(value)} is not allowed; expected {wanted}", value)


def _field(model: type[BaseModel], path: Path) -> FieldInfo | None:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    return fields.get(str(path[0])) if path else None


def _wanted(model: type[BaseModel], path: Path, value: Any = None) -> str:
    field = _field(model, path)
    if field is None:
        return "another value"
    return expected(field, path[1:]) + (did_you_mean(value, choices(field)) if len(path) == 1 else "")


def unknown_key(model: type[BaseModel], key: str, what: str = "key", beside: Iterable[str] = ()) -> str:
    """Sentence about a key that ``model`` doesn't have."""
    if key in getattr(model, "later", ()):
        return f"the {what} {shown(key)} is not implemented yet"
    return unknown(what, key, [*keys_of(model), *beside])


def option_faults(
    model: type[BaseModel], options: Mapping[str, Any], beside: Iterable[str] = ()
) -> list[InitErrorDetails]:
    """Problems of the options of a sampler, metric or grid, against its option model in the catalog."""
    try:
        model.model_validate(options, strict=True)
    except ValidationError as error:
        return explained(model, error, "option", beside)
    return []


def repeated(path: Path, values: Any) -> Iterable[InitErrorDetails]:
    """Problems of a list that holds a value twice."""
    seen: list[Any] = []
    for index, value in enumerate(values if isinstance(values, tuple) else ()):
        kind = float if type(value) is int else type(value)  # 1 and 1.0 are one value, 1 and true are two
        if not isinstance(value, Unreadable) and (kind, value) in seen:
            yield fault((*path, index), f"{shown(value)} is given twice", value)
        seen.append((kind, value))


def problems_of(error: ValidationError) -> list[Problem]:
    """What a ``Spec``'s ValidationError says, leaving out values that were reported as unreadable."""
    return [
        Problem(details["loc"], details["ctx"]["text"], at_key=details["ctx"]["at_key"])
        for details in error.errors(include_url=False)
        if not isinstance(details["input"], Unreadable)
    ]


def tuples(value: Any) -> Any:
    """Lists, at any depth, as tuples: what a ``Spec`` takes."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(tuples(item) for item in value) if isinstance(value, list | tuple) else value
