"""``diffbench check``: shipped models are good, planted faults are found and named, two models are told apart."""

import json
import shutil

import numpy as np
import pytest
import torch
from planted_checkpoints import planted, with_large_latents, with_weights
from safetensors.torch import load_file

from diffbench import check, shipped
from diffbench.errors import ScoringError, StoreError, UsageError
from diffbench.report.check import write

FEW = {"n": 64, "sigmas": 7, "quiet": True}


@pytest.fixture(scope="module")
def latent():
    return check("ldm-mnist", **FEW)


def test_a_shipped_model_is_good(latent, tmp_path):
    assert latent.verdict == "GOOD" and not latent.readings and not latent.notes
    middle = next(one for one in latent.bands if one.band.name == "middle")
    assert middle.of_linear < 0.6 and middle.p_good < 0.01
    errors = latent.errors
    expected = errors.sigmas**2  # of x_hat itself
    assert errors.baselines["identity"].mean(1) == pytest.approx(expected, rel=0.05)
    assert np.all(errors.baselines["linear"].mean(1) < 1.02 * errors.trivial.mean(1))
    written = write(latent, tmp_path)
    assert {path.suffix for path in written} == {".png", ".pdf", ".csv", ".json"}
    assert json.loads((tmp_path / "denoising_error.json").read_text())["verdict"] == "GOOD"


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda folder: planted("ddpm-mnist", folder, prediction="v_prediction"), "prediction epsilon"),
        (lambda folder: planted("ddpm-mnist", folder, data={"range": [0.0, 1.0]}), "data.range [-1, 1]"),
        (lambda folder: with_large_latents(folder, 1.0), "codec.scaling_factor 0.1822"),
        (lambda folder: planted("score-ve-mnist", folder, time={"input": "sigma"}), "time told (log sigma)/4"),
    ],
    ids=["v", "range", "latents", "time"],
)
def test_a_fault_is_found_and_named(plant, said, tmp_path):
    found = check(plant(tmp_path / "m"), **FEW)
    assert found.verdict == "WRONG"
    assert said in str(found.readings[0]) and "right in the card?" in str(found.readings[0])


def test_another_unit_of_latents_is_no_fault(latent, tmp_path):
    found = check(with_large_latents(tmp_path / "m"), **FEW)
    assert found.verdict == "GOOD"
    assert [one.of_linear for one in found.bands] == pytest.approx([one.of_linear for one in latent.bands], rel=0.05)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """ldm-mnist with weights 3% off: not wrong, only worse."""
    folder = tmp_path_factory.mktemp("noisy") / "noisy"
    shutil.copytree(shipped.reference_models() / "ldm-mnist", folder)
    planted("", folder)
    weights = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    generator = torch.Generator().manual_seed(0)
    moved = {
        key: value + 0.03 * value.float().std() * torch.randn(value.shape, generator=generator).to(value.dtype)
        if value.numel() > 1
        else value
        for key, value in weights.items()
    }
    return with_weights(folder, "unet", moved)


def test_worse_weights_are_told_against_the_better_ones(noisy, latent, tmp_path):
    found = check(noisy, against="ldm-mnist", **FEW)
    assert found.verdict == "WORSE" and all(one.word == "GOOD" for one in found.bands), "good, but worse"
    turned = check("ldm-mnist", against=noisy, **FEW)
    assert turned.verdict == "GOOD" and any(one.verdict.word == "BETTER" for one in turned.against)
    latent.save(tmp_path / "base.json")
    stored = check(noisy, against=tmp_path / "base.json", **FEW)
    assert [one.difference.value for one in stored.against] == [one.difference.value for one in found.against]
    same = check("ldm-mnist", against=tmp_path / "base.json", **FEW)
    assert same.verdict == "GOOD" and {one.verdict.word for one in same.against} == {"SAME"}


def test_refusals(latent, tmp_path):
    latent.save(tmp_path / "base.json")
    for more, said in (({"n": 60}, "n 64 and 60"), ({"seed": 1}, "seed 0 and 1")):
        with pytest.raises(UsageError, match=said):
            check("ldm-mnist", against=tmp_path / "base.json", **{**FEW, **more})
    with pytest.raises(UsageError, match="shape .4, 8, 8. and .1, 28, 28.; other codecs"):
        check("ddpm-mnist", against="ldm-mnist", **FEW)
    text = (tmp_path / "base.json").read_text()
    (tmp_path / "base.json").write_text(text.replace("0.0", "0.1", 1))
    with pytest.raises(StoreError, match="does not match its own sha256"):
        check("ldm-mnist", against=tmp_path / "base.json", **FEW)
    with pytest.raises(UsageError, match="not mnist; give images of it"):
        check("gaussian-mixture", **FEW)


def test_an_estimate_that_is_not_finite_names_the_image(tmp_path):
    folder = tmp_path / "nan"
    planted("ldm-mnist", folder)
    weights = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    name = next(key for key in weights if key.startswith("conv_out"))
    with_weights(folder, "unet", {**weights, name: weights[name] * float("nan")})
    with pytest.raises(ScoringError, match="image 0: the denoised estimate at sigma .* is not finite"):
        check(folder, **FEW)


def test_on_the_command_line(diffbench, noisy, tmp_path):
    few = ["--n", "64", "--sigmas", "7", "--quiet"]
    code, out, _ = diffbench("check", "ldm-mnist", *few, "--save", "base.json", "--out", "figures")
    assert code == 0 and "middle" in out and "GOOD" in out and (tmp_path / "figures" / "denoising_error.png").is_file()
    code, out, err = diffbench("check", str(noisy), *few, "--against", "base.json", "--json")
    assert code == 1 and "WORSE against ldm-mnist (base.json)" in err
    assert {row["verdict"] for row in json.loads(out)} == {"GOOD"}
    assert diffbench("check", "nothing", *few)[0] == 2
