"""The results table: its columns, and the only code that writes or reads ``results.parquet``.

One row a cell and metric. A missing value is null with a reason: never NaN, never 0. What breaks a rule of the table
is refused here, when writing as well as when reading, so that no page is drawn from a table that says something else.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from diffbench.errors import StoreError
from diffbench.inert import csv_field
from diffbench.store.atomic import update

SCHEMA_VERSION: Final = 1
PARQUET: Final = "results.parquet"
CSV: Final = "results.csv"

STATUSES: Final = ("ok", "skipped", "failed", "incomplete")
BUDGET_KINDS: Final = ("nfe", "steps")
DIRECTIONS: Final = ("lower", "higher")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One metric of one cell; the fields are the table's columns, in order.

    ``options`` is JSON text or a mapping (swept values only). ``value`` None needs a ``reason``; ``status`` is about
    this metric: a cell with samples but no timing has ``ok`` rows for its scores.
    """

    suite: str
    cell: str
    model: str
    family: str
    sampler: str
    options: str | Mapping[str, Any] = "{}"
    grid: str | None = None
    budget_kind: str | None = None
    budget: int | None = None
    steps: int | None = None
    nfe: float | None = None
    network_evals: float | None = None
    n: int | None = None
    metric: str
    value: float | None = None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    unit: str | None = None
    better: str
    status: str
    reason: str | None = None
    batch_size: int | None = None
    device: str | None = None
    dtype: str | None = None
    reference: str | None = None
    extractor: str | None = None
    signature: str | None = None


_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_HASH = b"content_sha256"
_INTEGERS = frozenset({"budget", "steps", "n", "batch_size"})
_FLOATS = frozenset({"nfe", "network_evals", "value", "se", "ci_low", "ci_high"})
_REQUIRED = frozenset({"suite", "cell", "model", "family", "sampler", "options", "metric", "better", "status"})
_KEY = ("model", "sampler", "options", "grid", "budget_kind", "budget", "metric")


def _dtype(column: str) -> str:
    if column in _INTEGERS:
        return "Int64"
    return "Float64" if column in _FLOATS else "string"


COLUMNS: Mapping[str, str] = MappingProxyType({f.name: _dtype(f.name) for f in fields(Row)})
_ARROW = {"string": pa.string(), "Int64": pa.int64(), "Float64": pa.float64()}
_ARROW_SCHEMA = pa.schema([pa.field(name, _ARROW[dtype]) for name, dtype in COLUMNS.items()])


def _as_number(column: str, value: Any) -> int | float:
    wanted = numbers.Integral if column in _INTEGERS else numbers.Real
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise StoreError(f"{column} is {value!r}, not a number of its kind ({COLUMNS[column]})")
    number: int | float = int(value) if isinstance(value, numbers.Integral) else float(value)
    if not math.isfinite(number):
        raise StoreError(f"{column} is {number}; a missing value is null with a reason")
    return number


