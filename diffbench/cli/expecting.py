"""What ``run`` says of the scores that a suite expects, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffbench.cli.printing import draw, say
from diffbench.errors import ExpectationMissed

if TYPE_CHECKING:
    from diffbench.comparison.expectation import Expected

_KEY = ("model", "sampler", "budget_kind", "budget", "metric")


def tell_expected(folder: Path) -> None:
    """Print expected beside measured, if the run's suite expects anything. Raises StoreError."""
    from diffbench.comparison.expectation import summary
    from diffbench.report.expectation import expectations_table, reasons
    from diffbench.report.tables import rich_table

    found = _expected(folder)
    if not found:
        return
    draw(rich_table(expectations_table(found)))
    say(summary(found))
    for reason in reasons(found):
        say(f"- {reason}")


def require_met(folder: Path) -> None:
    """Raises ExpectationMissed if a verified figure was missed."""
    from diffbench.document.words import counted

    missed = [one for one in _expected(folder) if one.fails]
    if missed:
        first = missed[0]
        where = f"{first.metric} of {first.model}, {first.sampler}"
        said = f"{first.value:.4g} instead of {first.expected:g} ({first.source})"
        raise ExpectationMissed(f"{counted(len(missed), 'expected score')} missed, such as {where}: {said}")


def with_expectations(rows: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Rows of the results table, each with the verdicts on it, if the run's suite expects anything."""
    import json

    found = _expected(folder)
    if not found:
        return list(rows)

    def key(row: dict[str, Any], options: Any) -> tuple[Any, ...]:
        return (*(row[name] for name in _KEY), json.dumps(options, sort_keys=True))

    verdicts: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    names = ("expected", "tolerance", "low", "high", "verdict", "reason", "source", "unverified")
    for one in map(asdict, found):
        verdicts.setdefault(key(one, one["options"]), []).append({name: one[name] for name in names})
    return [{**row, "expectations": verdicts.get(key(row, json.loads(row["options"])), [])} for row in rows]


def _expected(folder: Path) -> list[Expected]:
    from diffbench.report.expectation import read_rows
    from diffbench.store.sealed import read_sealed

    path = folder / "expectations.json"
    return read_rows(read_sealed(path)) if path.exists() else []
