import math
from dataclasses import asdict, fields, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diffbench.errors import StoreError
from diffbench.results import COLUMNS, Row, frame, read, rows, write

CONTRACT = (
    "suite cell model family sampler options grid budget_kind budget steps nfe network_evals n metric value se ci_low "
    "ci_high unit better status reason batch_size device dtype reference extractor signature"
)

ROW = Row(
    suite="s",
    cell="0123456789abcdef",
    model="m",
    family="ddpm",
    sampler="ddim",
    options={"eta": 0.2},
    grid="trailing",
    budget_kind="nfe",
    budget=10,
    steps=10,
    nfe=10.0,
    network_evals=10,
    n=160,
    metric="fid",
    value=12.5,
    se=0.5,
    ci_low=11.5,
    ci_high=13.5,
    better="lower",
    status="ok",
    batch_size=32,
    device="cpu",
    dtype="float32",
    reference="mnist",
    extractor="mnist-features",
    signature="{}",
)
SKIPPED = replace(
    ROW,
    metric="kid",
    value=None,
    se=None,
    ci_low=None,
    ci_high=None,
    nfe=None,
    status="skipped",
    reason="budget 1 is too small",
)


def test_columns_are_the_contract():
    assert list(COLUMNS) == CONTRACT.split()
    assert {c for c, d in COLUMNS.items() if d == "Int64"} == {"budget", "steps", "n", "batch_size"}
    assert {c for c, d in COLUMNS.items() if d == "Float64"} == set("nfe network_evals value se ci_low ci_high".split())
    assert [f.name for f in fields(Row)] == list(COLUMNS)


def test_frame_has_the_nullable_dtypes_even_when_empty_or_all_null():
    for table in (frame([]), frame([SKIPPED]), frame([ROW, asdict(SKIPPED)])):
        assert {name: str(dtype) for name, dtype in table.dtypes.items()} == dict(COLUMNS)
    table = frame([ROW, SKIPPED])
    assert table["options"][0] == '{"eta":0.2}'
    assert table["value"].isna().tolist() == [False, True]


@pytest.mark.parametrize("column", ["value", "se", "ci_low", "ci_high", "nfe"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, np.float64("nan"), np.float32("-inf")])
def test_not_finite_is_refused(column, bad):
    with pytest.raises(StoreError, match=f"row 0 .*{column} is .*null with a reason"):
        frame([replace(ROW, **{column: bad})])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": None, "se": None, "ci_low": None, "ci_high": None}, "without a reason"),
        ({"value": None, "se": None, "ci_low": None, "ci_high": None, "reason": "  "}, "without a reason"),
        ({"value": None, "reason": "why"}, "se, ci_low, ci_high given"),
        ({"status": "skipped", "reason": "why"}, "must be null"),
        ({"status": "failed", "value": 0.0, "reason": "why"}, "must be null"),
        ({"status": "fine"}, "not one of ok, skipped, failed, incomplete"),
        ({"better": "more"}, "not one of lower, higher"),
        ({"budget_kind": "seconds"}, "not one of nfe, steps"),
        ({"ci_low": None}, "one end"),
        ({"ci_low": 14.0}, "upside down"),
        ({"se": -1.0}, "se is -1"),
        ({"budget": 10.5}, "budget is 10.5"),
        ({"n": True}, "n is True"),
        ({"value": "12"}, "value is '12'"),
        ({"model": None}, "model is missing"),
        ({"model": 3}, "model is 3, not text"),
        ({"model": "a\ud800"}, "not valid Unicode"),
        ({"options": "[1]"}, "not a JSON object"),
        ({"options": "{"}, "not a JSON object"),
    ],
)
def test_rules_of_the_table(changes, message):
    with pytest.raises(StoreError, match=message):
        frame([replace(ROW, **changes)])


def test_the_same_cell_and_metric_twice_is_refused_but_an_alias_is_not():
    with pytest.raises(StoreError, match=r"row 1 .*already"):
        frame([ROW, ROW])
    assert len(frame([ROW, replace(ROW, sampler="alias"), replace(ROW, options="{}")])) == 3


def test_unknown_column_is_refused():
    with pytest.raises(StoreError, match="unknown columns: fidd"):
        frame([asdict(ROW) | {"fidd": 1}])


def test_round_trip(tmp_path):
    table = frame([ROW, SKIPPED, replace(ROW, metric="is", value=np.float64(0.1) + 0.2, n=np.int64(3))])
    write(table, tmp_path)
    again = read(tmp_path)
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    assert rows(again)[1]["value"] is None and rows(again)[0]["budget"] == 10
    assert pq.read_schema(tmp_path / "results.parquet").metadata[b"schema_version"] == b"1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.csv", "results.parquet"]


def test_csv_has_empty_nulls_and_no_formulas(tmp_path):
    write(frame([replace(ROW, model="=cmd()", sampler="@x", grid="-1+1", value=-0.5, ci_low=-1.0)]), tmp_path)
    plain = pd.read_csv(tmp_path / "results.csv", dtype=str, keep_default_na=False)
    assert list(plain.columns) == list(COLUMNS)
    got = plain.iloc[0]
    assert (got["model"], got["sampler"], got["grid"], got["value"], got["unit"]) == (
        "'=cmd()",
        "'@x",
        "'-1+1",
        "-0.5",
        "",
    )
    assert got["budget"] == "10"


def test_read_missing(tmp_path):
    with pytest.raises(StoreError, match=r"no results\.parquet here"):
        read(tmp_path)


def test_read_corrupt(tmp_path):
    write(frame([ROW]), tmp_path)
    path = tmp_path / "results.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(StoreError, match="corrupt"):
        read(tmp_path)


def _rewrite(path, table):
    pq.write_table(table, path)


def test_read_newer_or_foreign_or_changed(tmp_path):
    write(frame([ROW]), tmp_path)
    path = tmp_path / "results.parquet"
    good = pq.read_table(path)
    _rewrite(path, good.replace_schema_metadata({b"schema_version": b"2"}))
    with pytest.raises(StoreError, match="schema version 2 is newer"):
        read(tmp_path)
    _rewrite(path, good.replace_schema_metadata(None))
    with pytest.raises(StoreError, match="not written by diffbench"):
        read(tmp_path)
    _rewrite(path, good.drop_columns(["n"]).replace_schema_metadata({b"schema_version": b"1"}))
    with pytest.raises(StoreError, match="columns are not those"):
        read(tmp_path)
    nan = good.set_column(good.schema.get_field_index("value"), "value", pa.array([math.nan]))
    _rewrite(path, nan.replace_schema_metadata({b"schema_version": b"1"}))
    with pytest.raises(StoreError, match=r"results\.parquet: results row 0 .*value is nan"):
        read(tmp_path)
