"""Rows of two tables that mean the same, and what keeps two rows from being compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from diffbench.catalog import COSTS
from diffbench.comparison.side import Row, Side
from diffbench.errors import UsageError

CELL = ("model", "sampler", "options", "grid", "budget_kind", "budget")
_MOST_TOLD = 3


@dataclass(frozen=True)
class Joined:
    """``pairs`` of (base, new) in the new table's order, and the rows that only one side has."""

    pairs: tuple[tuple[Row, Row], ...]
    only_base: tuple[Row, ...]
    only_new: tuple[Row, ...]


def cell_key(row: Row) -> tuple[Any, ...]:
    """What a cell means: model, sampler, swept options, grid and budget."""
    return tuple(row[name] for name in CELL)


def label(row: Row) -> str:
    """For people: ``ddpm-mnist · ddim eta=1.0 @ nfe 10``."""
    options = " ".join(f"{key}={value}" for key, value in json.loads(row["options"]).items())
    budget = f" @ {row['budget_kind']} {row['budget']}" if row["budget"] is not None else ""
    return f"{row['model']} · {' '.join(part for part in (row['sampler'], options) if part)}{budget}"


def join(base: Side, new: Side) -> Joined:
    """Join two tables by cell and metric.

    Raises:
        UsageError: no row of the one has a counterpart in the other, or two counterparts are scores of different
            things; names the fields.
    """
    first = {(*cell_key(row), row["metric"]): row for row in base.rows}
    second = {(*cell_key(row), row["metric"]): row for row in new.rows}
    pairs = tuple((first[key], row) for key, row in second.items() if key in first)
    if not pairs:
        raise UsageError(f"{base.name} and {new.name} have no cell in common (model, sampler, options, grid, budget)")
    _refuse_different(pairs)
    return Joined(
        pairs,
        tuple(row for key, row in first.items() if key not in second),
        tuple(row for key, row in second.items() if key not in first),
    )


def differing(base: Row, new: Row) -> list[str]:
    """What makes two rows scores of different things, as ``n: 500 there, 1000 here``; empty if they compare."""
    return [f"{name}: {one} in the base, {other} in the new" for name, one, other in differing_fields(base, new)]


def differing_fields(base: Row, new: Row) -> list[tuple[str, Any, Any]]:
    """Names of what makes two rows scores of different things, with what the one has and what the other has.

    A cost's n counts the images of its timing pass, as many as the time held: nothing that must be equal.
    """
    if new["metric"] in COSTS:
        return []
    if base["n"] != new["n"]:
        return [("n", base["n"], new["n"])]
    if base["signature"] is None or new["signature"] is None:
        return []
    one, other = (json.loads(row["signature"])["comparable"] for row in (base, new))
    names = [name for name in (*one, *(name for name in other if name not in one)) if one.get(name) != other.get(name)]
    return [(name, one.get(name), other.get(name)) for name in names]


def _refuse_different(pairs: Sequence[tuple[Row, Row]]) -> None:
    found: dict[str, list[str]] = {}
    for base, new in pairs:
        if base["status"] == new["status"] == "ok":
            for told in differing(base, new):
                found.setdefault(told, []).append(f"{label(new)}, {new['metric']}")
    if found:
        lines = [f"{told} ({rows[0]}{_and_more(len(rows) - 1)})" for told, rows in found.items()]
        more = _and_more(len(lines) - _MOST_TOLD) if len(lines) > _MOST_TOLD else ""
        raise UsageError(f"these scores can't be compared: {'; '.join(lines[:_MOST_TOLD])}{more}")


def _and_more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
