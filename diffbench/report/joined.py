"""The side files of several runs as those of one, and the metric that leads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from diffbench.report.folder import RunFolder
from diffbench.report.frame import CellView, main_metric, title, unique

_TOLD_ELSEWHERE = ("sessions", "drift", "sha256", "estimate")


def joined_records(
    parts: Mapping[str, RunFolder],
    named: Mapping[tuple[str, str], str],
    lines: Mapping[tuple[str, str, str], str],
) -> dict[str, Any]:
    """``references``, ``provenance``, ``convergence``, ``likelihood`` and ``suite_text`` of all parts.

    ``named`` has the models' names, ``lines`` those of samplers with their swept options, where they have another.
    A reference that two parts describe differently is left out: whose it would be can't be said.
    """
    references: dict[str, Any] = {}
    unlike: set[str] = set()
    for run in parts.values():
        for name, entry in run.references.items():
            unlike |= {name} if _sha256(references.setdefault(name, entry)) != _sha256(entry) else set()
    provenance: dict[str, Any] = {
        part: {key: value for key, value in run.provenance.items() if key not in _TOLD_ELSEWHERE}
        for part, run in parts.items()
        if run.provenance
    }
    drift = [f"{part}: {line}" for part, run in parts.items() for line in run.provenance.get("drift") or ()]
    rows = [
        {**row, "model": named.get((part, row["model"]), row["model"])}
        for part, run in parts.items()
        for row in run.likelihood.get("rows") or ()
    ]
    return {
        "references": {name: entry for name, entry in references.items() if name not in unlike},
        "provenance": {**provenance, "drift": drift},
        "convergence": _convergence(parts, named, lines),
        "likelihood": {"rows": rows} if rows else {},
        "suite_text": "\n".join(f"# {part}\n{run.suite_text}" for part, run in parts.items() if run.suite_text),
    }


def _sha256(entry: Any) -> Any:
    return entry.get("sha256") if isinstance(entry, Mapping) else None


def _convergence(
    parts: Mapping[str, RunFolder],
    named: Mapping[tuple[str, str], str],
    lines: Mapping[tuple[str, str, str], str],
) -> dict[str, Any]:
    """Fitted orders and converged solutions, under the names that models and samplers have now."""
    found: dict[str, Any] = {}
    for part, run in parts.items():
        for metric, content in run.convergence.items():
            own = found.setdefault(metric, {"solutions": {}, "orders": []}) if isinstance(content, Mapping) else None
            if own is None:
                continue
            for key, one in content["solutions"].items():
                own["solutions"][f"{part}:{key}"] = {**one, "model": named.get((part, one["model"]), one["model"])}
            for one in content["orders"]:
                options = json.dumps(one["options"], sort_keys=True)
                names = {
                    "model": named.get((part, one["model"]), one["model"]),
                    "sampler": lines.get((part, one["sampler"], options), one["sampler"]),
                }
                own["orders"].append({**one, **names})
    return found


def headline(views: Sequence[CellView]) -> list[str]:
    """Which metric leads a report of several runs, and why, where one of them alone is led by another."""
    metric = main_metric(views)
    sides = {source: [view for view in views if view.source == source] for source in unique(v.source for v in views)}
    own = {
        source: main
        for source, cells in sides.items()
        if (main := main_metric(cells)) is not None and any(cell.value(main) is not None for cell in cells)
    }
    other = [source for source, main in own.items() if main != metric]
    if metric is None or not other:
        return []
    lacking = [source for source in other if all(cell.value(metric) is None for cell in sides[source])]
    if lacking:
        have = "has" if len(lacking) == 1 else "have"
        without = f"{' and '.join(lacking)} {have} no {title(metric)}"
        return [f"{title(metric)} leads this report; {without}, and no metric is in all."]
    alone = ", ".join(f"{source} by {title(own[source])}" for source in other)
    return [f"{title(metric)}, which all of them have, leads this report; alone they are led by another: {alone}."]
