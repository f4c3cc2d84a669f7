"""The schedulers of the installed diffusers as samplers, read from its sources, without importing it or torch."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import Field

from diffbench.catalog.entries import Options, SamplerEntry

PREFIX = "diffusers:"
CHECKPOINT = "checkpoint"
"""Stands for the class and the config that each model's own checkpoint comes with."""
# What the model decides: never in a config.
FROM_THE_MODEL = (
    "num_train_timesteps",
    "trained_betas",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "prediction_type",
)
_TWICE = frozenset(
    {"DPMSolverSDEScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"}
)
# Of a class whose noise no key of its config decides.
_ALWAYS_STOCHASTIC = frozenset(
    {
        "DDPMParallelScheduler",
        "DDPMScheduler",
        "DPMSolverSDEScheduler",
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
    step: dict[str, Any] = Field(default={}, description="arguments of its step, such as eta or s_churn")


@dataclass(frozen=True)
class Scheduler:
    """Arguments of a class: those of ``__init__``, those of ``step`` that a suite may give, and those that it must."""

    config: frozenset[str]
    step: frozenset[str]
    required: frozenset[str]


# What the run itself passes to ``step``, or what would bring in noise that is not the run's.
_NOT_GIVEN = {"self", "model_output", "timestep", "sample", "generator", "return_dict", "variance_noise", "noise"}


@cache
def schedulers() -> Mapping[str, Scheduler]:
    """Every class with ``set_timesteps`` and ``step``, by name; none without diffusers."""
    spec = find_spec("diffusers")
    if spec is None or spec.origin is None:
        return {}
    found: dict[str, Scheduler] = {}
    for path in sorted(Path(spec.origin).parent.glob("schedulers/scheduling_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            methods = {item.name: item for item in getattr(node, "body", ()) if isinstance(item, ast.FunctionDef)}
            if isinstance(node, ast.ClassDef) and methods.keys() >= {"__init__", "set_timesteps", "step"}:
                config, step = (_arguments(methods[name]) for name in ("__init__", "step"))
                taken = methods["step"].args
                required = {one.arg for one in taken.args[: len(taken.args) - len(taken.defaults)]}
                found[node.name] = Scheduler(config - {"self"}, step - _NOT_GIVEN, frozenset(required - _NOT_GIVEN))
    return found


def _arguments(method: ast.FunctionDef) -> frozenset[str]:
    return frozenset(one.arg for one in (*method.args.args, *method.args.kwonlyargs))


def diffusers_version() -> str:
    """Version of the installed diffusers, whose code decides the samples of its schedulers."""
    return version("diffusers")


def scheduler_entry(name: str) -> SamplerEntry:
    """The entry of ``diffusers:<SchedulerClass>``, or of ``diffusers:checkpoint``, which no model runs as such.

    Raises KeyError for a class that the installed diffusers lacks.
    """
    scheduler = name.removeprefix(PREFIX)
    if scheduler not in schedulers() and scheduler != CHECKPOINT:
        raise KeyError(name)
    return SamplerEntry(
        name=name,
        target="diffbench.samplers.diffusers_scheduler:DiffusersScheduler",
        summary=f"{scheduler} of diffusers on its own grid",
        source=f"diffusers {diffusers_version()}",
        order=None,
        stochastic=lambda options: (
            scheduler in _ALWAYS_STOCHASTIC
            or str(options.config.get("algorithm_type", "")).startswith("sde-")
            or any(options.step.get(key) for key in ("eta", "s_churn"))
        ),
        options=SchedulerOptions,
        evaluations=lambda steps, final, options: _evaluations(scheduler, steps, options.config),
        scheduler=scheduler,
    )


def _evaluations(scheduler: str, steps: int, config: Mapping[str, Any]) -> int:
    """Length of the class's ``timesteps``; a run that counts another number fails."""
    if scheduler in _TWICE:
        return 2 * steps - 1
    if scheduler == "PNDMScheduler":  # Runge-Kutta warm-up, or one repeated evaluation in its place
        return steps + (min(steps - 1, 1) if config.get("skip_prk_steps") else 9)
    return steps


def scheduler_faults(scheduler: str, config: Any, step: Any) -> list[tuple[tuple[str, ...], str]]:
    """Problems of a known class with ``config`` and ``step``, each as (path among the options, sentence)."""
    takes = schedulers()[scheduler].config
    if "trained_betas" not in takes:
        return [((), f"{scheduler} is not supported: it takes no trained_betas, hence not the model's schedule")]
    if required := sorted(schedulers()[scheduler].required):
        return [((), f"{scheduler} is not supported: its step needs {', '.join(required)}")]
    if "Inverse" in scheduler:
        return [((), f"{scheduler} is not supported: it goes from data to noise")]
    faults: list[tuple[tuple[str, ...], str]] = []
    for key in config if isinstance(config, Mapping) else ():
        if key in FROM_THE_MODEL:
            faults.append((("config", key), f'"{key}" comes from the model; leave it out of the config'))
        elif key == "use_flow_sigmas" and config[key]:
            faults.append(
                (("config", key), f"\"{key}\": {scheduler} would step on a flow's noise levels, not the model's")
            )
        elif key not in takes:
            known = ", ".join(sorted(takes - set(FROM_THE_MODEL)))
            faults.append((("config", key), f'{scheduler} takes no "{key}"; it takes {known}'))
    known = ", ".join(sorted(schedulers()[scheduler].step)) or "nothing that a suite could give"
    for key in step if isinstance(step, Mapping) else ():
        if key not in schedulers()[scheduler].step:
            faults.append((("step", key), f'step of {scheduler} takes no "{key}"; it takes {known}'))
    return faults
