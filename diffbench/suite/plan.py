"""A suite to its cells: models x samplers x budgets, sweeps multiplied out, in the suite's order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from pydantic import ValidationError

from diffbench.catalog import GRIDS, SAMPLERS, Options, SamplerEntry
from diffbench.diffusion.grid import Final, TimeGrid, default_grid, time_grid
from diffbench.diffusion.schedule import LinearFlow, NoiseSchedule
from diffbench.document.words import shown
from diffbench.errors import ScheduleError, UsageError
from diffbench.models.card import Card
from diffbench.models.condition import Condition, Guidance
from diffbench.suite.cell import BudgetKind, Cell
from diffbench.suite.checkpoint_scheduler import as_shipped, is_checkpoint
from diffbench.suite.choices import GridChoice
from diffbench.suite.identity import digest, identity, of_model
from diffbench.suite.model_choice import AXES, ModelChoice
from diffbench.suite.sampler_choice import ADAPTIVE_GRID, SamplerChoice
from diffbench.suite.select import select
from diffbench.suite.solution import Solutions
from diffbench.suite.spec import Suite, layout

__all__ = ["BudgetKind", "Cell", "plan"]

Budget = tuple[BudgetKind, int] | None
"""What a cell may spend; None: its sampler chooses its own steps."""


@dataclass(frozen=True)
class _Model:
    """A model with one combination of its swept values, in ``options``."""

    id: str
    card: Card
    schedule: NoiseSchedule
    dtype: str
    condition: Condition | None
    options: dict[str, Any]
    identity: dict[str, Any]


@dataclass(frozen=True)
class _Sampler:
    """A sampler with one combination of its swept values, in ``options``; ``complete`` are all its options."""

    choice: SamplerChoice
    entry: SamplerEntry
    options: dict[str, Any]
    complete: dict[str, Any]

    @property
    def typed(self) -> Options:
        """All its options, as the entry's functions take them."""
        return self.entry.options.model_validate(self.complete)


def plan(suite: Suite, only: str | None = None) -> list[Cell]:
    """All cells of a suite, or those that ``only`` selects; a cell that can't be run is there with its reason.

    Cells with the same samples are all there; those after the first say which it is (``same_as``).

    Raises CardError for a model that can't be read any more, UsageError for a selection that makes no sense.
    """
    return _marked(select(list(_Planner(suite).cells()), only))


def _marked(cells: list[Cell]) -> list[Cell]:
    first: dict[str, str] = {}
    marked = []
    for cell in cells:
        known = cell.key if cell.skip else first.setdefault(cell.id, cell.key)
        marked.append(cell if known == cell.key else replace(cell, same_as=known))
    return marked


