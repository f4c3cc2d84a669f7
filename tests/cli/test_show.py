"""``show``: what a name means."""

import json

import pytest

from diffbench import results, shipped
from diffbench.catalog import COSTS, LIKELIHOOD, METRICS, SAMPLERS
from diffbench.suite.plan import plan
from diffbench.suite.read import find_suite, read_suite

NAMES = [*shipped.suite_names(), *shipped.card_paths(), *SAMPLERS, *METRICS, *COSTS, LIKELIHOOD.name,
         "diffusers:UniPCMultistepScheduler"]  # fmt: skip


def shown(diffbench, name):
    """What is printed, and the row of --json."""
    code, out, err = diffbench("show", name)
    assert (code, err) == (0, "") and "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 100 and out.count("\n") <= 30, "one screen"
    code, row, err = diffbench("show", name, "--json")
    assert (code, err) == (0, "")
    return out, json.loads(row)[0]


def test_every_name_of_the_lists_is_known(diffbench):
    kinds = {}
    for name in NAMES:
        out, row = shown(diffbench, name)
        assert row["name"] == name and out.startswith(f"{row['kind']} {name}")
        kinds.setdefault(row["kind"], []).append(name)
    assert sorted(kinds) == ["metric", "model", "sampler", "suite"]
    assert set(kinds["model"]) == set(shipped.card_paths()) and len(kinds["metric"]) == len(METRICS) + len(COSTS) + 1


def test_a_sampler(diffbench):
    out, row = shown(diffbench, "heun")
    assert "2 a step; 19 for 10 steps" in out and "a number of at least 0" in out and "Karras et al. 2022" in out
    assert row["options"]["s_noise"]["default"] == 1.0 and row["nfe_at_10_steps"] == 19
    assert "chooses its own steps" in shown(diffbench, "rk45")[0]


@pytest.mark.parametrize("name", [*SAMPLERS, *METRICS])
def test_the_line_for_a_suite_is_a_suites(diffbench, tmp_path, name):
    kind, line = ("samplers", "metrics: [kid]") if name in SAMPLERS else ("metrics", "samplers: [ddim]")
    own = next(line for line in diffbench("show", name)[1].splitlines() if line.startswith("in a suite"))
    assert f"{kind}: [" in own
    (tmp_path / "s.yaml").write_text(f"models: [ddpm-mnist]\nbudgets: {{nfe: [20]}}\n{line}\n{own[10:].strip()}\n")
    code, _, err = diffbench("validate", "./s.yaml")
    assert code == 0, err


def test_a_model_by_name_and_by_place(diffbench, here):
    out, row = shown(diffbench, "ldm-mnist")
    assert "4 x 8 x 8, decoded by AutoencoderKL" in out and row["codec"]["crop"] == 28 and row["missing"] == []
    for place in ("./checkpoint", "checkpoint/card.yaml"):
        out, row = shown(diffbench, place)
        assert row["kind"] == "model" and "2 files" in out
    next((here / "checkpoint").rglob("*.safetensors")).unlink()
    out, row = shown(diffbench, "./checkpoint")
    assert len(row["missing"]) == 1 and "missing: unet/" in out


def test_a_suite_by_name_and_by_path(diffbench, here):
    suite = read_suite(find_suite("quickstart"))
    out, row = shown(diffbench, "quickstart")
    cells = plan(suite)
    assert row["cells"] == len(cells) == 48 and row["evaluations"] == sum(cell.nfe * cell.n for cell in cells)
    assert "Four samplers on three small models" in out and "diffbench run quickstart" in out
    for name in ("./suite.yaml", "suite.yaml"):
        out, row = shown(diffbench, name)
        assert row["kind"] == "suite" and "The tiny network with three samplers." in out
        assert "8, 2 skipped, 2 the same as another" in out and f"diffbench run {name}" in out


def test_a_run(diffbench, here):
    out, row = shown(diffbench, "runs/tiny")
    assert row["kind"] == "run" and (row["sampled"], row["to_sample"], row["sessions"]) == (4, 4, 1)
    assert "all 4 cells" in out and "best sampler" in out and "torch" in out
    table = results.read(here / "runs" / "tiny")
    kid = table[(table["metric"] == row["best"][0]["metric"]) & (table["budget"] == 2)]
    assert row["best"][0]["value"] in set(kid["value"]) and len(row["best"]) == 2
    next((here / "runs" / "tiny" / "cells").glob("*/shard-*.json")).unlink()
    (here / "runs" / "tiny" / results.PARQUET).unlink()
    out, row = shown(diffbench, "runs/tiny")
    assert "3 of 4 cells; 1 partly" in out and row["sampled"] == 3 and "best" not in row
    assert "diffbench run runs/tiny/suite.yaml --out runs/tiny" in out


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("dimm", 2, 'no suite, model, sampler or metric; did you mean "ddim"?'),
        ("./nowhere", 2, "no such folder or file"),
        ("diffusers:Nothing", 2, "no suite, model"),
        ("runs", 4, "neither a run folder (no suite.yaml) nor a model (no card.yaml)"),
        ("broken.yaml", 2, "broken.yaml:2:1: "),
        ("", 2, "no suite"),
        ("x" * 5000, 2, "no suite"),
    ],
)
def test_what_is_none_of_them_is_one_line(diffbench, here, name, code, words):
    (here / "broken.yaml").write_text("models: [x\n")
    found, out, err = diffbench("show", name)
    assert (found, out) == (code, "") and words in err and err.count("\n") == 1


def test_hostile_text_is_shown_as_escapes(diffbench, here):
    text = (here / "suite.yaml").read_text()
    (here / "suite.yaml").write_text("# \x1b[31mred\u202e\n" + text, encoding="utf-8")
    out = diffbench("show", "./suite.yaml")[1]
    assert "\x1b" not in out and "\u202e" not in out
