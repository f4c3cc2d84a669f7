"""Every sampler of the catalog with every choice of its options, for the laws that all of them must obey."""

from itertools import product
from typing import Literal, get_args, get_origin

from diffbench.catalog import SAMPLERS


def choices(field):
    """All values of an option that has few; its default otherwise."""
    if field.annotation is bool:
        return [False, True]
    if get_origin(field.annotation) is Literal:
        return list(get_args(field.annotation))
    bounds = {kind: getattr(part, kind) for part in field.metadata for kind in ("ge", "le") if hasattr(part, kind)}
    if field.annotation is int and len(bounds) == 2 and bounds["le"] - bounds["ge"] < 5:
        return list(range(bounds["ge"], bounds["le"] + 1))
    return [field.default]


MORE = {"ddim": [{"eta": 0.4}, {"eta": 1.0}], "heun": [{"s_churn": 20.0}], "edm-euler": [{"s_churn": 20.0}]}


def variants(entry):
    fields = entry.options.model_fields
    for values in product(*(choices(field) for field in fields.values())):
        yield entry.name, dict(zip(fields, values, strict=True))
    for changed in MORE.get(entry.name, []):
        yield entry.name, {**entry.options().model_dump(), **changed}


def named(variant):
    name, options = variant
    default = SAMPLERS[name].options().model_dump()
    return name + "".join(f"-{key}={value}" for key, value in options.items() if default[key] != value)


VARIANTS = [variant for entry in SAMPLERS.values() for variant in variants(entry)]


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", VARIANTS, ids=named)
