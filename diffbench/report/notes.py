"""The notes of a report: what its numbers mean, and what to keep in mind with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffbench.document.words import counted
from diffbench.report.convergence import solver_errors
from diffbench.report.folder import RunFolder
from diffbench.report.frame import CellView, title, unique
from diffbench.report.gaps import without_interval
from diffbench.report.measured import number

_INTERVAL = (
    "± is half of the 95% interval, from the spread over the generated images of one checkpoint; the reference "
    "counts as fixed, and training the model again can move the score by more. All samplers start sample i from the "
    "same noise, so overlapping intervals do not say that two cells are equal: paired tests of the stored samples "
    "(diffbench compare --by sampler) see smaller differences."
)


def notes(run: RunFolder, metric: str | None) -> list[str]:
    """What the numbers mean."""
    said = []
    if metric is not None and any(cell.value(metric) is not None for cell in run.cells):
        said.append(_meaning(run, metric))
        said += _floors(run, metric)
        said.append(_INTERVAL)
    said += without_interval(run.cells)
    said += [_timing(timing, name) for name, timing in run.timings]
    said += run.told
    said += _likelihoods(run) + _estimates(run) + _coupled(run)
    if drifted := run.provenance.get("drift"):
        said.append(f"Not all samples were made under the same conditions: {'; '.join(map(str, drifted))}.")
    return said


def _likelihoods(run: RunFolder) -> list[str]:
    """Bits/dim of the models, where ``diffbench likelihood --run`` has put them."""
    rows = run.likelihood.get("rows")
    return [
        f"{row['model']} has {number(row['value'], 4)} bits/dim{_half(row)} on {row['split']} (n = {row['n']}; "
        f"probability-flow ODE down to sigma = {number(row['sigma_min'])}, dequantisation {row['dequantisation']}, "
        f"{number(row['nfe'])} evaluations an image): the model's own, whatever samples it; lower is better."
        for row in (rows if isinstance(rows, list) else [])
        if row["value"] is not None
    ]


def _half(row: Mapping[str, Any]) -> str:
    return f" ± {number(row['ci_high'] - row['value'], 2)}" if row["ci_high"] is not None else ""


def _coupled(run: RunFolder) -> list[str]:
    """Samplers whose samples are not independent of each other."""
    coupled = unique(cell.series for cell in run.cells if run.method(cell)[1].get("coupled"))
    if not coupled:
        return []
    return [
        f"Samples of {', '.join(coupled)} depend on the others of their batch (coupled, as in the authors' code): "
        "intervals take them for independent, and another batch size gives other samples."
    ]


def _estimates(run: RunFolder) -> list[str]:
    """How far sampling took longer or shorter than was expected when it began, over all sessions that tell both."""
    sessions = run.provenance.get("sessions")
    told = [s.get("estimate") for s in sessions if isinstance(s, Mapping)] if isinstance(sessions, list) else []
    pairs = [(t["seconds"], t["actual"]) for t in told if isinstance(t, Mapping) and t.get("actual") is not None]
    expected, actual = sum(e for e, _ in pairs), sum(a for _, a in pairs)
    if not expected:
        return []
    error = f"{abs(actual / expected - 1):.0%} {'more' if actual >= expected else 'less'}"
    return [f"Sampling was expected to take {number(expected)} s when it began; it took {number(actual)} s, {error}."]


def _meaning(run: RunFolder, metric: str) -> str:
    scored = [cell for cell in run.cells if cell.value(metric) is not None]
    if metric in solver_errors(run):
        return (
            f"{title(metric)} is the root mean square distance, in units of the model's own data, from each sample to "
            f"the converged solution of its ODE from the same noise, averaged over n = {_sizes(scored)} samples: the "
            "sampler's discretisation error alone, without the network's. The solution is sampled like any cell and "
            "once more with half its steps; how far it moves is taken as its own error."
        )
    scales = unique(
        f"n = {cell.n} images, extractor {cell.extractor}, reference {cell.reference}"
        + (f" ({size} real images)" if (size := run.references.get(cell.reference or "", {}).get("n")) else "")
        for cell in scored
    )
    name, sizes = title(metric), _sizes(scored)
    return (
        f"{name} was computed with {'; '.join(scales)}. {name} depends on n: {name} at n = {sizes} "
        "compares only with itself, that is with values of the same n, reference and extractor, not published ones."
    )


def _sizes(scored: Sequence[CellView]) -> str:
    return " or ".join(unique(str(cell.n) for cell in scored)) or "–"


def _floors(run: RunFolder, metric: str) -> list[str]:
    seen: dict[tuple[str | None, int | None], tuple[float, float]] = {}
    for cell in run.cells:
        if (floor := run.floor(cell, metric)) is not None:
            seen[cell.reference, cell.n] = floor
    return [
        f"The floor is what real data scores: {title(metric)} of {n} real images of {reference} against the rest, "
        f"{number(mean)} (sd {number(sd, 2)} over the draws). A score near it can't be told from real data by this "
        "metric at this n."
        for (reference, n), (mean, sd) in seen.items()
    ]


def _timing(timing: Mapping[str, Any], name: str) -> str:
    of = f" of {name}" if name else ""
    text = f"Seconds per image{of} are sampling and decoding in steady state; feature extraction is not in them."
    if not timing:
        return text + " This run has no timing pass."
    limit = timing.get("limit", timing.get("seconds"))
    spent, over = timing.get("spent"), ""
    if isinstance(spent, (int, float)) and isinstance(limit, (int, float)):
        over = f" of at most {_seconds(limit)}" if spent <= limit else f"; nothing began after {_seconds(limit)}"
    return (
        f"{text} They come from a timing pass of its own on {timing.get('device', 'an unnamed device')} at batch size "
        f"{timing.get('batch_size', '–')}: {_timed(timing)}, in {_seconds(spent)}{over}. "
        "They hold for this machine only."
    )


def _timed(timing: Mapping[str, Any]) -> str:
    """``1 of 12 cells was timed, once``, ``all 12 cells were timed, 7 times each``: what the pass came to."""
    blocks, due = timing.get("blocks") or {}, len(timing.get("cells") or timing.get("blocks") or {})
    counts = sorted(len(one) for one in blocks.values() if one)
    if not counts:
        return f"none of {counted(due, 'cell')} was timed" if due else "no cell was timed"
    each = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    often = "once" if each == "1" else f"{each} times"
    which = "all" if len(counts) == due > 1 else f"{len(counts)} of"
    verb = "was" if len(counts) == 1 else "were"
    return f"{which} {counted(due, 'cell')} {verb} timed, {often}{' each' * (len(counts) > 1)}"


def _seconds(value: Any) -> str:
    return f"{number(float(value))} s" if isinstance(value, (int, float)) else "–"
