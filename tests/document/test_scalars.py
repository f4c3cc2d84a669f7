from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from diffbench.document.scalars import needs_quotes, plain_value


@pytest.mark.parametrize(
    "text, value",
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False), ("0", 0), ("-7", -7), ("+7", 7),
        ("12345", 12345), ("1.5", 1.5), ("1.", 1.0), (".5", 0.5), ("1e-5", 1e-5), ("1E5", 1e5), ("-2.5e+3", -2500.0),
        ("0.0", 0.0), ("ddim", "ddim"), ("2024-01-02", "2024-01-02"), ("1.2.3", "1.2.3"), ("n", "n"), ("y", "y"),
        ("1e", "1e"), ("e5", "e5"), (".", "."), ("-", "-"), ("=", "="), ("0.10", 0.1), ("cuda:1", "cuda:1"),
        ("trUe", "trUe"), ("1 2", "1 2"), ("./x", "./x"),
    ],
)  # fmt: skip
def test_plain_scalars(text: str, value: object) -> None:
    read = plain_value(text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    "text",
    ["yes", "NO", "On", "off", "010", "-01", "00", "0x1f", "0o17", "0b1", "1:30", "190:20:30.15", "1_000", "1_0.5_5"]
    + [".inf", "-.Inf", ".NaN", "9" * 19, "1e999", "-1e400"],
)
def test_scalars_of_doubtful_meaning_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^(is|has) "):
        plain_value(text)
    assert needs_quotes(text)


def test_minus_zero_is_zero() -> None:
    assert str(plain_value("-0.0")) == "0.0"


@given(st.text(alphabet="0123456789._:eE+-xob nyoftru~", max_size=12))
def test_where_we_accept_a_number_other_readers_agree_or_see_text(text: str) -> None:
    try:
        ours = plain_value(text.strip())
    except ValueError:
        return
    if isinstance(ours, str) or ours is None:
        return
    theirs = yaml.safe_load(text.strip())
    assert theirs == ours or isinstance(theirs, str)


def test_no_scalar_takes_long() -> None:
    begin = time.perf_counter()
    for text in ("1_" * 50_000 + "x", "1:" * 50_000 + "x", "0" * 100_000 + "x", "1" * 100_000 + ".e", "1.1" * 30_000):
        plain_value(text)
    assert time.perf_counter() - begin < 5
