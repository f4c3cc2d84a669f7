"""``--only``: the cells that a rule such as ``model=ddpm-mnist,sampler=ddim|heun,nfe<=20`` selects."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt

from diffbench.document.words import did_you_mean, listed, shown, unknown
from diffbench.errors import UsageError
from diffbench.suite.cell import Cell

_TERM = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_-]*)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_ORDER: dict[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
MOST_SHOWN = 20


@dataclass(frozen=True)
class _Term:
    """``field operator value|value``."""

    text: str
    field: str
    operator: str
    values: tuple[str, ...]


def select(cells: Sequence[Cell], rule: str | None) -> list[Cell]:
    """The cells that satisfy every term of ``rule``; all of them if it is None.

    UsageError for a term that is malformed, names an unknown field, or has a value that no cell has, and where nothing
    is left.
    """
    return list(cells) if rule is None else [cells[index] for index in matching([_fields(c) for c in cells], rule)]


def matching(fields: Sequence[dict[str, object]], rule: str) -> list[int]:
    """Indices of the cells, given as what a rule can name, that satisfy every term. Raises UsageError as above."""
    terms = [_parsed(text) for text in rule.split(",")]
    for term in terms:
        _check(term, fields)
    chosen = [index for index, own in enumerate(fields) if all(_holds(term, own) for term in terms)]
    if not chosen:
        raise UsageError(f"--only {shown(rule)}: each part matches some cells, but no cell matches all of them")
    return chosen


def _fields(cell: Cell) -> dict[str, object]:
    """What a rule can name: a budget by its number in the suite, the other count as it is planned."""
    named: dict[str, object] = {"model": cell.model, "family": cell.family, "sampler": cell.sampler}
    named |= {"method": cell.method, "grid": cell.grid_label, "dtype": cell.dtype}
    named |= {"nfe": cell.nfe, "steps": cell.steps}
    named |= {} if cell.budget_kind is None else {cell.budget_kind: cell.budget}
    options = {**cell.method_options, **cell.options}
    return named | {name: value for name, value in options.items() if name not in named}


def _parsed(text: str) -> _Term:
    found = _TERM.fullmatch(text)
    if not found or not all(part.strip() for part in found[3].split("|")):
        example = "'model=ddpm-mnist,sampler=ddim|heun,nfe<=20'"
        raise UsageError(f"--only {shown(text.strip())}: expected FIELD=VALUE with = != < <= > >=, as in {example}")
    return _Term(text.strip(), found[1], found[2], tuple(part.strip() for part in found[3].split("|")))


def _check(term: _Term, fields: Sequence[dict[str, object]]) -> None:
    known = {name: None for own in fields for name in own}
    if term.field not in known:
        raise UsageError(f"--only {shown(term.text)}: {unknown('field', term.field, known)}")
    present = [own[term.field] for own in fields if term.field in own]
    if term.operator in _ORDER:
        if len(term.values) > 1 or _number(term.values[0]) is None:
            raise UsageError(f"--only {shown(term.text)}: {term.operator} takes one number")
        if not any(_holds(term, own) for own in fields):
            raise UsageError(f"--only {shown(term.text)}: matches no cell; {term.field} is {_some(present)}")
        return
    for value in term.values:
        if not any(_equal(item, value) for item in present):
            meant = did_you_mean(value, sorted({item for item in present if isinstance(item, str)}))
            raise UsageError(
                f"--only {shown(term.text)}: no cell has {term.field} {shown(value)}{meant or ';'} "
                f"{term.field} is {_some(present)}"
            )


def _holds(term: _Term, own: dict[str, object]) -> bool:
    value = own.get(term.field)
    if term.operator in _ORDER:
        wanted = _number(term.values[0])
        comparable = isinstance(value, int | float) and wanted is not None
        return comparable and _ORDER[term.operator](float(str(value)), wanted or 0.0)
    matches = term.field in own and any(_equal(value, wanted) for wanted in term.values)
    return matches == (term.operator == "=")


def _equal(value: object, wanted: str) -> bool:
    number = _number(wanted)
    if isinstance(value, int | float) and not isinstance(value, bool) and number is not None:
        return value == number
    return _written(value).casefold() == wanted.casefold()


def _written(value: object) -> str:
    return value if isinstance(value, str) else shown(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _some(values: Sequence[object]) -> str:
    """The distinct values, numbers in order."""
    numbers = sorted({value for value in values if isinstance(value, int | float)})
    texts = sorted({_written(value) for value in values if not isinstance(value, int | float) and value is not None})
    names = [shown(number) for number in numbers] + texts
    return listed(names[:MOST_SHOWN]) + (", …" if len(names) > MOST_SHOWN else "")
