"""The JSON Schema of model cards, for editors."""

from __future__ import annotations

from typing import Any, get_args

from diffbench.diffusion.schedule import BetaKind
from diffbench.document.schema import Schema, closed, exactly_one, given, named, schema_of
from diffbench.models.card import Card
from diffbench.models.card_parts import (
    Checkpoint,
    Codec,
    Component,
    DataInfo,
    Labels,
    Network,
    Scheduler,
    Text,
    TimeInput,
)
from diffbench.models.mixture import Mixture

CLASSES = (TimeInput, DataInfo, Component, Network, Codec, Labels, Text, Scheduler, Checkpoint, Mixture)
_NUMBER: Schema = {"type": "number"}
_FORMS = ("class", "factory", "program")


def card_schema() -> Schema:
    """The schema of ``card.yaml``: its keys, and what family, prediction and schedule ask of each other.

    Where the files are a pipeline of diffusers, its configs say what a card leaves out. A schema can't see them: a card
    that names its network, and no checkpoint elsewhere, is taken to say everything.
    """
    schema = schema_of(*CLASSES, root=Card)
    schema["properties"]["schedule"] = _schedule()
    schema["properties"]["sha256"]["propertyNames"] = {"not": {"pattern": r"^/|(^|/)\.\.(/|$)|[\\:]"}, "minLength": 1}
    absent, discrete = {"type": "null"}, {"properties": {"kind": {"const": "ddpm"}}}
    index = {"properties": {"input": {"const": "index"}}}
    scaled = {"properties": {"input": {"enum": ["scaled", "log-sigma"]}}}
    parts = schema["$defs"]
    parts["TimeInput"] |= {
        "if": scaled,
        "then": {"required": ["scale"], "properties": {"scale": _NUMBER}},
        "else": {"properties": {"scale": absent}},
    }
    parts["Checkpoint"] |= exactly_one("source", "from")
    schema["allOf"] = [
        _whole(schema),
        {"not": _objects("labels", "text")},
        _if({"family": {"const": "latent"}}, {"codec": {"type": "object"}, "clip": absent}, {"codec": absent}),
        _if({"prediction": {"const": "edm"}}, {"sigma_data": _NUMBER}, {"sigma_data": absent}, ["sigma_data"]),
        _if({"schedule": discrete}, {"time": index}, {"time": {"not": index}}),
        {
            "if": _objects("analytic"),
            "then": {"properties": _analytic()},
            "else": {"properties": {"network": {"type": "object"}}},
        },
    ]
    return schema


def _whole(schema: Schema) -> Schema:
    """All keys, of the parts, too, for a card that says everything itself."""
    needed: dict[str, Any] = {"network": _network()}
    parts = {"data": DataInfo, "codec": Codec, "labels": Labels, "text": Text, "scheduler": Scheduler}
    for key, part in parts.items():
        needed[key] = {"required": schema["$defs"][part.__name__].pop("required")}
    encoders = {**exactly_one("encoder", "pipeline"), "if": given("encoder"), "then": given("tokenizer")}
    needed["text"] |= {"if": {"type": "object"}, "then": encoders}
    itself = {
        "anyOf": [
            {"properties": {"network": {"anyOf": list(map(given, _FORMS))}}, "required": ["network"]},
            _objects("analytic"),
        ],
        "not": _objects("checkpoint"),
    }
    everything = {"required": schema["required"], "properties": needed}
    schema["required"] = ["name"]
    return {"if": itself, "then": everything}


def _network() -> Schema:
    """One of the forms of a network, with what belongs to it."""
    return {
        "if": {"type": "object"},
        "then": {
            **exactly_one(*_FORMS),
            "allOf": [
                {"if": given("class"), "then": given("path")},
                {"if": given("key_map"), "then": given("config")},
            ],
        },
    }


def _objects(*keys: str) -> Schema:
    """Mappings at all of these keys."""
    return {"properties": {key: {"type": "object"} for key in keys}, "required": list(keys)}


def _if(when: Schema, then: Schema, otherwise: Schema, needed: list[str] | tuple[str, ...] = ()) -> Schema:
    """If the properties ``when`` are so, ``then`` the others must be, too; if they are given and not so, others."""
    return {
        "if": {"properties": when, "required": list(when)},
        "then": {"properties": then, "required": list(needed)},
        "else": {"if": {"required": list(when)}, "then": {"properties": otherwise}},
    }


def _analytic() -> Schema:
    null = {"type": "null"}
    absent = ("network", "codec", "labels", "text", "scheduler", "checkpoint", "reference", "extractor")
    fixed: dict[str, Any] = dict.fromkeys(absent, null)
    return {**fixed, "prediction": {"const": "sample"}, "variance": {"const": "fixed"}, "sha256": {"maxProperties": 0}}


def _schedule() -> Schema:
    steps, betas = {"type": "integer", "minimum": 1}, {"enum": list(get_args(BetaKind))}
    ends = {"beta_start": _NUMBER, "beta_end": _NUMBER}
    chain = closed({"kind": True, "betas": betas, "steps": steps, **ends}, ["betas", "steps"])
    chain |= {"if": {"properties": {"betas": {"const": "cosine"}}}, "else": {"required": list(ends)}}
    chain["then"] = {"properties": dict.fromkeys(ends, False)}
    continuous = {"vp": ["beta_min", "beta_max"], "subvp": ["beta_min", "beta_max"], "ve": ["sigma_min", "sigma_max"]}
    kinds = {"ddpm": chain}
    for kind, keys in {**continuous, "flow": []}.items():
        kinds[kind] = closed({"kind": True, **dict.fromkeys(keys, _NUMBER), "t_end": _NUMBER}, keys)
    mapping: Schema = named("kind", kinds, [])["anyOf"][1]
    return {**mapping, "description": "The noise schedule: its kind and that kind's keys."}
