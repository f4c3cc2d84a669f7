"""What the page says below expected and measured: which rows each note is about."""

from dataclasses import replace

from diffbench.comparison.expectation import Expected
from diffbench.report.expectation import reasons

MET = Expected(
    model="ddpm-mnist", sampler="ddim", options={"eta": 0.5, "dtype": "bfloat16"}, grid="trailing", budget_kind="nfe",
    budget=10, n=100, metric="fid", expected=10.0, tolerance="5%", low=9.5, high=10.5, value=10.0, ci_low=9.0,
    ci_high=11.0, verdict="MET", reason=None, source="a paper", unverified=None,
)  # fmt: skip


def unmeasured(budget, **changes):
    return replace(MET, budget=budget, value=None, verdict="NOT MEASURED", reason="the cell failed", **changes)


def test_a_note_names_its_rows():
    found = [MET, unmeasured(20, options={}), unmeasured(None, budget_kind=None, sampler="rk45", options={})]
    found.append(replace(MET, metric="kid", unverified="read off a plot"))
    assert reasons(found) == [
        "ddpm-mnist · ddim @ NFE 20, FID; ddpm-mnist · rk45 @ adaptive, FID: NOT MEASURED: the cell failed",
        "ddpm-mnist · ddim eta=0.5, dtype=bfloat16 @ NFE 10, KID: * read off a plot",
    ]


def test_many_rows_are_named_in_part_and_all_as_such():
    found = [unmeasured(budget, options={}) for budget in range(1, 8)]
    (line,) = reasons([MET, *found])
    assert line.startswith("ddpm-mnist · ddim @ NFE 1, FID; ") and line.count("@") == 4
    assert line.endswith("; 3 more rows: NOT MEASURED: the cell failed")
    assert reasons(found) == ["all 7 rows: NOT MEASURED: the cell failed"]
    assert reasons(found[:1]) == ["ddpm-mnist · ddim @ NFE 1, FID: NOT MEASURED: the cell failed"]
