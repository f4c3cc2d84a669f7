"""Rules between the keys of a suite, checked on what is given, so that they show together with all other problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from math import prod
from types import NoneType
from typing import Any

from pydantic_core import InitErrorDetails

from diffbench.catalog import SAMPLERS
from diffbench.document.spec import fault
from diffbench.document.words import did_you_mean, key_path, shown, unknown
from diffbench.suite.choices import MetricChoice
from diffbench.suite.expect import unmeasured_rows, unplanned
from diffbench.suite.gates import unmeasured
from diffbench.suite.model_choice import ModelChoice
from diffbench.suite.sampler_choice import SamplerChoice

MAX_CELLS = 100_000


def faults(given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
    """All problems between the keys of a suite."""
    if isinstance(given.get("extends"), str):  # in a file, the base is below it by now
        yield fault(("extends",), "can't be set from outside; write it into the suite file", given)
    models = [ModelChoice.prepare(item, context) for item in _items(given, "models")]
    samplers = [SamplerChoice.prepare(item, context) for item in _items(given, "samplers")]
    metrics = [MetricChoice.prepare(item, context) for item in _items(given, "metrics")]
    yield from _taken("models", "id", models)
    yield from _taken("samplers", "id", samplers)
    yield from _taken("metrics", "metric", metrics)
    for key in ("include", "exclude", "expect"):
        for index, rule in enumerate(_items(given, key)):
            if isinstance(rule, dict):
                yield from _unknown_id((key, index, "model"), rule, models)
                yield from _unknown_id((key, index, "sampler"), rule, samplers)
                if key == "exclude":
                    yield from _unknown_budget((key, index), rule, given)
                if key != "expect":  # which says it in words of its own
                    yield from _budget_of_none((key, index), rule, samplers)
    yield from _nothing_left(given, models, samplers)
    mistyped = any(did_you_mean(key, ("budgets",)) for key in given)
    if "budgets" not in given and not mistyped and not (samplers and all(_adaptive(item) for item in samplers)):
        yield fault((), 'the key "budgets" is missing; expected a mapping, such as {nfe: [10, 50]}', given)
    named = [metric.get("metric") for metric in metrics if isinstance(metric, dict)] or ["fid", "is", "kid"]
    timing = given.get("timing")
    timed = not (isinstance(timing, dict) and timing.get("seconds") == 0)
    yield from unmeasured(given, named, timed)
    yield from unmeasured_rows(given, named, timed)
    yield from unplanned(given, models, samplers)
    yield from _too_many(given, models, samplers)


def _adaptive(sampler: Any) -> bool:
    name = sampler.get("sampler") if isinstance(sampler, dict) else None
    entry = SAMPLERS.get(name) if isinstance(name, str) else None
    return entry is not None and entry.adaptive


def _items(given: Mapping[str, Any], key: str) -> tuple[Any, ...]:
    value = given.get(key)
    return value if isinstance(value, tuple) else ()


def _taken(key: str, label: str, items: list[Any]) -> Iterable[InitErrorDetails]:
    """Ids that occur twice, upper and lower case being the same: they name files and columns."""
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        name = item.get(label) if isinstance(item, dict) else None
        if not isinstance(name, str):
            continue
        if (folded := name.casefold()) in first:
            other = key_path((key, first[folded]))
            advice = "; give each an id of its own" if label == "id" else ""
            message = f"{shown(name)} is the name of {other} already (case does not count){advice}"
            yield fault((key, index, label), message, name)
        first.setdefault(folded, index)


def _unknown_id(path: tuple[str | int, ...], rule: Mapping[str, Any], items: list[Any]) -> Iterable[InitErrorDetails]:
    wanted = rule.get(str(path[-1]))
    ids = [item.get("id") if isinstance(item, dict) else None for item in items]
    # An entry without a readable id has its own problem, and may be the one meant.
    known = [name for name in ids if isinstance(name, str)]
    if isinstance(wanted, str) and wanted not in known and len(known) == len(ids):
        yield fault(path, unknown(f"{path[-1]} id", wanted, known), wanted)


def _unknown_budget(
    path: tuple[str | int, ...], rule: Mapping[str, Any], given: Mapping[str, Any]
) -> Iterable[InitErrorDetails]:
    budgets = given.get("budgets")
    if "nfe" in rule and "steps" in rule:
        return
    for kind in ("nfe", "steps"):
        wanted = rule.get(kind)
        listed = budgets.get(kind, ()) if isinstance(budgets, dict) else None
        if type(wanted) is not int or not isinstance(listed, tuple):
            continue
        included = tuple(item.get(kind) for item in _items(given, "include") if isinstance(item, dict))
        if wanted not in listed + included:
            yield fault((*path, kind), f"{wanted} is not among the suite's budgets of {kind}", wanted)


def _budget_of_none(
    path: tuple[str | int, ...], rule: Mapping[str, Any], samplers: list[Any]
) -> Iterable[InitErrorDetails]:
    """A budget of a sampler whose cells have none, which would be ignored."""
    chosen = [item for item in samplers if isinstance(item, dict) and item.get("id") == rule.get("sampler")]
    for kind in ("nfe", "steps"):
        if isinstance(rule.get(kind), int) and any(map(_adaptive, chosen)):
            message = f"{shown(rule['sampler'])} chooses its own steps: its cells have no budget to name"
            yield fault((*path, kind), message, rule, at_key=True)


def _nothing_left(given: Mapping[str, Any], models: list[Any], samplers: list[Any]) -> Iterable[InitErrorDetails]:
    """Exclusions that leave no cell at all."""
    excluded = {_meant(rule) for rule in _items(given, "exclude")}
    budgets: Any = given.get("budgets")
    budgets = budgets if isinstance(budgets, dict) else {}
    listed = [(kind, number) for kind in ("nfe", "steps") for number in _items(budgets, kind) if type(number) is int]
    if not excluded or len(models) * len(samplers) * max(1, len(listed)) > MAX_CELLS:
        return
    planned = [_meant(rule) for rule in _items(given, "include")]
    for model, sampler in product(models, samplers):
        each = [None] if _adaptive(sampler) else listed
        planned += [(_id(model), _id(sampler), budget) for budget in each]
    cells = [cell for cell in planned if cell is not None and None not in cell[:2]]
    if None in excluded or len(cells) < len(planned):  # something has a problem of its own
        return
    if cells and all(any(one in excluded for one in product(*((part, None) for part in cell))) for cell in cells):
        yield fault(("exclude",), "leaves no cell at all", given)


def _meant(rule: Any) -> tuple[Any, Any, Any] | None:
    """Model, sampler and budget that a rule names, each None if it names none; None for a rule that can't be read."""
    if not isinstance(rule, dict) or not all(type(value) in (str, int, NoneType) for value in rule.values()):
        return None
    budgets = [(kind, rule[kind]) for kind in ("nfe", "steps") if rule.get(kind) is not None]
    meant = rule.get("model"), rule.get("sampler"), budgets[0] if budgets else None
    return None if meant == (None, None, None) or len(budgets) > 1 else meant


def _id(item: Any) -> str | None:
    name = item.get("id") if isinstance(item, dict) else None
    return name if isinstance(name, str) else None


def _too_many(given: Mapping[str, Any], models: list[Any], samplers: list[Any]) -> Iterable[InitErrorDetails]:
    budgets = given.get("budgets")
    count = sum(len(_items(budgets, kind)) for kind in ("nfe", "steps")) if isinstance(budgets, dict) else 0
    variants = [sum(_variants(item) for item in items) for items in (models, samplers)]
    cells = prod(variants) * count
    if cells > MAX_CELLS:
        message = (
            f"{cells:,} cells ({variants[0]:,} models x {variants[1]:,} samplers x {count:,} budgets, sweeps "
            f"multiplied out); at most {MAX_CELLS:,}"
        )
        yield fault((), message, given)


def _variants(item: Any) -> int:
    sweep = item.get("sweep") if isinstance(item, dict) else None
    if not isinstance(sweep, dict):
        return 1
    return prod(len(values) for values in sweep.values() if isinstance(values, tuple))
