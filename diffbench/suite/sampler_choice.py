"""What a suite says of a sampler: its name, its options beside, its grid, and what is swept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from math import prod
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import InitErrorDetails

from diffbench.catalog import SAMPLERS, Final, SamplerEntry
from diffbench.catalog.diffusers import CHECKPOINT, PREFIX, schedulers
from diffbench.document.spec import Name, Spec, fault, option_faults, repeated, text_of_fault
from diffbench.document.tree import UNREADABLE, Unreadable
from diffbench.document.words import Says, did_you_mean, shown, unknown
from diffbench.samplers.scheduler_config import Fault, checkpoint_faults, scheduler_faults, value_faults
from diffbench.suite.choices import GridChoice, Values, split
from diffbench.suite.trial import Trial

# Two points of it are the ends between which an adaptive sampler chooses its steps.
ADAPTIVE_GRID = "log-snr"


class SamplerChoice(Spec):
    """A sampler of the catalog under an id of the suite's, with its options beside; ``sweep`` makes axes of options."""

    id: Name
    """Its name in tables and figures; the default is the sampler's."""
    sampler: Annotated[str, Says("the name of a sampler")]
    """A sampler of the catalog (diffbench list samplers), or diffusers:<SchedulerClass>; its options stand beside."""
    grid: GridChoice | None = None
    """Noise levels: a kind, or {kind: karras, rho: 7}; the default is that of the model's family."""
    final: Final = "denoise"
    """denoise: the last step lands on x0; sigma_min: the last noise level is not evaluated."""
    sweep: dict[str, Values] = {}
    """Axes: one cell for every combination of the options' values, such as {eta: [0.0, 0.5, 1.0]}."""
    options: dict[str, Any] = Field(default={}, exclude=True)

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """A bare name to a mapping; options split off; the id defaults to the sampler's or class's name."""
        value = {"sampler": value} if isinstance(value, str) else value
        if not isinstance(value, dict):
            return value
        value = split(value, ("id", "sampler", "grid", "final", "sweep"))
        name = value.get("sampler")
        known = isinstance(name, str) and name in SAMPLERS
        return {"id": name.removeprefix(PREFIX) if known else UNREADABLE, **value}

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """A known sampler, with options and swept values that it takes."""
        name, options, sweep = given.get("sampler"), given["options"], given.get("sweep", {})
        if isinstance(name, str) and name.startswith(PREFIX):
            yield from _scheduler_faults(name.removeprefix(PREFIX), given, (context or {}).get("trial"))
        if isinstance(name, str) and name.startswith(PREFIX) and name not in SAMPLERS:
            return
        if isinstance(name, str) and name not in SAMPLERS:
            yield fault(("sampler",), unknown("sampler", name, SAMPLERS), name)
        elif isinstance(name, str):
            sweep = sweep if isinstance(sweep, dict) else {}
            yield from _fixed_faults(SAMPLERS[name], options, sweep)
            yield from _ends_faults(SAMPLERS[name], given.get("grid"))
            found = [one for key in sweep for one in _swept_faults(SAMPLERS[name], options, key, sweep[key])]
            yield from found or _joint_faults(SAMPLERS[name], options, sweep)
        elif "sampler" not in given:
            for key in options:
                if meant := did_you_mean(key, ("sampler", "grid", "final", "sweep", "id")):
                    yield fault((key,), f"unknown key {shown(key)}{meant}", options[key], at_key=True)


def _scheduler_faults(scheduler: str, given: Mapping[str, Any], trial: Trial | None) -> Iterable[InitErrorDetails]:
    """Problems of a ``diffusers:`` sampler that its class decides."""
    if scheduler not in schedulers() and scheduler != CHECKPOINT:
        yield fault(("sampler",), unknown("scheduler of diffusers", scheduler, schedulers()), scheduler)
        return
    name = "a checkpoint's scheduler" if scheduler == CHECKPOINT else scheduler
    if given.get("grid") is not None:
        yield fault(("grid",), f"the grid of {name} is its own; leave grid out", given["grid"], at_key=True)
    if given.get("final", "denoise") != "denoise":
        yield fault(("final",), f"{name} ends as its config says; leave final out", given["final"], at_key=True)
    options, sweep = given["options"], given.get("sweep")
    yield from _config_faults(scheduler, options.get("config"), options.get("step"), trial)
    for key in ("config", "step"):
        values = sweep.get(key) if isinstance(sweep, dict) else None
        for index, value in enumerate(values if isinstance(values, tuple) else ()):
            given_here = {key: value}
            for problem in _config_faults(scheduler, given_here.get("config"), given_here.get("step"), trial):
                if problem["loc"][0] == key:
                    place = ("sweep", key, index, *problem["loc"][1:])
                    yield InitErrorDetails(type=problem["type"], loc=place, input=value)


