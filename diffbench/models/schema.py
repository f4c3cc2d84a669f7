"""The JSON Schema of model cards, for editors."""

from __future__ import annotations

from typing import Any, get_args

from diffbench.diffusion.schedule import BetaKind
from diffbench.document.schema import Schema, closed, named, schema_of
from diffbench.models.card import Card, Codec, DataInfo, Network, TimeInput
from diffbench.models.mixture import Mixture

_NUMBER: Schema = {"type": "number"}


def card_schema() -> Schema:
    """The schema of ``card.yaml``: its keys, and what family, prediction and schedule ask of each other."""
    schema = schema_of(TimeInput, DataInfo, Network, Codec, Mixture, root=Card)
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
    schema["allOf"] = [
        _if({"family": {"const": "latent"}}, {"codec": {"type": "object"}, "clip": absent}, {"codec": absent}),
        _if({"prediction": {"const": "edm"}}, {"sigma_data": _NUMBER}, {"sigma_data": absent}, ["sigma_data"]),
        _if({"schedule": discrete}, {"time": index}, {"time": {"not": index}}),
        _if({"analytic": {"type": "object"}}, _analytic(), {"network": {"type": "object"}}),
    ]
    return schema


def _if(when: Schema, then: Schema, otherwise: Schema, needed: list[str] | tuple[str, ...] = ()) -> Schema:
    """If the properties ``when`` are so, ``then`` the others must be, too."""
    return {
        "if": {"properties": when, "required": list(when)},
        "then": {"properties": then, "required": list(needed)},
        "else": {"properties": otherwise},
    }


def _analytic() -> Schema:
    null = {"type": "null"}
    fixed: dict[str, Any] = {**dict.fromkeys(("network", "codec", "reference", "extractor"), null)}
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
