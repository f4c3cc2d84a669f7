from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import tiny_pipelines
import torch

from diffbench.errors import CardError
from diffbench.models.find import load_card
from diffbench.models.hub import HubName
from diffbench.models.load import load_model
from diffbench.suite.read import read_suite, resolved

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(cache: Path, repository: str = "owner/tiny", branch: str = "main") -> Path:
    """A pipeline as the hub's client keeps it: blobs by their hash, a snapshot of links, and a branch."""
    torch.manual_seed(0)
    folder = cache / f"models--{repository.replace('/', '--')}"
    tiny_pipelines.ddpm(cache / "saved")
    for file in sorted((cache / "saved").rglob("*.*")):
        place = folder / "snapshots" / COMMIT / file.relative_to(cache / "saved")
        blob = folder / "blobs" / f"{abs(hash(str(place))):064x}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(file.read_bytes())
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(blob, place.parent))
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / branch).write_text(COMMIT)
    return folder / "snapshots" / COMMIT


def test_a_name_says_repository_and_revision() -> None:
    assert HubName.parse("hf://google/ddpm-cifar10-32@v1.0") == HubName("google/ddpm-cifar10-32", "v1.0")
    assert HubName.parse("hf://google/ddpm-cifar10-32") == HubName("google/ddpm-cifar10-32", "main")


@pytest.mark.parametrize(
    "text", ["hf://", "hf://x", "hf://a/b/c", "hf://../b", "hf://a/..", "hf://a/b@", "hf://a/b@../x", "hf://a--b/c"]
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(CardError, match="expected hf://owner/name@revision"):
        HubName.parse(text)


def test_what_is_not_in_the_cache_says_how_to_get_it(cache: Path) -> None:
    with pytest.raises(CardError) as caught:
        load_card("hf://owner/tiny@main")
    assert str(caught.value) == (
        f"hf://owner/tiny@main is not in the cache {cache}; with a connection: diffbench fetch hf://owner/tiny@main"
    )


def test_a_snapshot_is_a_model_and_its_branch_is_pinned_in_the_resolved_suite(cache: Path, tmp_path: Path) -> None:
    put(cache)
    card = load_card("hf://owner/tiny@main", {"ema": False})
    assert (card.name, card.ema, card.source) == ("owner-tiny", False, f"hf://owner/tiny@{COMMIT}")
    x, sigma = torch.zeros(1, 3, 8, 8), torch.ones(1, dtype=torch.float64)
    assert load_model(card, torch.device("cpu")).denoiser(x, sigma).x0.shape == x.shape
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "models: [{id: hub, source: hf://owner/tiny, card: {ema: false}}, ddpm-mnist]\n"
        "samplers: [ddim]\nbudgets: {nfe: [2]}\n"
    )
    text = resolved(read_suite(suite))
    assert f"hf://owner/tiny@{COMMIT}" in text
    (tmp_path / "again.yaml").write_text(text)
    assert read_suite(tmp_path / "again.yaml") == read_suite(suite).model_copy(update={"name": read_suite(suite).name})


def test_a_pipeline_may_lie_flat_as_ddpms_of_the_hub_do(cache: Path) -> None:
    """google/ddpm-cat-256: config.json, the weights and scheduler_config.json beside model_index.json."""
    snapshot = put(cache)
    x, sigma = torch.randn(1, 3, 8, 8), torch.ones(1, dtype=torch.float64)
    card = load_card("hf://owner/tiny@main", {"ema": False})
    before = load_model(card, torch.device("cpu")).denoiser(x, sigma).x0
    for part in ("unet", "scheduler"):
        for file in (snapshot / part).iterdir():
            (snapshot / file.name).symlink_to(os.path.relpath(file.resolve(), snapshot))
            file.unlink()
        (snapshot / part).rmdir()
    flat = load_card("hf://owner/tiny@main", {"ema": False})
    assert flat.network is not None and flat.network.path == "."
    assert set(flat.sha256) == {"config.json", "diffusion_pytorch_model.safetensors"}
    assert (flat.schedule, flat.clip, flat.prediction) == (card.schedule, card.clip, card.prediction)
    assert torch.equal(load_model(flat, torch.device("cpu")).denoiser(x, sigma).x0, before)


def test_a_branch_that_moved_does_not_move_a_pinned_name(cache: Path) -> None:
    folder = put(cache).parent.parent
    pinned = HubName.parse("hf://owner/tiny").pinned()
    (folder / "refs" / "main").write_text("f" * 40)
    assert HubName.parse("hf://owner/tiny").snapshot is None
    assert HubName.parse(str(pinned)).snapshot == folder / "snapshots" / COMMIT


def test_what_no_config_states_is_asked_for(cache: Path) -> None:
    put(cache)
    with pytest.raises(CardError) as caught:
        load_card("hf://owner/tiny")
    assert 'the key "ema" is missing; expected true or false; no config says whether' in str(caught.value)


def test_fetch_tells_where_models_of_a_suite_and_of_its_base_are(cache: Path, tmp_path: Path, diffbench) -> None:
    snapshot = put(cache)
    (tmp_path / "base.yaml").write_text('models: ["hf://owner/tiny@main"]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n')
    (tmp_path / "own.yaml").write_text("extends: ./base.yaml\nbudgets: {nfe: [7]}\n")
    code, out, err = diffbench("fetch", "./own.yaml", "--json")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)
    assert row["path"] == str(snapshot) and row["name"].startswith("hf://owner/tiny@")
