"""The sampler ``diffusers:checkpoint``: each model with the scheduler, and its config, that its checkpoint states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffbench.catalog import SAMPLERS, SamplerEntry
from diffbench.catalog.diffusers import CHECKPOINT, FROM_THE_MODEL, PREFIX, schedulers
from diffbench.document.words import listed
from diffbench.models.card import Card
from diffbench.samplers.scheduler_config import scheduler_faults

# What decides a scheduler's grid and its last step: a class that knows one of them must have it stated.
DECISIVE = ("timestep_spacing", "steps_offset", "set_alpha_to_one", "final_sigmas_type", "clip_sample")


def is_checkpoint(entry: SamplerEntry) -> bool:
    """Whether a sampler stands for the scheduler of each model's own checkpoint."""
    return entry.scheduler == CHECKPOINT


def as_shipped(card: Card, given: Mapping[str, Any]) -> tuple[SamplerEntry, dict[str, Any]] | str:
    """The scheduler of a card as a sampler, with its complete options, or why there is none.

    ``given`` are the options of the suite, which go before the checkpoint's. The scheduler clips by itself, as its
    config says, so that the model must not.
    """
    if card.scheduler is None:
        return f"{card.name} comes with no scheduler of diffusers"
    name = card.scheduler.class_name
    if name not in schedulers():
        return f"{card.name} comes with {name}, which has no set_timesteps and step that could be called here"
    takes = schedulers()[name].config
    stated = {**card.scheduler.config, **given["config"]}
    config = {key: value for key, value in stated.items() if key in takes and key not in FROM_THE_MODEL}
    for _, said in scheduler_faults(name, {**config, **given["config"]}, given["step"]):
        return said
    if unsaid := [key for key in DECISIVE if key in takes and key not in config]:
        where = "say it under card: {scheduler: {config: …}}"
        return f"the scheduler's config of {card.name} does not state {listed(unsaid)}; {where}"
    return SAMPLERS[PREFIX + name], {"config": config, "step": dict(given["step"])}
