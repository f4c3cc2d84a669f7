"""Tables in terminals of any width."""

import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from diffbench.columns import Columns

ROWS = (
    ("ours-with-attention-and-ema-0.9999-step-1000", "dpmpp-2m-karras-rho-7-final-denoise", "12.34 ± 0.56", "done"),
    ("ours-with-attention-and-ema-0.9999-step-2000", "dpmpp-2m-karras-rho-7-final-sigma-min", "208 ± 11", "2 of 3"),
)


def drawn(width, *rows):
    table = Columns(("model", "sampler", "FID", "state"), [[Text(one) for one in row] for row in rows], (2,), (3,))
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [110, 100, 80, 60, 45])
def test_names_share_what_numbers_leave(width):
    lines = drawn(width, *ROWS)
    assert len(lines) == 3 and max(map(len, lines)) <= width
    for row, line in zip(ROWS, lines[1:], strict=True):
        assert row[2] in line and line.endswith(row[3]), "never cut"
        assert line.split()[0].endswith(row[0][-4:]) and line.split()[1][-3:] == row[1][-3:]
    assert ("…" in lines[1]) == (width < 110) and len(set(lines)) == 3


def test_names_are_whole_where_there_is_room():
    lines = drawn(200, *ROWS, (), ("x", "y", "1", "z"))
    assert all(one in line for row, line in zip(ROWS, lines[1:], strict=False) for one in row)
    assert lines[3] == "" and lines[4].split() == ["x", "y", "1", "z"]


def test_no_rows():
    assert drawn(100)[0].split() == ["model", "sampler", "FID", "state"]


def names_of(width, *samplers):
    return [line.split("  ")[0].strip() for line in drawn(width, *((one, "x", "1", "done") for one in samplers))[1:]]


@pytest.mark.parametrize("width", [60, 45, 38])
def test_rows_that_differ_in_their_middle_stay_apart(width):
    """What all of them say goes first, wherever it stands."""
    rows = [
        f"dpmpp-2m-karras eta=0.5 guidance {scale} in 0.3..5 variance=fixed_large churn={churn}"
        for scale in ("1.5", "7.5", "12.5")
        for churn in ("0", "40")
    ]
    found = names_of(width, *rows)
    assert len({*found}) == len(rows) and max(map(len, found)) <= width
    for row, name in zip(rows, found, strict=True):
        assert re.search(rf"[ …]{row.split()[3]}[ …]", name) and name.endswith(f"…churn={row.split('churn=')[1]}")
    assert "fixed_large" not in " ".join(found)


def test_rows_of_unequal_parts_and_single_words_stay_apart_too():
    middles = (" guidance 2", " guidance 2 in 1..5")
    rows = [f"sampler-with-a-long-name{middle} final=sigma_min-of-the-model" for middle in middles]
    assert len({*names_of(38, *rows)}) == 2
    rows = [f"checkpoint-of-a-long-name-{step}-with-its-average-weights" for step in ("1000", "2000", "3000")]
    found = names_of(36, *rows)
    assert len({*found}) == 3 and all("000" in one for one in found)
