"""The schedulers of the installed diffusers as samplers, read from its sources, without importing it or torch."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import Field

from diffbench.catalog.entries import Options, SamplerEntry

PREFIX = "diffusers:"
# What the model decides: never in a config.
FROM_THE_MODEL = (
    "num_train_timesteps",
    "trained_betas",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "prediction_type",
)
_TWICE = frozenset({"HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"})
# Of a class whose noise no key of its config decides.
_ALWAYS_STOCHASTIC = frozenset(
    {
        "DDPMParallelScheduler",
        "DDPMScheduler",
        "EulerAncestralDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "LCMScheduler",
        "SASolverScheduler",
        "TCDScheduler",
    }
)


class SchedulerOptions(Options):
    """Options of ``diffusers:<SchedulerClass>``."""

    config: dict[str, Any] = Field(default={}, description="of the class; betas and prediction are the model's")


@cache
def scheduler_arguments() -> Mapping[str, frozenset[str]]:
    """Arguments of ``__init__`` of every class with ``set_timesteps`` and ``step``; none without diffusers."""
    spec = find_spec("diffusers")
    if spec is None or spec.origin is None:
        return {}
    found: dict[str, frozenset[str]] = {}
    for path in sorted(Path(spec.origin).parent.glob("schedulers/scheduling_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            methods = {item.name: item for item in getattr(node, "body", ()) if isinstance(item, ast.FunctionDef)}
            if isinstance(node, ast.ClassDef) and methods.keys() >= {"__init__", "set_timesteps", "step"}:
                taken = methods["__init__"].args
                found[node.name] = frozenset(one.arg for one in (*taken.args, *taken.kwonlyargs)) - {"self"}
    return found


def diffusers_version() -> str:
    """Version of the installed diffusers, whose code decides the samples of its schedulers."""
    return version("diffusers")


def scheduler_entry(name: str) -> SamplerEntry:
    """The entry of ``diffusers:<SchedulerClass>``. Raises KeyError for a class that the installed diffusers lacks."""
    scheduler = name.removeprefix(PREFIX)
    if scheduler not in scheduler_arguments():
        raise KeyError(name)
    return SamplerEntry(
        name=name,
        target="diffbench.samplers.diffusers_scheduler:DiffusersScheduler",
        summary=f"{scheduler} of diffusers on its own grid",
        source=f"diffusers {diffusers_version()}",
        order=None,
        stochastic=lambda options: (
            scheduler in _ALWAYS_STOCHASTIC or str(options.config.get("algorithm_type", "")).startswith("sde-")
        ),
        options=SchedulerOptions,
        evaluations=lambda steps, final, options: _evaluations(scheduler, steps, options.config),
        needs=frozenset({"betas"}),
        scheduler=scheduler,
    )


def _evaluations(scheduler: str, steps: int, config: Mapping[str, Any]) -> int:
    """Length of the class's ``timesteps``; a run that counts another number fails."""
    if scheduler in _TWICE:
        return 2 * steps - 1
    if scheduler == "PNDMScheduler":  # Runge-Kutta warm-up, or one repeated evaluation in its place
        return steps + (1 if config.get("skip_prk_steps") else 9)
    return steps


def scheduler_faults(scheduler: str, config: Any) -> list[tuple[str | None, str]]:
    """Problems of a known class with its config, each as (key of the config or None, sentence)."""
    takes = scheduler_arguments()[scheduler]
    if "trained_betas" not in takes:
        return [(None, f"{scheduler} is not supported: it takes no trained_betas, hence not the model's schedule")]
    faults: list[tuple[str | None, str]] = []
    for key in config if isinstance(config, Mapping) else ():
        if key in FROM_THE_MODEL:
            faults.append((key, f'"{key}" comes from the model; leave it out of the config'))
        elif key not in takes:
            known = ", ".join(sorted(takes - set(FROM_THE_MODEL)))
            faults.append((key, f'{scheduler} takes no "{key}"; it takes {known}'))
    return faults
