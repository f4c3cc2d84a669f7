"""``expectations.json`` and ``expectations.csv`` of a run: what its suite expects, beside what it measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from diffbench import results
from diffbench.comparison.expectation import Expected, expected
from diffbench.store.atomic import remove, update
from diffbench.store.sealed import write_sealed
from diffbench.suite.cell import Cell
from diffbench.suite.spec import Suite

JSON, CSV = "expectations.json", "expectations.csv"


def write_expectations(folder: Path, suite: Suite, cells: Sequence[Cell], table: pd.DataFrame) -> None:
    """Write both files; a suite that expects nothing leaves none. Raises StoreError."""
    if not suite.expect:
        for name in (JSON, CSV):
            if (folder / name).exists():
                remove(folder / name)
        return
    found = [asdict(one) for one in expected(suite.expect, cells, results.rows(table))]
    write_sealed(folder / JSON, {"rows": found})
    names = [field.name for field in fields(Expected)]
    lines = ([json.dumps(row[name]) if name == "options" else row[name] for name in names] for row in found)
    update(folder / CSV, results.csv_bytes(names, lines))
