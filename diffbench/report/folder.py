"""A run folder as the report reads it: the table, the side files, and the kept images."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from diffbench import results
from diffbench.catalog import SAMPLERS, NoOptions, Options, SamplerEntry
from diffbench.comparison.ranking import ALPHA, not_worse
from diffbench.comparison.side import RunSide, score_of
from diffbench.errors import StoreError
from diffbench.report.frame import CellView, cells
from diffbench.store.kept import Images, kept_images
from diffbench.store.sealed import read_sealed
from diffbench.store.shards import Store

_CELL_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class RunFolder:
    """What a report is drawn from. Side files that a run has not written are empty, never guessed."""

    path: Path
    cells: list[CellView]
    references: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    convergence: Mapping[str, Any] = field(default_factory=dict)
    likelihood: Mapping[str, Any] = field(default_factory=dict)
    expectations: Mapping[str, Any] = field(default_factory=dict)
    suite_text: str = ""
    name: str = ""
    table: pd.DataFrame | None = field(default=None, compare=False)
    told: tuple[str, ...] = ()
    """What several sources don't share, or have twice, in sentences."""

    def floor(self, cell: CellView, metric: str) -> tuple[float, float] | None:
        """Mean and sd of the floor for this cell's reference and n; None if it was not computed."""
        reference = self.references.get(cell.reference or "", {})
        entry = _dig(reference, "floors", str(cell.n), metric)
        mean, sd = _dig(entry, "mean"), _dig(entry, "sd")
        return (float(mean), float(sd or 0.0)) if isinstance(mean, (int, float)) else None

    def method(self, cell: CellView) -> tuple[str, Mapping[str, Any]]:
        """Catalog name and options of the cell's sampler; the sampler's own id where the cell was not sampled."""
        for view in [cell, *(c for c in self.cells if (c.sampler, c.options) == (cell.sampler, cell.options))]:
            path = self._cell_folder(view) / "cell.json"
            if path.is_file():
                content = read_sealed(path)
                options = content.get("method_options")
                return str(content.get("method", cell.sampler)), options if isinstance(options, dict) else {}
        return cell.sampler, {}

    def stochastic(self, cell: CellView) -> bool | None:
        """Whether the cell's sampler draws noise after the start; None for a sampler the catalog does not know."""
        entry, options = self._entry(cell)
        return None if entry is None else entry.stochastic(options)

    def order(self, cell: CellView) -> int | None:
        """Order of the cell's sampler as an ODE solver with its options, if the catalog states one."""
        entry, options = self._entry(cell)
        return None if entry is None else entry.order_of(options)

    def _entry(self, cell: CellView) -> tuple[SamplerEntry | None, Options]:
        """The cell's sampler in the catalog of today, with its options; None if it is unknown or takes others now."""
        method, options = self.method(cell)
        entry = SAMPLERS.get(method)
        try:
            return (None, NoOptions()) if entry is None else (entry, entry.options(**options))
        except (ValidationError, TypeError):
            return None, NoOptions()

    def worse(self, views: Sequence[CellView], metric: str) -> list[bool | None] | None:
        """For each of the cells whether another is better by a paired test of the metric, 5% for all of them together.

        None for a cell that can't be tested against any other: no values per sample, too few samples, another n. None
        as a whole where no two of them can be tested, as in a copy of a report alone.
        """
        side, rows = self._scored(views, metric)
        scores = [score_of(side, row) for row in rows]
        known = [place for place, s in enumerate(scores) if s.influence is not None or s.replicates is not None]
        told: list[bool | None] = [None] * len(rows)
        for place, tested in zip(known, not_worse(side, [rows[place] for place in known]), strict=True):
            told[place] = None if tested is None else tested[0] < ALPHA
        return None if all(one is None for one in told) else told

    def _scored(self, views: Sequence[CellView], metric: str) -> tuple[RunSide, list[dict[str, Any]]]:
        """The rows of these cells' scores, and the side that has their values per sample."""
        return RunSide(self.path, []), [_row(view, metric) for view in views]

    @property
    def timings(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Its timing pass; of several runs, each one's with its name."""
        return [("", self.timing)]

    def model_identity(self, cell: CellView) -> str | None:
        """What network a cell was sampled with, as text that equals that of another cell of it; None: not known."""
        own = self._identity(cell)
        return None if own is None else json.dumps([own.get("model"), own.get("dtype")], sort_keys=True)

    def method_identity(self, cell: CellView) -> str | None:
        """What method a cell was sampled by; as :meth:`model_identity`."""
        own = self._identity(cell)
        names = ("method", "options", "code", "final")
        return None if own is None else json.dumps([own.get(name) for name in names], sort_keys=True)

    def _identity(self, cell: CellView) -> Mapping[str, Any] | None:
        path = self._cell_folder(cell) / "cell.json"
        own = read_sealed(path).get("identity") if path.is_file() else None
        return own if isinstance(own, dict) else None

    def images(self, cell: CellView, count: int) -> Images:
        """The first kept samples of a cell, in index order: uint8 (k, C, H, W) with k <= count, k = 0 if none."""
        self._cell_folder(cell)
        return kept_images(Store(self.path), cell.id, count)

    def _cell_folder(self, cell: CellView) -> Path:
        if not _CELL_ID.fullmatch(cell.id):
            raise StoreError(f"{self.path / results.PARQUET}: {cell.id!r} is not a cell id")
        return self.path / "cells" / cell.id


def open_run(path: Path) -> RunFolder:
    """Read a run folder.

    Raises:
        StoreError: no results table, or a file of the folder is corrupt; names the file.
    """
    table = results.read(path)
    views = cells(table)
    beside = ("references", "timing", "provenance", "convergence", "likelihood", "expectations")
    side: dict[str, Any] = {name: _optional_json(path / f"{name}.json") for name in beside}
    suites = table["suite"].unique()
    suite = path / "suite.yaml"
    return RunFolder(
        path=path,
        cells=views,
        suite_text=suite.read_text(encoding="utf-8", errors="replace") if suite.is_file() else "",
        name=str(suites[0]) if len(suites) else path.name,
        table=table,
        **side,
    )


def _row(view: CellView, metric: str) -> dict[str, Any]:
    """What a comparison reads of a row of the results table."""
    found = view[metric]
    values = {"value": found.value, "ci_low": found.low, "ci_high": found.high, "reason": found.reason}
    signature = view.signatures.get(metric)
    se = found.half_width if signature else None
    return {"cell": view.id, "metric": metric, "n": view.n, "better": found.better, "se": se, "signature": signature,
            **values}  # fmt: skip


def _dig(content: Any, *keys: str) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _optional_json(path: Path) -> dict[str, Any]:
    return read_sealed(path) if path.exists() else {}