class _Planner:
    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.models = {choice.id: list(_models(choice, suite.run.dtype)) for choice in suite.models}
        self.samplers = {choice.id: list(_samplers(choice)) for choice in suite.samplers}
        self.grids: dict[tuple[object, ...], TimeGrid | str] = {}
        self.solutions = Solutions(suite.metrics)

    def cells(self) -> Iterator[Cell]:
        """Every cell once: the budgets' first, then those of ``include``, without those of ``exclude``."""
        seen: set[str] = set()
        for model, sampler, budget in self.wanted():
            if self.excluded(model, sampler, budget):
                continue
            cell = self.cell(model, sampler, budget)
            if cell.key not in seen:
                seen.add(cell.key)
                yield cell

    def wanted(self) -> Iterator[tuple[_Model, _Sampler, Budget]]:
        suite = self.suite
        budgets: list[tuple[BudgetKind, int]] = [("nfe", budget) for budget in suite.budgets.nfe]
        budgets += [("steps", budget) for budget in suite.budgets.steps]
        models = [model for choice in suite.models for model in self.models[choice.id]]
        samplers = [sampler for choice in suite.samplers for sampler in self.samplers[choice.id]]
        for model, sampler in product(models, samplers):
            yield from ((model, sampler, budget) for budget in ([None] if sampler.entry.adaptive else budgets))
        for rule in suite.include:
            more: Budget = ("steps", rule.steps or 0) if rule.nfe is None else ("nfe", rule.nfe)
            for model, sampler in product(self.models[rule.model], self.samplers[rule.sampler]):
                yield model, sampler, None if sampler.entry.adaptive else more

    def excluded(self, model: _Model, sampler: _Sampler, budget: Budget) -> bool:
        return any(
            rule.model in (None, model.id)
            and rule.sampler in (None, sampler.choice.id)
            and (rule.nfe is None or budget == ("nfe", rule.nfe))
            and (rule.steps is None or budget == ("steps", rule.steps))
            for rule in self.suite.exclude
        )

    def cell(self, model: _Model, sampler: _Sampler, budget: Budget) -> Cell:
        model, sampler = _as_shipped(model, sampler)
        suite, card, choice, entry = self.suite, model.card, sampler.choice, sampler.entry
        default = ADAPTIVE_GRID if entry.adaptive else _default_grid(model)
        grid_choice = choice.grid or GridChoice.model_validate(default)
        found = self.realise(model, sampler, grid_choice, budget)
        skip = found if isinstance(found, str) else None
        grid = found if isinstance(found, TimeGrid) else None
        steps = grid.steps if grid is not None else found if isinstance(found, int) else None
        batch_size = min(suite.run.batch_size, suite.samples.shard)
        channels_last = layout(suite.run.channels_last)
        decides = identity(
            model=model.identity,
            method=entry.name,
            method_options=sampler.complete,
            grid=grid,
            dtype=model.dtype,
            channels_last=channels_last,
            compile=suite.run.compile,
            condition=model.condition,
            batch_size=batch_size,
            shard=suite.samples.shard,
            seed=suite.seed,
        )
        # A skipped cell has no samples; its id only has to differ from all others.
        if entry.scheduler is not None:  # its class, config and version decide its grid, together with
            decides["steps"] = steps
        own = decides if skip is None else {**decides, "skip": skip, "budget": budget, "sampler": choice.id}
        planned = Cell(
            id=digest(own),
            model=model.id,
            family=card.family,
            card=card,
            dtype=model.dtype,
            channels_last=channels_last,
            compile=suite.run.compile,
            condition=model.condition,
            sampler=choice.id,
            method=entry.name,
            method_options=sampler.complete,
            options={**model.options, **sampler.options},
            grid=grid,
            grid_label=_grid_label(grid_choice, choice.final, entry),
            budget_kind=None if budget is None else budget[0],
            budget=None if budget is None else budget[1],
            steps=steps,
            nfe=None if steps is None or budget is None else entry.nfe(steps, choice.final, sampler.typed),
            n=suite.samples.n,
            shard=suite.samples.shard,
            batch_size=batch_size,
            seed=suite.seed,
            skip=skip,
            identity=own,
            same_as=None,
            keep_trajectories=suite.run.keep.trajectories,
        )
        return self.solutions.beside(planned, model.schedule, grid_choice)

    def realise(self, model: _Model, sampler: _Sampler, grid: GridChoice, budget: Budget) -> TimeGrid | int | str:
        """The cell's grid, the steps of a sampler with a grid of its own, or why the cell can't be run."""
        entry, final = sampler.entry, sampler.choice.final
        if is_checkpoint(entry):
            return str(as_shipped(model.card, sampler.complete))
        if unmet := _unmet(entry, sampler.typed, model):
            return unmet
        if budget is None:
            steps: int | None = 2 if final == "denoise" else 1  # one stretch, and the step onto sigma = 0
        elif budget[0] == "steps":
            steps = budget[1]
        else:
            steps = entry.steps_within(budget[1], final, sampler.typed)
        fewest = entry.fewest_steps(final)
        if steps is None or steps < fewest:
            asked = "" if budget is None else f"{budget[1]} {'steps' if budget[0] == 'steps' else 'evaluations'}"
            cost = entry.nfe(fewest, final, sampler.typed)
            least = "one step" if fewest == 1 else f"{fewest} steps"
            return f"{asked} are too few: {least} of {entry.name} cost{'s' * (fewest == 1)} {cost}"
        if entry.scheduler is not None:
            return steps
        key = (id(model.schedule), grid.kind, tuple(sorted(grid.options.items())), steps, final)
        if key not in self.grids:
            try:
                self.grids[key] = time_grid(model.schedule, steps, grid.kind, final, **grid.options)
            except ScheduleError as error:
                self.grids[key] = str(error)
        return self.grids[key]


