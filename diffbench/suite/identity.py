"""A cell's id: a hash of everything that decides its samples, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diffbench.catalog import SAMPLERS
from diffbench.catalog.diffusers import diffusers_version
from diffbench.diffusion.grid import TimeGrid
from diffbench.errors import CardError, UsageError
from diffbench.models.card import Card
from diffbench.models.card_parts import Codec
from diffbench.models.condition import Condition

VERSION = "diffbench-cell-v2"


def canonical_method(name: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The (sampler, complete options) that all samplers equal to this one, update for update, are known by."""
    seen: list[tuple[str, dict[str, Any]]] = []
    while True:
        entry = SAMPLERS[name]
        validated = entry.options.model_validate(options)
        found = (name, validated.model_dump())
        same = entry.same_as(validated)
        if same is None or found in seen:
            return found
        seen.append(found)
        name, options = same


def code_of(method: str) -> str | None:
    """The sha256 of the file that implements a sampler which does not come with diffbench; None for one that does.

    Whoever works on a sampler of their own changes its code, not its name: samples of the old code must not pass for
    those of the new. Raises UsageError if the file can't be found.
    """
    if SAMPLERS[method].scheduler is not None:
        return f"diffusers {diffusers_version()}"
    if SAMPLERS.built_in(method):
        return None
    target, code = SAMPLERS[method].target, SAMPLERS[method].code
    if not isinstance(target, str):
        if code is None:
            raise UsageError(f"sampler {method!r}: its entry must say what code it is, or name a module")
        return code
    module = target.partition(":")[0]
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise UsageError(f"sampler {method!r}: no file of module {module!r}; a sampler's class must be in a file")
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


def _code_of_factory(factory: str) -> str:
    """The sha256 of the file of a network's factory, found without importing anything. CardError if there is none."""
    top, *below = factory.partition(":")[0].split(".")
    spec = find_spec(top)
    places = [Path(place, *below) for place in (spec.submodule_search_locations or ())] if spec is not None else []
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    files += [Path(spec.origin)] if spec is not None and spec.origin is not None and not below else []
    for file in files:
        if file.is_file():
            return hashlib.sha256(file.read_bytes()).hexdigest()
    raise CardError(f"network factory {factory}: no such module on the path; PYTHONPATH says where to look")


def of_model(card: Card) -> dict[str, Any]:
    """The part of an identity that a card decides; its ``clip`` is the cell's.

    Files are known by their sha256, so that a moved checkpoint keeps its cells. Of a factory whose files are elsewhere
    the code need not be here either.
    """
    what = {
        "weights": card.weights_sha256,
        "network": None if card.network is None else card.network.model_dump(exclude_defaults=True),
        "prediction": card.prediction,
        "schedule": card.schedule_object().to_dict(),
        "time_scale": card.time_scale,
        "range": card.data.range,
        "shape": card.data.shape,
        "codec": None if card.codec is None else _codec(card.codec),
        "clip": card.clip,
    }
    if card.conditioning != "time" or card.sigma_data is not None:  # left out elsewhere: those ids stay as they were
        what["preconditioning"] = {"conditioning": card.conditioning, "sigma_data": card.sigma_data}
    if card.variance != "fixed":
        what["variance"] = card.variance
    if card.analytic is not None:
        what["analytic"] = card.analytic.model_dump()
    if card.labels is not None or card.text is not None:
        parts = {"labels": card.labels, "text": card.text}
        what["conditioned"] = {key: None if part is None else part.model_dump() for key, part in parts.items()}
    if card.network is not None and card.network.factory is not None:
        what["factory"] = None if card.missing else _code_of_factory(card.network.factory)
    return what


def _codec(codec: Codec) -> dict[str, Any]:
    """Without a shift, as codecs were known before they could have one."""
    given = codec.model_dump()
    return given if codec.shift else {key: value for key, value in given.items() if key != "shift"}


def model_key(
    card: Card, dtype: str, channels_last: bool, compiled: bool | str = False, condition: Condition | None = None
) -> str:
    """What a model's answers to the probe, and its speed, are known by: all that decides what its network computes."""
    what = {"model": of_model(card), "dtype": dtype, "channels_last": channels_last, "extractor": card.extractor}
    if compiled:
        what["compile"] = compiled
    if condition is not None:
        what["condition"] = condition.model_dump()
    return digest({"version": VERSION, **what})


def _stable(grid: TimeGrid) -> dict[str, list[float]]:
    """The realised grid to 12 digits: the last bits of log and exp differ between processors."""
    return {name: [float(f"{value:.12g}") for value in values] for name, values in grid.to_dict().items()}


def identity(
    *,
    model: dict[str, Any],
    method: str,
    method_options: dict[str, Any],
    grid: TimeGrid | None,
    dtype: str,
    channels_last: bool,
    compile: bool | str,
    condition: Condition | None,
    batch_size: int,
    shard: int,
    seed: int,
) -> dict[str, Any]:
    """What decides a cell's samples, JSON-able; ``model`` is :func:`of_model` of its card.

    Not the number of samples (each depends on its own index), the budget's label, display ids, or the device.
    """
    name, options = canonical_method(method, method_options)
    return {
        "version": VERSION,
        "model": model,
        "method": name,
        "code": code_of(name),
        "options": options,
        "grid": None if grid is None else _stable(grid),
        "final": None if grid is None else grid.final,
        "guidance": None if condition is None else condition.model_dump(),
        "compile": compile,
        "dtype": dtype,
        "channels_last": channels_last,
        "batch_size": batch_size,
        "shard": shard,
        "seed": seed,
    }


def digest(what: dict[str, Any]) -> str:
    """16 hexadecimal digits of the sha256 of the canonical JSON: sorted keys, no spaces, floats in shortest form."""
    text = json.dumps(what, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
