"""What the report says of the estimate, of drift, and of the sessions."""

import json

import pytest

from diffbench.report.content import content
from diffbench.report.folder import open_run
from diffbench.store.sealed import read_sealed, write_sealed


def page(run, **changes):
    provenance = {**read_sealed(run / "provenance.json"), **changes}
    write_sealed(run / "provenance.json", provenance)
    return content(open_run(run), [])


def session(seconds, actual):
    return {"estimate": {"seconds": seconds, "basis": "earlier runs", "actual": actual}}


def test_the_error_of_the_estimate_is_stated_over_all_sessions(new_run, tmp_path):
    run = new_run(tmp_path / "run", models=("ddpm-mnist",), images=False)
    interrupted = {"estimate": {"seconds": 50.0, "basis": "earlier runs", "actual": None}}
    said = page(run, sessions=[session(100.0, 90.0), interrupted, session(20.0, 36.0), {"estimate": None}])
    (line,) = (note for note in said.notes if "expected" in note and "take" in note)
    assert "expected to take 120 s" in line and "took 126 s, 5% more" in line
    rows = {row[0].text: row[1].text for row in said.provenance.rows}
    assert rows["sessions"] == "4, in provenance.json" and "sha256" not in rows


def test_without_an_estimate_nothing_is_said(new_run, tmp_path):
    run = new_run(tmp_path / "run", models=("ddpm-mnist",), images=False)
    for sessions in ([], [{"estimate": None}], ["?"], None):
        assert not any("expected to take" in note for note in page(run, sessions=sessions).notes)


def test_drift_is_told(new_run, tmp_path):
    run = new_run(tmp_path / "run", models=("ddpm-mnist",), images=False)
    said = page(run, drift=["torch: 2.9.0, then 2.10.0"])
    assert any("not all samples" in note.casefold() and "torch: 2.9.0, then 2.10.0" in note for note in said.notes)
    assert "drift" not in json.dumps([row[0].text for row in said.provenance.rows])


def test_bits_per_dim_of_the_models_is_told(new_run, tmp_path):
    run = new_run(tmp_path / "run", models=("ddpm-mnist",), images=False)
    assert not any("bits/dim" in note for note in content(open_run(run), []).notes)
    row = {"model": "ddpm-mnist", "value": 1.93481, "ci_high": 1.98481, "n": 128, "split": "the first 128 of <b>.npy"}
    row |= {"sigma_min": 0.01, "dequantisation": "uniform", "nfe": 207.5}
    rows = [row, {**row, "model": "alone", "ci_high": None}, {**row, "model": "ldm-mnist", "value": None}]
    write_sealed(run / "likelihood.json", {"format": 1, "rows": rows})
    first, second = (note for note in content(open_run(run), []).notes if "bits/dim" in note)
    assert first.startswith("ddpm-mnist has 1.935 bits/dim ± 0.050 on the first 128 of <b>.npy (n = 128; ")
    assert "sigma = 0.0100, dequantisation uniform, 208 evaluations" in first and second.startswith(
        "alone has 1.935 bits"
    )


def test_samples_that_depend_on_their_batch_are_flagged(new_run, tmp_path):
    run = new_run(tmp_path / "run", models=("ddpm-mnist",))
    assert not any("coupled" in note for note in content(open_run(run), []).notes)
    for path in run.glob("cells/*/cell.json"):
        cell = read_sealed(path)
        if cell["method"] == "heun":
            write_sealed(path, {**cell, "method_options": {"coupled": True}})
    (note,) = (note for note in content(open_run(run), []).notes if "coupled" in note)
    assert note.startswith("Samples of heun depend on the others of their batch")


def test_captions_speak_of_marks_that_are_there(new_run, tmp_path):
    every = new_run(tmp_path / "every", models=("ddpm-mnist",), images=False)
    assert "dashed" in page(every).marks and "dotted" in page(every).marks
    sure = new_run(tmp_path / "sure", lambda rows: [row for row in rows if row.sampler != "euler-maruyama"],
                   models=("ddpm-mnist",), images=False)  # fmt: skip
    (sure / "references.json").unlink()
    assert page(sure).marks == "Bars are 95% intervals."


@pytest.mark.parametrize(
    ("blocks", "spent", "said"),
    [
        ({"a": [1.0]}, 4.68, "1 of 3 cells was timed, once, in 4.68 s; nothing began after 3.00 s. "),
        ({"a": [1.0, 1.0], "b": [2.0]}, 2.5, "2 of 3 cells were timed, 1 to 2 times each, in 2.50 s of at most 3.00 s"),
        ({name: [1.0] * 7 for name in "abc"}, 2.5, "all 3 cells were timed, 7 times each, in 2.50 s of at most"),
        ({}, 3.1, "none of 3 cells was timed, in "),
    ],
)
def test_a_timing_pass_says_how_many_cells_it_came_to(new_run, tmp_path, blocks, spent, said):
    run = new_run(tmp_path / "run", models=("ddpm-mnist",), images=False)
    timing = {"limit": 3.0, "spent": spent, "rounds": 1, "batch_size": 8, "device": "cpu", "cells": list("abc")}
    write_sealed(run / "timing.json", {**timing, "blocks": blocks})
    (note,) = (note for note in content(open_run(run), []).notes if note.startswith("Seconds per image"))
    assert said in note and "rounds" not in note
