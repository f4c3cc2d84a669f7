"""Every command that says something says it as rows, too."""

import json

import click
import numpy as np

from diffbench.cli import cli
from diffbench.report import page


def commands(group, *path):
    for name, command in group.commands.items():
        yield from commands(command, *path, name) if isinstance(command, click.Group) else [((*path, name), command)]


def test_every_command_has_it():
    found = dict(commands(cli))
    assert len(found) > 25
    assert not [path for path, command in found.items() if not any("--json" in one.opts for one in command.params)]


def rows(diffbench, *arguments, code=0):
    found, out, err = diffbench(*arguments, "--json")
    assert found == code, err
    return json.loads(out)


def test_validate(diffbench, here):
    (row,) = rows(diffbench, "validate", "./suite.yaml")
    assert row["fine"] and row["cells"] == 8 and not row["problems"]
    ((reason, count),) = row["skipped"].items()
    assert "SDE" in reason and count == 2
    (here / "bad.yaml").write_text("models: [ddpm-mnist]\nsamplers: [dimm]\nbudgets: {nfe: [2]}\n")
    (row,) = rows(diffbench, "validate", "./bad.yaml", code=2)
    (problem,) = row["problems"]
    assert not row["fine"] and (problem["line"], problem["column"]) == (2, 12) and '"ddim"' in problem["message"]


def test_report_and_baseline(diffbench, here, monkeypatch):
    monkeypatch.setattr(page, "draw_into", lambda run, folder, theme: [folder / "suite.yaml"])
    assert rows(diffbench, "report", "runs/tiny") == [{"path": "runs/tiny/suite.yaml"}]
    (row,) = rows(diffbench, "baseline", "runs/tiny", "--out", "base.safetensors")
    assert row["bytes"] == (here / row["path"]).stat().st_size and row["cells"] == 6 and row["rows_missing"] == 0


def test_merge_and_cache(diffbench, here):
    (row,) = rows(diffbench, "merge", "whole", "runs/tiny")
    assert row == {"run": "whole", "copied": 8, "present": 0, "skipped": []}
    (row,) = rows(diffbench, "cache", "why", "tiny/ddim/nfe=2")
    assert "2 of 2 shards are there and whole" in row["told"]
    assert rows(diffbench, "cache", "gc", "runs/tiny") == []
    (row,) = rows(diffbench, "cache", "gc", "runs/tiny", "--features", "--dry-run")
    assert row["files"] == 8 and row["bytes"] > 0 and not row["freed"]


def test_export_and_references(diffbench, here):
    found = rows(diffbench, "export", "runs/tiny", "--out", "png")
    assert len(found) == 4 and {row["images"] for row in found} == {3}
    (row,) = rows(diffbench, "reference", "build", found[0]["path"], "--name", "own", "--device", "cpu")
    assert (row["path"], row["n"], row["dimension"], row["extractor"]) == ("own.json", 3, 64, "mnist-features")
    np.savez(here / "moments.npz", mu=np.zeros(64), sigma=np.eye(64))
    given = ["moments.npz", "--name", "theirs", "--extractor", "mnist-features"]
    (row,) = rows(diffbench, "reference", "import", *given)
    assert (row["path"], row["n"], row["dimension"]) == ("theirs.json", None, 64)


def test_init_and_schema(diffbench, tmp_path):
    (row,) = rows(diffbench, "init", "ddpm")
    assert row == {"model": "ddpm-mnist", "suite": "my-suite.yaml", "schema": "diffbench.schema.json"}
    (printed,) = rows(diffbench, "init", "ddpm", "--out", "-")
    assert printed["model"] == "ddpm-mnist" and "samplers:" in printed["text"]
    (whole,) = rows(diffbench, "schema")
    assert whole["schema"] == json.loads((tmp_path / "diffbench.schema.json").read_text())
    (row,) = rows(diffbench, "schema", "--card", "--out", "card.json")
    assert row == {"path": "card.json"} and "family" in json.loads((tmp_path / "card.json").read_text())["properties"]