def _as_text(column: str, value: Any) -> str:
    if column == "options" and isinstance(value, Mapping):
        value = json.dumps(dict(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    if not isinstance(value, str):
        raise StoreError(f"{column} is {value!r}, not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise StoreError(f"{column} is {value!r}, which is not valid Unicode text") from None
    return value


def _check_choices(row: Mapping[str, Any]) -> None:
    for column, allowed in (("status", STATUSES), ("better", DIRECTIONS), ("budget_kind", BUDGET_KINDS)):
        if row[column] is not None and row[column] not in allowed:
            raise StoreError(f"{column} is {row[column]!r}, not one of {', '.join(allowed)}")
    if not _PLAIN_NAME.fullmatch(row["cell"]):  # a cell's id is the name of its folder
        raise StoreError(f"cell is {row['cell']!r}, not an id")
    try:
        options = json.loads(row["options"])
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise StoreError(f"options is {row['options']!r}, not a JSON object")


def _check_value(row: Mapping[str, Any]) -> None:
    if row["value"] is None:
        if not (row["reason"] or "").strip():
            raise StoreError("the value is missing without a reason")
        given = [column for column in ("se", "ci_low", "ci_high") if row[column] is not None]
        if given:
            raise StoreError(f"{', '.join(given)} given for a missing value")
        return
    if row["status"] in ("skipped", "failed"):
        raise StoreError(f"a {row['status']} row has the value {row['value']}; it must be null")
    if (row["ci_low"] is None) != (row["ci_high"] is None):
        raise StoreError("only one end of the interval is given")
    if row["ci_low"] is not None and row["ci_low"] > row["ci_high"]:
        raise StoreError(f"the interval [{row['ci_low']}, {row['ci_high']}] is upside down")
    if row["se"] is not None and row["se"] < 0:
        raise StoreError(f"se is {row['se']}")


def _clean(row: Row | Mapping[str, Any]) -> dict[str, Any]:
    given = {f.name: getattr(row, f.name) for f in fields(Row)} if isinstance(row, Row) else dict(row)
    if unknown := sorted(map(str, given.keys() - COLUMNS.keys())):
        raise StoreError(f"unknown columns: {', '.join(unknown)}")
    clean: dict[str, Any] = {}
    for column, dtype in COLUMNS.items():
        value = given.get(column)
        if value is None or value is pd.NA:
            if column in _REQUIRED:
                raise StoreError(f"{column} is missing")
            clean[column] = None
        else:
            clean[column] = _as_text(column, value) if dtype == "string" else _as_number(column, value)
    _check_choices(clean)
    _check_value(clean)
    return clean


def frame(rows: Iterable[Row | Mapping[str, Any]]) -> pd.DataFrame:
    """The results table of ``rows``, in their order, with the dtypes of ``COLUMNS``.

    Raises:
        StoreError: a row breaks a rule of the table (NaN, a missing value without a reason, a value in a skipped row,
            an unknown status, the same cell and metric twice …); names the row.
    """
    clean: list[dict[str, Any]] = []
    seen: set[tuple[Any, ...]] = set()
    for index, row in enumerate(rows):
        try:
            values = _clean(row)
            key = tuple(values[column] for column in _KEY)
            if key in seen:
                raise StoreError("this cell and metric is already in the table")
        except StoreError as error:
            get = row.get if isinstance(row, Mapping) else lambda name, row=row: getattr(row, name)
            place = " ".join(str(get(name)) for name in ("model", "sampler", "budget", "metric"))
            raise StoreError(f"results row {index} ({place}): {error}") from None
        seen.add(key)
        clean.append(values)
    return pd.DataFrame(
        {name: pd.array([row[name] for row in clean], dtype=dtype) for name, dtype in COLUMNS.items()}  # type: ignore[call-overload]
    )


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a results table as plain Python values (None for null): what ``--json`` prints."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(name): value for name, value in record.items()} for record in plain.to_dict("records")]


def csv_bytes(columns: Sequence[str], records: Iterable[Sequence[Any]]) -> bytes:
    """UTF-8 CSV; null is an empty field, and text cells can't act as spreadsheet formulas."""
    table = pd.DataFrame([[csv_field(value) for value in record] for record in records], columns=list(columns))
    return table.astype(object).to_csv(index=False, lineterminator="\n").encode()


def _content_hash(records: Sequence[Mapping[str, Any]]) -> bytes:
    """The sha256 of all values, which the file carries: a byte changed on disk can't become another number."""
    text = json.dumps([[record[name] for name in COLUMNS] for record in records], allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest().encode()


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """The table as a Parquet file that says its schema's version and the hash of its values. Raises StoreError."""
    records = rows(frame(rows(table)))
    arrow = pa.Table.from_pylist(records, schema=_ARROW_SCHEMA)
    buffer = io.BytesIO()
    metadata = {b"schema_version": str(SCHEMA_VERSION).encode(), _HASH: _content_hash(records)}
    pq.write_table(arrow.replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


def table_csv(table: pd.DataFrame) -> bytes:
    """The table as UTF-8 CSV, see :func:`csv_bytes`."""
    return csv_bytes(list(COLUMNS), ([record[name] for name in COLUMNS] for record in rows(table)))


def write(table: pd.DataFrame, folder: Path) -> bool:
    """Write ``results.parquet`` and ``results.csv`` into ``folder``; returns whether either differs from before.

    A file that holds the same bytes already is left alone, so that its time tells when the results last changed.

    Raises:
        StoreError: the table breaks a rule, or the files can't be written.
    """
    data, text = parquet_bytes(table), table_csv(table)
    written = [update(folder / PARQUET, data), update(folder / CSV, text)]
    return any(written)


def read(folder: Path) -> pd.DataFrame:
    """The results table of a run folder.

    Raises:
        StoreError: missing, corrupt, written by a newer diffbench, or breaking a rule of the table.
    """
    path = folder / PARQUET
    if not path.is_file():
        raise StoreError(f"{folder}: no {PARQUET} here; not a run folder, or the run has no results yet")
    return read_file(path)


def read_file(path: Path) -> pd.DataFrame:
    """The results table in a file, such as a copy of a run's or of a score's. Raises StoreError as :func:`read`."""
    try:
        table = pq.read_table(pa.BufferReader(path.read_bytes()), use_threads=False)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise StoreError(f"{path}: corrupt or unreadable ({str(error).splitlines()[0]})") from error
    metadata = table.schema.metadata or {}
    stated = metadata.get(b"schema_version", b"")
    if not stated.isdigit():
        raise StoreError(f"{path}: no schema version; not written by diffbench")
    if int(stated) > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema version {int(stated)} is newer than this diffbench reads ({SCHEMA_VERSION}); update it"
        )
    if not table.schema.equals(_ARROW_SCHEMA, check_metadata=False):
        raise StoreError(f"{path}: its columns are not those of schema version {int(stated)}")
    try:
        records = table.to_pylist()
        stated = metadata.get(_HASH)
        if stated is not None and stated != _content_hash(records):
            raise StoreError("its values are not those that were written; repeat the run's command")
        return frame(records)
    except (StoreError, ValueError) as error:
        raise StoreError(f"{path}: {error}") from None
