"""``diffbench.run(models={...}, samplers={...})``: objects beside names, as the suite that would name them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from diffbench.catalog import SAMPLERS, SamplerEntry
from diffbench.document.words import shown
from diffbench.errors import UsageError
from diffbench.fingerprint import fingerprint, why_unknown

if TYPE_CHECKING:
    from diffbench.models.own_model import OwnModel

NAME = "objects"


@dataclass
class Objects:
    """A suite whose models or samplers are objects in memory.

    ``unidentified`` says of each whose code or data can't be hashed why: its samples get new ids in every run, so that
    they are never taken for those of another object.
    """

    suite: dict[str, Any]
    entries: list[SamplerEntry] = field(default_factory=list)
    models: dict[str, OwnModel] = field(default_factory=dict)
    unidentified: list[str] = field(default_factory=list)

    @property
    def device(self) -> str | None:
        """The one device that the models' networks are on; None if there is none, or several."""
        found = {str(model.device) for model in self.models.values() if model.device is not None}
        return found.pop() if len(found) == 1 else None

    @contextmanager
    def lent(self) -> Iterator[None]:
        """The suite can be read and run inside; networks are in evaluation mode, and as before afterwards."""
        from diffbench.models.lent import lending

        with ExitStack() as stack:
            for model in self.models.values():
                stack.enter_context(model.evaluating())
            stack.enter_context(SAMPLERS.using(self.entries))
            stack.enter_context(lending({name: model.card(name) for name, model in self.models.items()}))
            yield


def objects(
    suite: Mapping[str, Any] | None,
    models: Mapping[str, Any] | Iterable[Any] | None,
    samplers: Mapping[str, Any] | Iterable[Any],
    settings: Mapping[str, Any],
) -> Objects:
    """Put a suite together.

    Args:
        suite: what else the suite says.
        models: id to an object (``own_model``), or to what a suite says of a model: a name, a path, a mapping; or a
            list of these, as in a suite.
        samplers: id to a function, an entry, or what a suite says of a sampler; or a list of names and entries, as in a
            suite; or entries that the suite names.
        settings: further keys of the suite; None: not given.

    Raises:
        UsageError: a key is given twice, or an object is none that can be run.
    """
    made = Objects({"name": NAME, **(suite or {})})
    given = {key: value for key, value in settings.items() if value is not None}
    if models:
        given["models"] = _models(made, models)
    if chosen := _samplers(made, samplers, "samplers" in (suite or {})):
        given["samplers"] = chosen
    if twice := given.keys() & (suite or {}).keys():
        raise UsageError(f"{min(twice)} is given twice: in the suite and beside it")
    made.suite |= given
    return made


def _models(made: Objects, models: Mapping[str, Any] | Iterable[Any]) -> list[Any]:
    """As a suite lists them; an object needs an id."""
    if isinstance(models, Mapping):
        return [_model(made, name, value) for name, value in models.items()]
    listed = list(models) if isinstance(models, Iterable) and not isinstance(models, str) else [None]
    if not all(isinstance(one, str | Mapping) for one in listed):
        raise UsageError(
            f"models is a list of names, or a mapping of ids to models, such as {{'mine': model}}, not {shown(models)}"
        )
    return listed


def _samplers(made: Objects, samplers: Mapping[str, Any] | Iterable[Any], in_suite: bool) -> list[Any]:
    """As a suite lists them; none for entries alone of a suite that names its samplers itself."""
    if isinstance(samplers, Mapping):
        return [_sampler(made, name, value) for name, value in samplers.items()]
    listed = [None] if isinstance(samplers, str) else list(samplers)
    if not all(isinstance(one, str | Mapping | SamplerEntry) for one in listed):
        raise UsageError(
            "samplers is a list of names and entries, or a mapping of ids to samplers, such as {'mine': fn}"
        )
    entries = [one for one in listed if isinstance(one, SamplerEntry)]
    if in_suite and len(entries) == len(listed):
        made.entries += entries
        return []
    return [_sampler(made, one.name, one) if isinstance(one, SamplerEntry) else one for one in listed]


def _model(made: Objects, name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {"id": name, **value}
    if isinstance(value, str):
        from diffbench.models.find import looks_like_path

        return {"id": name, "source" if looks_like_path(value) else "name": value}
    from diffbench.models.own_model import own_model

    made.models[name] = own = own_model(name, value)
    if why := own.unidentified:
        made.unidentified.append(f"model {name}: {why}")
    return {"id": name, "name": name}


def _sampler(made: Objects, name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {"id": name, **value}
    if isinstance(value, str):
        return {"id": name, "sampler": value}
    if isinstance(value, SamplerEntry):
        made.entries.append(value)
        return {"id": name, "sampler": value.name}
    if not callable(value):
        kind = type(value).__name__
        raise UsageError(f"sampler {name}: {kind} is no function fn(denoise, x, sigmas, noise), entry or name")
    from diffbench.samplers.function import function_entry

    code = fingerprint(value)
    if code is None:
        made.unidentified.append(f"sampler {name}: {why_unknown(value)}")
    made.entries.append(function_entry(name, value, code or f"unidentified {uuid4().hex}"))
    return {"id": name, "sampler": name}