def _config_faults(scheduler: str, config: Any, step: Any, trial: Trial | None) -> Iterable[InitErrorDetails]:
    """Problems of a class's arguments: names at their keys, values at theirs; then what the class itself refuses."""
    known = scheduler != CHECKPOINT  # which stands for classes that only the plan knows
    names: list[Fault] = scheduler_faults(scheduler, config, step) if known else checkpoint_faults(config, step)
    values: list[Fault] = value_faults(scheduler, config, step) if known else []
    for path, said in names:
        yield fault(path or ("sampler",), said, scheduler, at_key=bool(path))
    for path, said in values:
        yield fault(path, said, scheduler)
    given = isinstance(config, Mapping) and not any(isinstance(value, Unreadable) for value in config.values())
    if known and given and trial is not None and not names and not values:
        if (refused := trial(scheduler, config)) is not None:
            yield fault(("config",), refused, scheduler)


_BESIDE = ("id", "sampler", "grid", "final", "sweep")


def _ends_faults(entry: SamplerEntry, grid: Any) -> Iterable[InitErrorDetails]:
    """A sampler that chooses its own steps takes the ends of a grid alone."""
    kind = grid.get("kind") if isinstance(grid, dict) else grid
    if entry.adaptive and isinstance(kind, str) and kind != ADAPTIVE_GRID:
        message = f"{entry.name} chooses its own steps; only {ADAPTIVE_GRID}, with sigma_max and sigma_min, says where"
        yield fault(("grid",), message, kind)


def _fixed_faults(
    entry: SamplerEntry, options: Mapping[str, Any], sweep: Mapping[str, Any]
) -> Iterable[InitErrorDetails]:
    """Problems of options beside the id; an option that the method requires may be swept instead."""
    swept = {key: values[0] for key, values in sweep.items() if isinstance(values, tuple) and values}
    for problem in option_faults(entry.options, {**swept, **options}, _BESIDE):
        path = problem["loc"]
        if not path or path[0] in options:
            yield problem


def _joint_faults(
    entry: SamplerEntry, options: Mapping[str, Any], sweep: Mapping[str, Any]
) -> Iterable[InitErrorDetails]:
    """The first combination of swept values that are fine one by one, but not together."""
    if not all(isinstance(values, tuple) for values in sweep.values()) or prod(map(len, sweep.values())) > 100_000:
        return
    for values in product(*sweep.values()):
        chosen = dict(zip(sweep, values, strict=True))
        for problem in option_faults(entry.options, {**options, **chosen}) if chosen else ():
            if not problem["loc"]:
                said = ", ".join(f"{key}={shown(value)}" for key, value in chosen.items())
                yield fault(("sweep",), f"{said}: {text_of_fault(problem)}", sweep)
                return


def _swept_faults(entry: SamplerEntry, options: Mapping[str, Any], key: str, values: Any) -> Iterable[InitErrorDetails]:
    known = entry.options.model_fields
    if key in ("grid", "final"):
        yield fault(
            ("sweep", key),
            f"sweeping {key} is not implemented yet; give one sampler for each, with ids",
            values,
            at_key=True,
        )
    elif key not in known:
        yield fault(("sweep", key), unknown(f"option of {entry.name}", key, known), values, at_key=True)
    elif key in options:
        yield fault(("sweep", key), f"{key} is fixed above; give it once", values, at_key=True)
    else:
        yield from repeated(("sweep", key), values)
        for index, value in enumerate(values if isinstance(values, tuple) else ()):
            for problem in option_faults(entry.options, {**options, key: value}):
                path = problem["loc"]
                if path and path[0] == key:
                    kind, given = problem["type"], problem["input"]
                    yield InitErrorDetails(type=kind, loc=("sweep", key, index, *path[1:]), input=given)
