import json
import subprocess
import sys

import pytest

from diffbench import results
from diffbench.runner import engine


def write(text, path="suite.yaml"):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return str(path)


SUITE = "models: [mnist]\nsamplers: [ddim]\nbudgets: {nfe: [2]}\n"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (SUITE + "sampels: 10\n", "suite.yaml:4:1: ", 'did you mean "samples"?'),
        (SUITE.replace("ddim", "dimm"), "suite.yaml:2:12: ", 'did you mean "ddim"?'),
        (SUITE.replace("[2]", "[two]"), "suite.yaml:3:17: ", "two"),
        (SUITE.replace("mnist", "ddpm-mnits"), "suite.yaml:1:10: ", 'did you mean "ddpm-mnist"?'),
    ],
)
def test_a_bad_suite_is_one_line_exit_2_and_nothing_written(diffbench, tmp_path, text, place, words):
    shipped = text.replace("[mnist]", "[ddpm-mnist]")
    code, out, err = diffbench("run", f"./{write(shipped)}")
    assert (code, out) == (2, "")
    assert err.startswith(place) and words in err and err.count("\n") == 1, err
    assert [path.name for path in tmp_path.iterdir()] == ["suite.yaml"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "quickstrat"], 'did you mean "quickstart"?'),
        (["run", "./nowhere.yaml"], "nowhere.yaml"),
        (["run", "quickstart", "--device", "cuda:9"], "cuda:9"),
        (["run", "quickstart", "--device", "tpu"], "tpu"),
        (["run", "quickstart", "--only", "sampler=dimm"], "dimm"),
        (["run", "quickstart", "--set", "budgets.nfe=[0]"], "--set budgets.nfe"),
        (["report", "nowhere"], "nowhere"),
        (["list", "smaplers"], "smaplers"),
    ],
)
def test_bad_calls_are_one_clear_line(diffbench, tmp_path, arguments, words):
    code, _, err = diffbench(*arguments)
    assert code in (2, 4) and (code == 2 or arguments[0] == "report")
    assert words in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == [tmp_path / "nowhere.yaml"] or not list(tmp_path.iterdir())


def test_what_can_be_listed_is_listed_and_a_group_without_a_command_says_its_help_once(diffbench):
    code, out, err = diffbench("list")
    assert (code, err) == (0, "") and out.splitlines()[3].startswith("diffbench list models      Models that come")
    code, out, err = diffbench("list", "--json")
    assert [row["list"] for row in json.loads(out)] == [
        "extractors", "grids", "metrics", "models", "samplers", "suites"
    ]  # fmt: skip
    code, out, err = diffbench("list", "--json", "models")
    assert (code, out) == (2, "") and "--json goes last" in err
    code, out, err = diffbench("cache")
    assert (code, out) == (2, "") and err.count("Usage: ") == 1 and "Error" not in err


def test_smoke_runs_the_quickstart_in_seconds_and_prints_a_table(diffbench, tmp_path):
    rule = "sampler=ddim|heun,nfe=5"
    code, out, err = diffbench("run", "quickstart", "--smoke", "--only", rule, "--device", "cpu")
    assert code == 0, err
    for word in ("ddpm-mnist", "ldm-mnist", "score-vp-mnist", "FID", "IS", "report.html"):
        assert word in out
    assert max(len(line) for line in out.splitlines() if "report.html" not in line) <= 100
    folder = tmp_path / "runs" / "quickstart-smoke"
    assert {p.name for p in folder.iterdir()} >= {
        "suite.yaml", "provenance.json", "cells", "results.parquet", "results.csv", "report.html", "report.md",
        "figures", "tables", "timing.json", "references.json",
    }  # fmt: skip
    table = results.read(folder)
    assert set(table["family"]) == {"ddpm", "latent", "score-sde"}
    heun = table[(table["sampler"] == "heun") & (table["metric"] == "fid")]
    assert set(heun["steps"]) == {3} and set(heun["nfe"]) == {5.0}

    code, out, err = diffbench("run", "quickstart", "--smoke", "--only", rule, "--device", "cpu", "--json", "--quiet")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert len(rows) == len(table) and {row["metric"] for row in rows} >= {"fid", "is", "kid", "seconds_per_image"}


def test_smoke_solves_coarsely(diffbench, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "execute", lambda spec, *arguments, **more: asked.append(spec) or sys.exit(0))
    asked = []
    diffbench("run", "convergence", "--smoke")
    diffbench("run", "convergence")
    steps = [{metric.options["reference_steps"] for metric in spec.metrics} for spec in asked]
    assert steps == [{64}, {1024}]


def test_lists_are_json_on_request(diffbench):
    code, out, _ = diffbench("list", "samplers", "--json")
    by_name = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert by_name["heun"]["nfe_at_10_steps"] == 19 and by_name["ddpm"]["stochastic"]
    assert by_name["euler-maruyama"]["needs"] == ["sde"]
    assert "learned" in by_name["ddpm"]["options"]["variance"]["description"] and not by_name["ddpm"]["needs"]
    assert all(row["source"] for row in by_name.values())
    steps = by_name["unipc"]["options"]["order"]
    assert (steps["minimum"], steps["maximum"], steps["default"]) == (1, 3, 3)
    assert by_name["ddpm"]["options"]["variance"]["enum"] == ["fixed_small", "fixed_large", "learned"]
    for what in ("models", "metrics", "suites", "grids", "extractors"):
        assert json.loads(diffbench("list", what, "--json")[1])
        assert diffbench("list", what)[0] == 0


def test_validate_counts_the_cells(diffbench):
    code, out, _ = diffbench("validate", "quickstart")
    assert code == 0 and "48 cells" in out


def test_an_unexpected_error_is_one_line_too(diffbench, monkeypatch):
    monkeypatch.setattr("diffbench.suite.read.find_suite", lambda name: 1 / 0)
    code, _, err = diffbench("validate", "quickstart")
    assert code == 4 and err.startswith("internal error: ZeroDivisionError") and "Traceback" not in err


@pytest.mark.parametrize(
    "call",
    [
        "--help",
        "run --help",
        "list samplers",
        "list models",
        "validate quickstart",
        "plan quickstart",
        "plan quickstart --json",
    ],
)
def test_light_commands_do_not_import_torch(call):
    code = (
        "import sys; from diffbench.cli import main\n"
        f"sys.argv = ['diffbench', *{call.split()!r}]\n"
        "try:\n    main()\nexcept SystemExit as leave:\n    assert not leave.code, leave.code\n"
        "assert 'torch' not in sys.modules and 'diffusers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_help_imports_nothing_heavy():
    code = "import sys, diffbench.cli; print([m for m in ('pandas', 'numpy', 'pydantic', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_validate_says_why_cells_are_skipped(diffbench):
    path = write("models: [ddpm-mnist]\nsamplers: [euler-maruyama]\nbudgets: {nfe: [2, 3]}\n")
    code, out, _ = diffbench("validate", f"./{path}")
    assert code == 0 and "2 cells, 2 of them skipped" in out and "SDE" in out
    code, out, _ = diffbench("validate", "quickstart", "--only", "sampler=ddim,nfe=5")
    assert code == 0 and "3 cells" in out