def _default_grid(model: _Model) -> Any:
    """The family's own grid; of a flow whose checkpoint states a shift, the one that is shifted so."""
    scheduler = model.card.scheduler
    shift = None if scheduler is None else scheduler.config.get("shift")
    if isinstance(model.schedule, LinearFlow) and shift not in (None, 1, 1.0):
        return {"kind": "shifted", "shift": shift}
    return default_grid(model.schedule)


def _as_shipped(model: _Model, sampler: _Sampler) -> tuple[_Model, _Sampler]:
    """For ``diffusers:checkpoint`` the scheduler of the model's own checkpoint, if there is one, and no other clip."""
    found = as_shipped(model.card, sampler.complete) if is_checkpoint(sampler.entry) else ""
    if isinstance(found, str):
        return model, sampler
    card = model.card.model_copy(update={"clip": None})
    return replace(model, card=card, identity=of_model(card)), replace(sampler, entry=found[0], complete=found[1])


def _unmet(entry: SamplerEntry, options: Any, model: _Model) -> str | None:
    """What a sampler needs and the model does not offer, in words."""
    schedule, needs = model.schedule, entry.needs_of(options)
    if "sde" in needs and not schedule.has_sde:
        kind = "a discrete schedule" if schedule.discrete else "a schedule without an SDE"
        return f"{entry.name} needs the family's SDE; {model.id} has {kind}"
    if "variance_preserving" in needs and not schedule.variance_preserving:
        return f"{entry.name} needs a variance-preserving schedule; that of {model.id} is not"
    if "learned_variance" in needs and model.card.variance == "fixed":
        return f"{entry.name} with variance learned needs a network that predicts it; that of {model.id} does not"
    return None


def _models(choice: ModelChoice, dtype: str) -> Iterator[_Model]:
    card = choice.read_card()
    schedule = card.schedule_object()
    swept = {key: getattr(choice.sweep, key) for key in AXES if getattr(choice.sweep, key) is not None}
    for values in product(*swept.values()):
        options = dict(zip(swept, values, strict=True))
        clip = options.get("clip", choice.clip if "clip" in choice.model_fields_set else card.clip)
        own = card.model_copy(update={"clip": clip})
        listed = {key: _plain(value) for key, value in options.items()}
        own_dtype = options.get("dtype", choice.dtype or dtype)
        condition = choice.condition(options.get("guidance"))
        yield _Model(choice.id, own, schedule, own_dtype, condition, listed, of_model(own))


def _plain(value: Any) -> Any:
    """A swept value as the table shows it."""
    if isinstance(value, Guidance):
        return value.scale if value.interval is None else {"scale": value.scale, "interval": list(value.interval)}
    return list(value) if isinstance(value, tuple) else value


def _samplers(choice: SamplerChoice) -> Iterator[_Sampler]:
    entry = SAMPLERS[choice.sampler]
    for values in product(*choice.sweep.values()):
        swept = dict(zip(choice.sweep, values, strict=True))
        try:
            complete = entry.options.model_validate({**choice.options, **swept}).model_dump()
        except ValidationError as error:  # options that are fine one by one, but not together
            problem = error.errors()[0]["msg"]
            raise UsageError(f"sampler {choice.id}, {_as_text(swept)}: {problem}") from None
        yield _Sampler(choice, entry, {key: complete[key] for key in swept}, complete)


def _as_text(options: dict[str, Any]) -> str:
    """``eta=0.2, s_churn=4``."""
    return ", ".join(f"{key}={shown(value)}" for key, value in options.items())


def _grid_label(choice: GridChoice, final: Final, entry: SamplerEntry) -> str:
    if entry.scheduler is not None:
        return "its own"
    kind = "adaptive" if entry.adaptive else choice.kind
    options = GRIDS[choice.kind].model_validate(choice.options).model_dump(exclude_none=True)
    said = [_said(key, value) for key, value in options.items() if value is not False]
    said += [f"final={final}"] if final != "denoise" else []
    return f"{kind}({', '.join(said)})" if said else kind


def _said(key: str, value: Any) -> str:
    if value is True:
        return key
    return f"{key}={value:g}" if isinstance(value, float) else f"{len(value)} {key}"
