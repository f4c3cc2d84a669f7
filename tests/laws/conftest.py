"""Every sampler of the catalog with every choice of each option, for the laws that all of them must obey."""

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


MORE = {
    "ddim": [{"eta": 0.4}, {"eta": 1.0}],
    "euler-ancestral": [{"eta": 0.0}],
    "dpm2-ancestral": [{"eta": 0.0}],
    "dpmpp-2s-ancestral": [{"eta": 0.0}],
    "heun": [{"s_churn": 20.0}, {"s_noise": 1.1, "s_min": 0.1}],
    "edm-euler": [{"s_churn": 20.0}],
    "reverse-diffusion": [{"probability_flow": True, "brownian": True}],
    "unipc": [{"order": 2, "variant": "bh1"}],
    "deis": [{"variable": "rho", "degree": 1}],
    "sa-solver": [{"tau": 0.0}, {"tau": 0.0, "brownian": True, "s_min": 0.1, "corrector_order": 2}],
    "langevin": [{"corrector_steps": 3}],
    "predictor-corrector": [{"corrector_steps": 2}],
    "restart": [{"restart_steps": 1}, {"iterations": 5}, {"restart_steps": 4, "iterations": 3}],
}


def variants(entry):
    default = entry.options().model_dump()
    yield entry.name, default
    for key, field in entry.options.model_fields.items():
        yield from ((entry.name, {**default, key: value}) for value in choices(field) if value != default[key])
    yield from ((entry.name, {**default, **changed}) for changed in MORE.get(entry.name, []))


def named(variant):
    name, options = variant
    default = SAMPLERS[name].options().model_dump()
    return name + "".join(f"-{key}={value}" for key, value in options.items() if default[key] != value)


VARIANTS = [variant for entry in SAMPLERS.values() if not entry.adaptive for variant in variants(entry)]


def pytest_generate_tests(metafunc):
    """A law that does not hold of every sampler says of which by ``applies`` (variant -> whether)."""
    if "variant" in metafunc.fixturenames:
        applies = getattr(metafunc.function, "applies", lambda variant: True)
        metafunc.parametrize("variant", list(filter(applies, VARIANTS)), ids=named)
