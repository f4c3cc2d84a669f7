"""What a card says of a model whose data are an exactly known distribution; read without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import InitErrorDetails

from diffbench.document.spec import Spec, fault
from diffbench.document.words import shown

Positive = Annotated[float, Field(gt=0.0)]


class Mixture(Spec):
    """Data of an exactly known distribution, sum_k w_k N(mu_k, s_k^2 I), instead of a network.

    ``weights`` are the w_k, normalised when used; ``means`` the mu_k, each row by row as C x H x W numbers; ``scales``
    the s_k, in units of the data.
    """

    kind: Literal["gaussian-mixture"]
    """The only kind there is."""
    weights: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=1000)]
    """Of the components; normalised when used."""
    means: Annotated[tuple[tuple[float, ...], ...], Field(min_length=1, max_length=1000)]
    """Of the components, each C x H x W numbers row by row."""
    scales: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=1000)]
    """Standard deviations of the components."""


_FIXED: Mapping[str, Any] = {
    **dict.fromkeys(("network", "codec", "labels", "text", "scheduler", "checkpoint", "reference", "extractor")),
    "sha256": {},
    "prediction": "sample",
    "variance": "fixed",
}
_OTHERWISE = {"network": "a mapping with path and class", "sha256": "a mapping of files to their sha256"}


def analytic_faults(given: Mapping[str, Any]) -> Iterable[InitErrorDetails]:
    """What a card's other keys must be for an ``analytic`` model, and what they can't be for one with a network."""
    analytic = given.get("analytic")
    if analytic is None:
        network = given.get("network")
        elsewhere = isinstance(network, dict) and (network.get("factory") or given.get("checkpoint") is not None)
        for key, wanted in _OTHERWISE.items():
            if key in given and given[key] in (None, {}) and not (key == "sha256" and elsewhere):
                yield fault((key,), f"{shown(given[key])} is not allowed; expected {wanted}", given[key])
        yield from _both_or_none(given)
        return
    for key, value in _FIXED.items():
        if key in given and given[key] != value:
            yield fault((key,), f"{shown(given[key])} is not allowed; an analytic model has {shown(value)}", given[key])
    time = given.get("time")
    if isinstance(time, dict) and time.get("input") not in (None, "sigma"):
        message = f'{shown(time["input"])} is not allowed; an analytic model takes "sigma"'
        yield fault(("time", "input"), message, time["input"])
    if isinstance(analytic, dict):
        yield from _mixture_faults(analytic, given.get("data"))


def _mixture_faults(analytic: Mapping[str, Any], data: Any) -> Iterable[InitErrorDetails]:
    parts = {key: analytic[key] for key in ("weights", "means", "scales") if isinstance(analytic.get(key), tuple)}
    means = parts.get("means", ())
    for key, values in parts.items():
        if len(values) != len(means):
            message = f"there are {len(values)} for {len(means)} means; every component has one"
            yield fault(("analytic", key), message, values)
    shape = data.get("shape") if isinstance(data, dict) else None
    if isinstance(shape, tuple) and len(shape) == 3 and all(type(side) is int for side in shape):
        size = shape[0] * shape[1] * shape[2]
        for index, mean in enumerate(means):
            if isinstance(mean, tuple) and len(mean) != size:
                message = f"{len(mean)} numbers are not allowed; data of shape {shown(shape)} have {size}"
                yield fault(("analytic", "means", index), message, mean)


def _both_or_none(given: Mapping[str, Any]) -> Iterable[InitErrorDetails]:
    """A reference holds features of an extractor: a card names both or neither."""
    if "reference" in given and "extractor" in given and (given["reference"] is None) != (given["extractor"] is None):
        missing = "reference" if given["reference"] is None else "extractor"
        yield fault((missing,), "null is not allowed; name both a reference and an extractor, or neither", None)
