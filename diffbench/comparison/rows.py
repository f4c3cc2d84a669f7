"""A comparison as plain rows: what ``--json`` prints, and its pandas frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffbench.comparison.join import cell_key

if TYPE_CHECKING:
    from diffbench.comparison.compare import Comparison


def as_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One JSON-able row a cell and metric."""
    return [
        {
            **{key: row.new[key] for key in ("model", "sampler", "options", "grid", "budget_kind", "budget", "n")},
            "metric": row.metric,
            "base": row.difference.base,
            "new": row.difference.new,
            "difference": row.difference.value,
            "se": row.difference.se,
            "correlation": row.difference.correlation,
            "gain": row.difference.gain,
            "verdict": row.verdict.word,
            "gated": row.gated,
            "gate": row.verdict.gate,
            "margin": row.verdict.margin,
            "p_worse": row.verdict.p_worse,
            "p_better": row.verdict.p_better,
            "detectable": row.verdict.detectable,
            "samples_to_decide": row.verdict.samples,
            "reason": row.verdict.reason or row.difference.reason,
            "samples": str(comparison.samples.get(cell_key(row.new), "unknown")),
        }
        for row in comparison.rows
    ]
