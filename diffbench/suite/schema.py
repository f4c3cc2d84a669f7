"""The JSON Schema of suites, for editors: all that a schema can say of what ``suite/read.py`` takes.

What it can't say: files that must be there, ids that must differ or exist, ranges that must rise, 2.0 for a whole
number, YAML's own traps. The reader says those.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from diffbench.catalog import COSTS, GRIDS, METRICS, SAMPLERS, SamplerEntry
from diffbench.catalog.diffusers import CHECKPOINT, FROM_THE_MODEL, PREFIX, Argument, schedulers
from diffbench.document.schema import Schema, closed, exactly_one, given, named, properties_of, schema_of
from diffbench.models.condition import Guidance
from diffbench.models.find import known_models
from diffbench.models.hub import PREFIX as HUB
from diffbench.samplers.scheduler_config import scheduler_faults
from diffbench.suite.choices import GridChoice, MetricChoice
from diffbench.suite.expect import Expectation
from diffbench.suite.gates import EXACT, MARGIN, NFE, Comparing
from diffbench.suite.model_choice import ModelChoice, ModelSweep
from diffbench.suite.sampler_choice import ADAPTIVE_GRID, SamplerChoice
from diffbench.suite.spec import Budgets, Exclusion, Inclusion, Keep, RunSettings, Samples, Suite, Timing

CLASSES = (
    Samples, ModelChoice, ModelSweep, Guidance, SamplerChoice, GridChoice, Budgets, Inclusion, Exclusion, MetricChoice,
    RunSettings, Keep, Timing, Comparing, Expectation,
)  # fmt: skip
_ELSEWHERE = {"type": "string", "pattern": f"^(?!{HUB}).*://"}
_PATH = {"type": "string", "pattern": r"^[.~]|[/\\]|\.ya?ml$", "not": _ELSEWHERE}
_MARGIN = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^(?:{MARGIN})$"}]}


def suite_schema() -> Schema:
    """The schema of suites with the samplers, grids, metrics and models that are installed here."""
    schema = schema_of(*CLASSES, root=Suite)
    parts = schema["$defs"]
    parts["Samples"] = {"anyOf": [parts["Samples"]["properties"]["n"], parts["Samples"]]}
    parts["Guidance"] = {"anyOf": [parts["Guidance"]["properties"]["scale"], parts["Guidance"]]}
    parts["ModelChoice"] = _model(parts["ModelChoice"])
    parts["AdaptiveGrid"] = _grid(parts["GridChoice"], [ADAPTIVE_GRID])
    parts["GridChoice"] = _grid(parts["GridChoice"], list(GRIDS))
    parts["SamplerChoice"] = _sampler(parts["SamplerChoice"])
    parts["MetricChoice"] = _metric(parts["MetricChoice"])
    parts["Inclusion"] |= exactly_one("nfe", "steps")
    parts["Exclusion"] |= _exclusion()
    for key, values in parts["Budgets"]["properties"].items():
        text = values.pop("description")
        parts["Budgets"]["properties"][key] = {
            "description": text,
            "anyOf": [{**values, "uniqueItems": True}, {"type": "null"}],
        }
    for values in parts["ModelSweep"]["properties"].values():
        values["anyOf"][0]["uniqueItems"] = True
    parts["Budgets"]["minProperties"] = 1
    parts["Comparing"]["properties"]["gates"]["anyOf"][0] = _gates()
    _expectation(parts["Expectation"])
    schema["properties"]["metrics"]["uniqueItems"] = True
    return _rules(schema)


def _rules(schema: Schema) -> Schema:
    """What the keys of a suite must agree about; null, which takes a key of ``extends`` out, needs one."""
    adaptive = {"enum": [name for name, entry in SAMPLERS.items() if entry.adaptive]}
    chosen = {"anyOf": [adaptive, {"type": "object", "properties": {"sampler": adaptive}, "required": ["sampler"]}]}
    no_null = {"additionalProperties": {"not": {"type": "null"}}}
    gates = {"properties": {"gates": {"additionalProperties": {"not": {"type": "null"}}}}}
    whole = {
        "required": ["models", "samplers"],
        "properties": {
            "budgets": no_null,
            "compare": {**gates, "if": {"type": "object"}, "then": {"required": ["baseline"]}},
        },
        "anyOf": [{"required": ["budgets"]}, {"properties": {"samplers": {"items": chosen}}}],
    }
    del schema["required"], schema["$defs"]["Comparing"]["required"]
    extends = {"properties": {"extends": {"type": "string"}}, "required": ["extends"]}
    return {**schema, "if": extends, "else": whole}


def _model(full: Schema) -> Schema:
    full["properties"]["name"] = {**full["properties"]["name"], "anyOf": [{"enum": [*known_models(), None]}]}
    full["properties"]["source"]["not"] = _ELSEWHERE
    full["properties"]["prompts"]["anyOf"].append({"type": "string"})
    mapping = closed(full["properties"], description=full["description"], **exactly_one("name", "source"))
    return {"anyOf": [{"enum": list(known_models())}, _PATH, mapping]}


def _grid(full: Schema, kinds: Iterable[str]) -> Schema:
    kind = full["properties"]["kind"]
    whole = {}
    for name in kinds:
        options, required = properties_of(GRIDS[name])
        whole[name] = closed({"kind": kind, **options}, required)
    bare = [name for name, schema in whole.items() if "required" not in schema]
    return named("kind", whole, bare)


def _metric(full: Schema) -> Schema:
    metric = full["properties"]["metric"]
    whole = {}
    for name, entry in METRICS.items():
        options, required = properties_of(entry.options)
        whole[name] = closed({"metric": metric, **options}, required, description=entry.title)
    return named("metric", whole, list(METRICS))


def _sampler(full: Schema) -> Schema:
    beside = full["properties"]
    supported = [f"{PREFIX}{name}" for name in schedulers() if not scheduler_faults(name, None, None)]
    whole = {name: _of_catalog(entry, beside) for name, entry in SAMPLERS.items()}
    whole |= {name: _of_diffusers(name.removeprefix(PREFIX), beside) for name in supported}
    whole[f"{PREFIX}{CHECKPOINT}"] = _of_diffusers(CHECKPOINT, beside)
    return named("sampler", whole, list(whole))


def _of_catalog(entry: SamplerEntry, beside: Schema) -> Schema:
    options, required = properties_of(entry.options)
    own = {"grid": {"anyOf": [{"$ref": "#/$defs/AdaptiveGrid"}, {"type": "null"}]}} if entry.adaptive else {}
    keys = {**beside, **own, **options, "sweep": _swept(options, beside["sweep"])}
    needs: dict[str, Any] = {}
    if required:  # an option that the method requires may be swept instead
        either = [{"anyOf": [{"required": [key]}, {"properties": {"sweep": {"required": [key]}}}]} for key in required]
        needs = {"allOf": either}
    return closed(keys, description=entry.summary, **needs)


def _of_diffusers(scheduler: str, beside: Schema) -> Schema:
    classes = schedulers().values() if scheduler == CHECKPOINT else [schedulers()[scheduler]]
    options: dict[str, Any] = {}
    for name in ("config", "step"):
        takes = {key: argument for one in classes for key, argument in sorted(getattr(one, name).items())}
        of_a_class = scheduler != CHECKPOINT  # else each checkpoint's own decides
        options[name] = closed(
            {key: _argument(one) if of_a_class else True for key, one in takes.items() if key not in FROM_THE_MODEL}
        )
    if scheduler != CHECKPOINT and "use_flow_sigmas" in options["config"]["properties"]:
        options["config"]["properties"]["use_flow_sigmas"] = {"enum": [False, None]}
    own = {"grid": {"type": "null"}, "final": {"const": "denoise"}}
    return closed({**beside, **own, **options, "sweep": _swept(options, beside["sweep"])})


def _argument(argument: Argument) -> Schema | bool:
    """A value of an argument of a class of diffusers, or null."""
    if argument.choices:
        return {"enum": [*argument.choices, None]}
    types = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}
    return {"type": [types[argument.kind], "null"]} if argument.kind else True


def _swept(options: Schema, sweep: Schema) -> Schema:
    """Lists of values of the options; only of those."""
    of_values = sweep["additionalProperties"]
    lists = {
        key: {**of_values, "items": {k: v for k, v in option.items() if k != "default"}, "uniqueItems": True}
        for key, option in options.items()
    }
    return closed(lists, description=sweep["description"])


def _exclusion() -> Schema:
    return {"anyOf": [given(key) for key in Exclusion.model_fields], **_one_budget()}


def _one_budget() -> Schema:
    return {"not": {"allOf": [given("nfe"), given("steps")]}}


def _expectation(row: Schema) -> None:
    keys = row["properties"]
    keys["metric"] = {"description": keys["metric"]["description"], "enum": [*METRICS, *COSTS]}
    keys["tolerance"] = {"description": keys["tolerance"]["description"], **_MARGIN}
    row |= _one_budget()


def _gates() -> Schema:
    """A margin, bare or as ``{margin: …}``, of every metric that can be gated."""

    def either(margin: Schema) -> Schema:
        return {"anyOf": [margin, closed({"margin": margin}, ["margin"]), {"type": "null"}]}

    margins: dict[str, Any] = dict.fromkeys((*METRICS, *COSTS), either(_MARGIN))
    return closed({**margins, NFE: either({"const": EXACT})}, minProperties=1)
