"""What the page's script draws, as one JSON-able object; all text in it is printable and is only ever shown as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbench.inert import printable
from diffbench.report.answers import Curve, front_axis, levels, standings
from diffbench.report.folder import RunFolder
from diffbench.report.frame import SECONDS, CellView, lower_is_better, main_metric, models, quality_metrics, title
from diffbench.report.iso_quality import Needed, Standing, band, needed
from diffbench.report.measured import Measured, number, with_interval
from diffbench.report.sheets import QUALITIES, Quality, sheets
from diffbench.report.style import looks
from diffbench.store.kept import kept_trajectories
from diffbench.store.shards import Store

SAMPLE_BYTES = 9_000_000  # of all sheets of samples in the page, and of all trajectories
TRAJECTORY_BYTES = 8_000_000


def page_data(run: RunFolder, curves: Sequence[Curve]) -> dict[str, Any]:
    """Cells, lines, metrics, curves of costs, sheets of samples and trajectories. Raises StoreError."""
    metrics = [m for m in quality_metrics(run.cells) if any(c.value(m) is not None for c in run.cells)]
    main = main_metric(run.cells)
    metrics.sort(key=lambda metric: metric != main)
    look, names = looks(run), list(models(run.cells))
    lines, scales = list(look), list(dict.fromkeys(_scale(cell) for cell in run.cells))
    samples, quality = _samples(run)
    formed, formed_quality = _trajectories(run)
    groups = {"all": [run.cells], "model": [[c for c in run.cells if c.model == name] for name in names]}
    stands: dict[str, dict[int, Standing]] = {
        f"{axis} {among}": {k: v for cells in group for k, v in standings(cells, main or "", axis).items()}
        for axis in ("nfe", "seconds")
        for among, group in (groups.items() if main in metrics else ())
    }
    return {
        "metrics": [{"key": m, "title": title(m), "lower": lower_is_better(run.cells, m)} for m in metrics],
        "models": [printable(name) for name in names],
        "lines": [{"name": printable(look[n].label), "stochastic": look[n].stochastic} for n in lines],
        "scales": [_scale_text(scale) for scale in scales],
        "cells": [
            {
                "model": names.index(cell.model),
                "line": lines.index(cell.line),
                "name": printable(cell.series),
                "sampler": printable(cell.sampler_name),
                "variant": printable(cell.variant),
                "budget": cell.budget_label,
                "order": [cell.budget is None, cell.budget_kind == "steps", cell.budget or 0],
                "scale": scales.index(_scale(cell)),
                "status": cell.status if cell.status != "ok" else "",
                "nfe": cell.nfe,
                "seconds": _measured(cell[SECONDS], number(cell.value(SECONDS))),
                "scores": {m: _measured(cell[m], with_interval(cell[m])) for m in metrics if cell.value(m) is not None},
                "stands": {key: found[id(cell)] for key, found in stands.items() if id(cell) in found},
                "sheet": cell.id if cell.id in samples else None,
                "trajectory": cell.id if cell.id in formed else None,
            }
            for cell in run.cells
        ],
        "front": front_axis(run.cells, main or ""),
        "floors": {m: _floors(run, names, m) for m in metrics},
        "costs": [_curve(one, names, lines, curves, run, main) for one in curves] if main else [],
        "sheets": samples,
        "trajectories": formed,
        "quality": {"samples": quality and quality.words, "trajectories": formed_quality and formed_quality.words},
    }


def script_text(data: Any) -> str:
    """JSON that no HTML parser reads markup in: <, >, & and the line separators of JavaScript are escaped."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _scale(cell: CellView) -> tuple[str | None, str | None, int | None]:
    return cell.reference, cell.extractor, cell.n


def _scale_text(scale: tuple[str | None, str | None, int | None]) -> str:
    reference, extractor, n = scale
    told = ["no reference" if reference is None else f"reference {reference}", extractor and f"extractor {extractor}",
            n and f"n = {n}"]  # fmt: skip
    return printable(", ".join(part for part in told if part))


def _measured(measured: Measured, text: str) -> list[Any] | None:
    """Value, both ends of the interval, text."""
    return None if measured.value is None else [measured.value, measured.low, measured.high, text]


def _floors(run: RunFolder, names: Sequence[str], metric: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for cell in run.cells:
        if (floor := run.floor(cell, metric)) is not None:
            found.setdefault(str(names.index(cell.model)), floor[0])
    return found


def _curve(
    one: Curve, names: Sequence[str], lines: Sequence[str], curves: Sequence[Curve], run: RunFolder, metric: str
) -> dict[str, Any]:
    lower = lower_is_better(run.cells, metric)
    asked = [needed(one.points, level, lower) for level in levels(curves, one.model)]
    return {
        "model": names.index(one.model),
        "line": lines.index(one.line),
        "levels": [_drawn(one, level) for level in asked if level.nfe.value is not None],
        "targets": [_needed(need) for need in one.needed if need.nfe.value is not None],
    }


def _drawn(one: Curve, need: Needed) -> list[float | None]:
    nfe, seconds = band(one.points, need), band(one.points, need, seconds=True)
    return [need.target, need.nfe.value, *(nfe or (None, None)), need.seconds.value, *(seconds or (None, None))]


def _needed(need: Needed) -> list[float | None]:
    costs = [need.nfe.value, need.nfe.low, need.nfe.high, need.seconds.value, need.seconds.low, need.seconds.high]
    return [need.target, *costs]


def _samples(run: RunFolder) -> tuple[dict[str, Any], Quality | None]:
    """Sheets of one row, of every cell that kept images."""
    kept = {cell.id: run.images(cell, QUALITIES[0].samples) for cell in {c.id: c for c in run.cells}.values()}
    tiles = {name: images[None] for name, images in kept.items() if len(images)}
    drawn, quality = sheets({name: _first_columns(grid) for name, grid in tiles.items()}, SAMPLE_BYTES)
    return {name: sheet.to_dict() for name, sheet in drawn.items()}, quality


def _first_columns(grid: NDArray[np.uint8]) -> Any:
    return lambda count: grid[:, :count]


def _trajectories(run: RunFolder) -> tuple[dict[str, Any], Quality | None]:
    """Sheets of a row a sample, a column an estimate of x0, the sample itself last."""
    store = Store(run.path)
    found = {cell.id: kept_trajectories(store, cell.id) for cell in run.cells}
    known = {name: one for name, one in found.items() if one is not None}
    drawn, quality = sheets({name: _first_rows(one.frames) for name, one in known.items()}, TRAJECTORY_BYTES)
    return {
        name: {
            **sheet.to_dict(),
            "evaluations": known[name].evaluations.tolist(),
            "sigma": [[float(f"{s:.4g}") for s in row] for row in known[name].sigma[: sheet.rows].tolist()],
        }
        for name, sheet in drawn.items()
    }, quality


def _first_rows(frames: NDArray[np.uint8]) -> Any:
    return lambda count: frames[:count]
