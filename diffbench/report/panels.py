"""What may stand in one panel: scores of the same thing, and costs of one machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from diffbench.inert import printable
from diffbench.report.frame import CellView, scale

Scale = tuple[Any, ...]

# Shared by all signatures under other names, or told by them.
_HIDDEN = ("metric", "extractor_sha256", "reference_sha256")
GIVEN = "given"
"""The quantiser of images that were 8-bit when they came: how they became so is not known."""


@dataclass(frozen=True)
class Panel:
    """Cells that share axes; ``given`` are images from elsewhere whose scores stand beside them, as levels.

    ``told`` says what sets its scores, and its machine, apart from those of other panels; empty if nothing does.
    """

    model: str
    cells: tuple[CellView, ...]
    given: tuple[CellView, ...]
    told: str


def by_model(cells: Sequence[CellView], given: Sequence[CellView], metric: str, machines: bool) -> list[Panel]:
    """One panel a model; several where its scores are of different things or, if it matters, of several machines."""
    return _panels(cells, given, metric, machines, lambda cell: cell.model)


def by_scale(cells: Sequence[CellView], given: Sequence[CellView], metric: str, machines: bool) -> list[Panel]:
    """One panel for all models whose scores are of the same thing (and whose costs are of one machine)."""
    return _panels(cells, given, metric, machines, lambda cell: "")


def _panels(
    cells: Sequence[CellView], given: Sequence[CellView], metric: str, machines: bool, of: Any
) -> list[Panel]:  # fmt: skip
    groups: dict[tuple[str, Scale, str], list[CellView]] = {}
    for cell in cells:
        key = of(cell), scale(cell, metric), cell.machine if machines else ""
        groups.setdefault(key, []).append(cell)
    labels = scale_labels(scale(cell, metric) for cell in cells)
    several = len({machine for *_, machine in groups}) > 1
    found = []
    for (model, own, machine), members in groups.items():
        told = [labels[own], f"on {printable(machine)}" if several else ""]
        beside = tuple(one for one in given if stands_beside(scale(one, metric), own))
        found.append(Panel(model, tuple(members), beside, ", ".join(part for part in told if part)))
    return found


def stands_beside(given: Scale, other: Scale) -> bool:
    """Whether a score of given images is of the same thing but for their quantiser, if that is not known."""
    one, two = _fields(given), _fields(other)
    if one.get("quantiser") == GIVEN:
        del one["quantiser"]
        two.pop("quantiser", None)
    return one == two


def scale_labels(scales: Iterable[Scale]) -> dict[Scale, str]:
    """What sets each of the scales apart from the others, in words: ``n = 500, reference theirs``."""
    known = {own: _fields(own) for own in scales}
    names = list(dict.fromkeys(name for fields in known.values() for name in fields))
    apart = [name for name in names if len({json.dumps(fields.get(name)) for fields in known.values()}) > 1]
    apart = [name for name in apart if name != "solution"]  # every model has its own
    shown = [name for name in apart if name not in _HIDDEN] or apart
    return {own: ", ".join(_said(name, fields.get(name)) for name in shown) for own, fields in known.items()}


def differing(one: Scale, other: Scale) -> str:
    """What two scales differ in, with both values; empty if they are the same."""
    first, second = _fields(one), _fields(other)
    names = [name for name in dict.fromkeys([*first, *second]) if first.get(name) != second.get(name)]
    return ", ".join(f"{name} {_short(first.get(name))} and {_short(second.get(name))}" for name in names)


def _fields(own: Scale) -> dict[str, Any]:
    reference, extractor, n, said = own
    try:
        more = json.loads(said) if said is not None else {}
    except (ValueError, RecursionError):
        more = {"signature": said}
    more = more if isinstance(more, dict) else {"signature": said}
    return {"n": n, "reference": reference, "extractor": extractor, **more}


def _said(name: str, value: Any) -> str:
    return f"n = {value}" if name == "n" else f"{printable(name)} {_short(value)}"


def _short(value: Any) -> str:
    text = printable(value) if value is not None else "none"
    return text if len(text) <= 24 else text[:8] + "…"
