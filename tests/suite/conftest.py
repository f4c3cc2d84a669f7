from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest
import yaml

from diffbench import shipped

SHA = "0123456789abcdef" * 4

DDPM = {
    "version": 1,
    "name": "ddpm-mnist",
    "family": "ddpm",
    "prediction": "epsilon",
    "schedule": {"kind": "ddpm", "betas": "linear", "beta_start": 0.0001, "beta_end": 0.02, "steps": 1000},
    "time": {"input": "index"},
    "data": {"range": [-1, 1], "shape": [1, 28, 28], "dataset": "mnist"},
    "clip": [-1, 1],
    "network": {"path": "unet", "class": "UNet2DModel"},
    "codec": None,
    "ema": True,
    "reference": "mnist",
    "extractor": "mnist-features",
    "sha256": {"unet/config.json": SHA, "unet/diffusion_pytorch_model.safetensors": SHA[::-1]},
    "source": "trained here",
    "license": "Apache-2.0",
}
SCORE_VP = {
    **DDPM,
    "name": "score-vp-mnist",
    "family": "score-sde",
    "prediction": "score",
    "schedule": {"kind": "vp", "beta_min": 0.1, "beta_max": 20.0},
    "time": {"input": "scaled", "scale": 999},
    "clip": None,
}
SCORE_VE = {
    **SCORE_VP,
    "name": "score-ve-mnist",
    "schedule": {"kind": "ve", "sigma_min": 0.01, "sigma_max": 50.0},
}
LDM = {
    **DDPM,
    "name": "ldm-mnist",
    "family": "latent",
    "clip": None,
    "codec": {
        "path": "vqvae",
        "class": "AutoencoderKL",
        "scaling_factor": 1.23,
        "latent_shape": [4, 8, 8],
        "crop": 28,
    },
}
CARDS = (DDPM, SCORE_VP, SCORE_VE, LDM)


def write_card(folder: Path, card: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False))
    return folder


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference_models")
    for card in CARDS:
        write_card(folder / card["name"], card)
    for needed in ("references", "mnist-features"):
        copytree(shipped.reference_models() / needed, folder / needed)
    return folder


@pytest.fixture(autouse=True, scope="module")
def shipped_cards(models_folder: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "reference_models", lambda: models_folder)
        yield models_folder


@pytest.fixture
def ddpm() -> dict:
    """A card's content, free to be changed."""
    return yaml.safe_load(yaml.safe_dump(DDPM))


@pytest.fixture(scope="session")
def ldm() -> dict:
    """The content of a latent model's card, to be copied before it is changed."""
    return LDM
