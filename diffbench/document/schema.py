"""JSON Schema of ``Spec`` classes, in the words of draft 7, which every editor reads."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from textwrap import dedent
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"


def schema_of(*models: type[BaseModel], root: type[BaseModel]) -> Schema:
    """The schema of ``root``; the classes among ``models`` have the text below each of their fields as description.

    Where the reader takes more than a class says (short forms) or less (rules between keys), the caller adds it.
    """
    schema: Schema = plain(root.model_json_schema(by_alias=True))
    for model in (*models, root):
        part = schema if model is root else schema["$defs"].get(model.__name__, {})
        for name, text in _texts(model).items():
            key = model.model_fields[name].alias or name
            if key in part.get("properties", {}):
                part["properties"][key]["description"] = text
    return {"$schema": DRAFT, **schema}


def plain(value: Any) -> Any:
    """What pydantic writes, without titles and defaults of ours, and fixed lists as every draft has them."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    result = {key: plain(item) for key, item in value.items() if not (key == "title" and isinstance(item, str))}
    if "prefixItems" in result:  # our fixed lists have elements of one kind
        result["items"] = result.pop("prefixItems")[0]
    if isinstance(result.get("description"), str):
        result["description"] = result["description"].replace("``", "").partition("\n\n")[0]
    return result


def properties_of(options: type[BaseModel]) -> tuple[Schema, list[str]]:
    """The properties of an option model of the catalog, and which of them are required."""
    schema = plain(options.model_json_schema(by_alias=True))
    return schema.get("properties", {}), schema.get("required", [])


def closed(properties: Mapping[str, Any], required: list[str] | tuple[str, ...] = (), **more: Any) -> Schema:
    """A mapping with these keys and no others."""
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": dict(properties), **needed, "additionalProperties": False, **more}


def named(key: str, kinds: Mapping[str, Schema], bare: list[str]) -> Schema:
    """One of ``bare`` names, or a mapping whose ``key`` names its kind, each kind with a schema of its own."""
    whole = [
        {"if": {"properties": {key: {"const": kind}}, "required": [key]}, "then": schema}
        for kind, schema in kinds.items()
    ]
    mapping = {"type": "object", "required": [key], "properties": {key: {"enum": list(kinds)}}, "allOf": whole}
    return {"anyOf": [{"enum": bare}, mapping]}


def exactly_one(*keys: str) -> Schema:
    """Either of these keys, given and not null."""
    return {"oneOf": [given(key) for key in keys]}


def given(key: str) -> Schema:
    """This key, and not null."""
    return {"properties": {key: {"not": {"type": "null"}}}, "required": [key]}


def _texts(model: type[BaseModel]) -> dict[str, str]:
    """The text below each field of a class, read from its source: on request only, for it takes a while."""
    inherited = [base for base in model.__bases__ if issubclass(base, BaseModel) and base is not BaseModel]
    found = {name: text for base in inherited for name, text in _texts(base).items()}
    body = ast.parse(dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, below in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            found[field.target.id] = below.value.value.replace("``", "")
    return found
