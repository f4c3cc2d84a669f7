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
class Argument:
    """What a signature says of an argument: one of ``choices``, or of ``kind`` bool, int, float or str; or nothing."""

    kind: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scheduler:
    """Arguments of a class: those of ``__init__``, those of ``step`` that a suite may give, and those that it must."""

    config: Mapping[str, Argument]
    step: Mapping[str, Argument]
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
                taken = methods["step"].args
                required = {one.arg for one in taken.args[: len(taken.args) - len(taken.defaults)]}
                config, step = _arguments(methods["__init__"], {"self"}), _arguments(methods["step"], _NOT_GIVEN)
                found[node.name] = Scheduler(config, step, frozenset(required - _NOT_GIVEN))
    return found


def _arguments(method: ast.FunctionDef, without: set[str]) -> dict[str, Argument]:
    arguments = (*method.args.args, *method.args.kwonlyargs)
    return {one.arg: _argument(one.annotation) for one in arguments if one.arg not in without}


def _argument(annotation: ast.expr | None) -> Argument:
    written = "" if annotation is None else ast.unparse(annotation)
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        inside = ast.literal_eval(annotation.slice)
        return Argument(choices=inside if isinstance(inside, tuple) else (inside,))
    return Argument(kind=written if written in ("bool", "int", "float", "str") else "")


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
