"""What the schedulers of diffusers refuse of a config, read from their signatures, without diffusers or torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffbench.catalog.diffusers import FROM_THE_MODEL, Argument, schedulers
from diffbench.document.tree import Unreadable
from diffbench.document.words import did_you_mean, or_known, shown

Fault = tuple[tuple[str, ...], str]
"""The path among a sampler's options, and a sentence."""

_WORDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}
_TYPES: Mapping[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}


def scheduler_faults(scheduler: str, config: Any, step: Any) -> list[Fault]:
    """Arguments that a known class does not take, or that a suite can't give it; or why it can't be used at all."""
    known = schedulers()[scheduler]
    if "trained_betas" not in known.config:
        return [((), f"{scheduler} is not supported: it takes no trained_betas, hence not the model's schedule")]
    if known.required:
        return [((), f"{scheduler} is not supported: its step needs {', '.join(sorted(known.required))}")]
    if "Inverse" in scheduler:
        return [((), f"{scheduler} is not supported: it goes from data to noise")]
    takes = {"config": sorted(known.config.keys() - set(FROM_THE_MODEL)), "step": sorted(known.step)}
    faults = list(_from_the_model(config))
    for name, given, whose in (("config", config, scheduler), ("step", step, f"step of {scheduler}")):
        for key, value in given.items() if isinstance(given, Mapping) else ():
            if key == "use_flow_sigmas" and value and name == "config":
                said = f"\"{key}\": {scheduler} would step on a flow's noise levels, not the model's"
                faults.append(((name, key), said))
            elif key not in takes[name] and key not in FROM_THE_MODEL:
                faults.append(((name, key), f"{whose} takes no {shown(key)}{or_known('argument', key, takes[name])}"))
    return faults


def checkpoint_faults(config: Any, step: Any) -> list[Fault]:
    """Arguments that no class takes, whichever a checkpoint comes with."""
    faults = list(_from_the_model(config))
    for name, given in (("config", config), ("step", step)):
        known = {key for one in schedulers().values() for key in getattr(one, name)} - set(FROM_THE_MODEL)
        for key in given if isinstance(given, Mapping) else ():
            if key not in known and key not in FROM_THE_MODEL:
                said = or_known("argument", key, sorted(known))
                faults.append(((name, key), f"no scheduler of diffusers takes {shown(key)}{said}"))
    return faults


def value_faults(scheduler: str, config: Any, step: Any) -> list[Fault]:
    """Values of known arguments that are not what the signature says; null is left to the class."""
    faults: list[Fault] = []
    for name, given in (("config", config), ("step", step)):
        takes: Mapping[str, Argument] = getattr(schedulers()[scheduler], name)
        for key, value in given.items() if isinstance(given, Mapping) else ():
            wanted = _wanted(takes.get(key, Argument()), value)
            if wanted is not None and value is not None and not isinstance(value, Unreadable):
                faults.append(((name, key), f"{shown(value)} is not allowed; expected {wanted}"))
    return faults


def _from_the_model(config: Any) -> list[Fault]:
    given = [key for key in config if key in FROM_THE_MODEL] if isinstance(config, Mapping) else []
    return [(("config", key), f'"{key}" comes from the model; leave it out of the config') for key in given]


def _wanted(argument: Argument, value: Any) -> str | None:
    """What an argument must be, if ``value`` is not."""
    if argument.choices:
        meant = did_you_mean(value, argument.choices)
        listed = ", ".join(map(shown, argument.choices))
        return None if value in argument.choices else ("one of " if len(argument.choices) > 1 else "") + listed + meant
    types = _TYPES.get(argument.kind)
    fine = types is None or (isinstance(value, types) and (argument.kind == "bool") == isinstance(value, bool))
    return None if fine else _WORDS[argument.kind]
