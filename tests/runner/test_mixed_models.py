"""One suite with a model that comes along, a pipeline's folder, a name of the hub and a guided network of labels."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import tiny_pipelines
import torch
import yaml

from diffbench import results
from diffbench.errors import CardError, SuiteError
from diffbench.models.find import installed_models, load_card
from diffbench.runner.engine import execute
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    torch.manual_seed(0)
    tiny_pipelines.ddim(tmp_path / "folder")
    tiny_pipelines.dit(tmp_path / "dit")
    hub = tmp_path / "hub" / "models--owner--tiny"
    tiny_pipelines.ldm(hub / "snapshots" / COMMIT, "vq")
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text(COMMIT)
    path = tmp_path / "mixed.yaml"
    guided = {
        "id": "guided",
        "source": "./dit",
        "card": {"ema": True},
        "labels": "balanced",
        "sweep": {"guidance": [1, 3]},
    }
    interval = {"scale": 3, "interval": [0.0, 1.0]}
    models = [
        "ddpm-mnist",
        {"id": "folder", "source": "./folder", "card": {"ema": True}},
        {"id": "hub", "source": "hf://owner/tiny@main", "card": {"ema": True}},
        guided,
        {"id": "within", "source": "./dit", "card": {"ema": True}, "labels": [3, 7], "guidance": interval},
    ]
    written = {
        "models": models, "samplers": ["ddim", "diffusers:checkpoint"], "budgets": {"nfe": [4]},
        "samples": {"n": 6, "shard": 4}, "run": {"batch_size": 4}, "timing": {"seconds": 0}, "metrics": ["fid"],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(written))
    return path


def test_models_of_every_kind_run_side_by_side(suite: Path, tmp_path: Path) -> None:
    spec = read_suite(suite)
    cells = {(cell.model, cell.sampler, cell.options.get("guidance")): cell for cell in plan(spec)}
    assert len(cells) == 12
    assert len({cell.id for cell in cells.values()}) == 12
    assert not any(cell.skip for cell in cells.values())
    summary = execute(spec, tmp_path / "run", "cpu", quiet=True)
    assert not summary.failed
    table = results.read(tmp_path / "run")
    rows = {(row.model, row.sampler, row.options): row for row in table[table.metric == "fid"].itertuples()}
    assert rows["folder", "checkpoint", "{}"].nfe == 4
    assert "extractor" in rows["hub", "ddim", "{}"].reason
    spent = {
        options: (row.nfe, row.network_evals)
        for (model, sampler, options), row in rows.items()
        if model == "guided" and sampler == "ddim"
    }
    assert spent == {'{"guidance": 1.0}': (4, 4), '{"guidance": 3.0}': (4, 8)}
    inside = rows["within", "ddim", "{}"]
    assert inside.nfe == 4 and 4 < inside.network_evals < 8, "guided at the lower noise levels alone"
    again = execute(spec, tmp_path / "run", "cpu", quiet=True)
    assert again.sampled == 0


@pytest.mark.parametrize(
    "given, changed, message",
    [
        ("labels: balanced", "clip: null", 'the key "labels" is missing; dit needs it: balanced, uniform or a list'),
        ("labels:\n  - 3", "labels:\n  - 1000", "1000 is not allowed; dit has the classes 0 to 999"),
        ("id: folder", "id: folder\n  labels: uniform", "folder takes no labels"),
        ("id: folder", "id: folder\n  guidance: 2", "folder takes no condition, so that nothing can guide it"),
        ("id: folder", "id: folder\n  prompts: [a cat]", "folder takes no prompts"),
    ],
)
def test_what_a_model_is_told_must_be_what_it_takes(suite: Path, given: str, changed: str, message: str) -> None:
    text = suite.read_text()
    assert given in text
    suite.write_text(text.replace(given, changed))
    with pytest.raises(SuiteError) as caught:
        read_suite(suite)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{suite}:")


def test_installed_cards_are_found_without_running_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "their_models"
    tiny_pipelines.ddpm(package / "cards" / "tiny")
    (package / "__init__.py").write_text("raise RuntimeError('this package was imported')\n")
    found = load_card(package / "cards" / "tiny", {"ema": True})
    (package / "cards" / "tiny" / "card.yaml").write_text(yaml.safe_dump({"name": found.name, "ema": True}))
    info = tmp_path / "site" / "their_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[diffbench.models]\ntheirs = their_models.cards.tiny\n")
    monkeypatch.syspath_prepend(os.fspath(tmp_path / "site"))
    assert installed_models()["theirs"] == package / "cards" / "tiny" / "card.yaml"
    assert load_card("theirs").ema
    with pytest.raises(CardError, match="theirs"):
        load_card("thiers")


def test_a_model_without_a_scheduler_of_its_own_says_so(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("models: [gaussian-mixture]\nsamplers: ['diffusers:checkpoint']\nbudgets: {nfe: [4]}\n")
    (cell,) = plan(read_suite(path))
    assert cell.skip == "gaussian-mixture comes with no scheduler of diffusers"


def test_what_decides_a_schedulers_grid_must_be_stated(tmp_path: Path) -> None:
    tiny_pipelines.ddim(tmp_path / "old")
    config = tmp_path / "old" / "scheduler" / "scheduler_config.json"
    stated = {key: value for key, value in json.loads(config.read_text()).items() if key != "timestep_spacing"}
    config.write_text(json.dumps(stated))
    path = tmp_path / "suite.yaml"
    more = "card: {ema: true, scheduler: {config: {timestep_spacing: trailing}}}"
    for card, reason in (("card: {ema: true}", "does not state timestep_spacing; say it under card"), (more, None)):
        path.write_text(
            f"models: [{{id: old, source: ./old, {card}}}]\nsamplers: ['diffusers:checkpoint']\nbudgets: {{nfe: [4]}}\n"
        )
        (cell,) = plan(read_suite(path))
        assert cell.skip is None if reason is None else reason in str(cell.skip)
