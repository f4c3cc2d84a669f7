"""Networks that are not a folder of diffusers: the user's own code, exported programs, single files of weights."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
import yaml
from diffusers import UNet2DModel
from safetensors.torch import save_file

from diffbench.errors import CardError, WeightsError
from diffbench.models.card import Card
from diffbench.models.consent import Consent
from diffbench.models.find import load_card
from diffbench.models.load import load_model

CPU = torch.device("cpu")
X, SIGMA = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0.5, 3.0]).double()
EDM = """\
from pathlib import Path
import torch

(Path(__file__).parent / "canary").write_text("this module was imported")


class Precond(torch.nn.Module):
    \"\"\"EDM's wrapper: net(x, sigma, labels) is D itself (Karras et al. 2022, Eq. 7), of N(0, 0.5^2).\"\"\"

    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, x, sigma, class_labels=None):
        shift = 0 if class_labels is None else class_labels.view(-1, 1, 1, 1)
        return x * (self.width**2 / (self.width**2 + sigma.view(-1, 1, 1, 1) ** 2)) + shift


def load(folder, width):
    assert (folder / "weights.bin").read_bytes() == b"weights"
    return Precond(width)
"""


def card_of(folder: Path, network: dict[str, Any], **changed: Any) -> Card:
    (folder / "card.yaml").write_text(yaml.safe_dump(written(folder, network, **changed)))
    return load_card(folder)


def written(folder: Path, network: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "version": 1, "name": "own", "family": "score-sde", "prediction": "sample",
        "schedule": {"kind": "ve", "sigma_min": 0.002, "sigma_max": 80.0}, "time": {"input": "sigma"},
        "data": {"range": [-1, 1], "shape": [3, 8, 8], "dataset": "none"}, "clip": None, "codec": None, "ema": True,
        "reference": None, "extractor": None, "source": "this test", "license": "Apache-2.0", "network": network,
        "sha256": {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*") if path.is_file() and path.suffix in (".bin", ".pt2", ".pt", ".safetensors")
        },
        **changed,
    }  # fmt: skip


@pytest.fixture
def edm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    code = tmp_path / "code"
    code.mkdir()
    (code / "edm_of_a_user.py").write_text(EDM)
    monkeypatch.syspath_prepend(str(code))
    monkeypatch.delitem(sys.modules, "edm_of_a_user", raising=False)
    folder = tmp_path / "edm"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"weights")
    return folder


FACTORY = {"factory": "edm_of_a_user:load", "options": {"width": 0.5}}


def test_the_users_own_network_is_the_denoiser_that_its_card_says(edm: Path) -> None:
    model = load_model(card_of(edm, FACTORY), CPU, consent=Consent(code=True))
    torch.testing.assert_close(model.denoiser(X, SIGMA).x0, X * (0.25 / (0.25 + SIGMA**2)).float().view(2, 1, 1, 1))


def test_it_is_given_labels_and_guided(edm: Path) -> None:
    from diffbench.models.condition import Condition, Guidance

    card = card_of(edm, FACTORY, labels={"classes": 10, "unconditional": 0})
    condition = Condition(labels=(4, 6), guidance=Guidance(scale=3.0))
    model = load_model(card, CPU, consent=Consent(code=True)).read_as(card, condition)
    base = X * (0.25 / (0.25 + SIGMA**2)).float().view(2, 1, 1, 1)
    told = model.denoiser_of(range(5, 7), seed=0)(X, SIGMA).x0
    torch.testing.assert_close(told, base + 3 * torch.tensor([6.0, 4.0]).view(2, 1, 1, 1))
    torch.testing.assert_close(model.denoiser(X, SIGMA).x0, base)


def test_code_runs_only_with_consent(edm: Path) -> None:
    card, canary = card_of(edm, FACTORY), edm.parent / "code" / "canary"
    with pytest.raises(CardError, match="own: edm_of_a_user:load runs code of its own; --allow-code lets it"):
        load_model(card, CPU)
    assert not canary.exists()
    load_model(card, CPU, consent=Consent(code=True))
    assert canary.exists()


def test_an_altered_file_is_refused_before_any_code_runs(edm: Path) -> None:
    card = card_of(edm, FACTORY)
    (edm / "weights.bin").write_bytes(b"others!")
    with pytest.raises(WeightsError, match="sha256 is"):
        load_model(card, CPU, consent=Consent(code=True))
    assert not (edm.parent / "code" / "canary").exists()


@pytest.mark.parametrize(
    "network, message",
    [
        ({"factory": "edm_of_a_user:nothing"}, "AttributeError"),
        ({"factory": "no_such_module_at_all:load"}, "ModuleNotFoundError"),
        ({"factory": "edm_of_a_user:load", "options": {"depth": 3}}, "TypeError"),
        ({"factory": "pathlib:Path"}, "no network"),
    ],
)
def test_what_a_factory_says_is_one_line(edm: Path, network: dict[str, Any], message: str) -> None:
    with pytest.raises(CardError, match=message) as caught:
        load_model(card_of(edm, network), CPU, consent=Consent(code=True))
    assert "\n" not in str(caught.value)


def test_an_exported_program_is_a_network(tmp_path: Path) -> None:
    class Half(torch.nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return x / (1 + t.view(-1, 1, 1, 1))

    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(Half(), (X, SIGMA.float()), dynamic_shapes=(batch, batch))
    torch.export.save(program, tmp_path / "net.pt2")
    card = card_of(tmp_path, {"program": "net.pt2"})
    with pytest.raises(CardError, match="net.pt2 runs code of its own; --allow-code lets it"):
        load_model(card, CPU)
    model = load_model(card, CPU, consent=Consent(code=True))
    torch.testing.assert_close(model.denoiser(X, SIGMA).x0, X / (1 + SIGMA.float().view(2, 1, 1, 1)))
    (tmp_path / "net.pt2").write_bytes(b"no program")
    with pytest.raises(WeightsError, match="sha256"):
        load_model(card, CPU, consent=Consent(code=True))
    with pytest.raises(WeightsError, match="not a program of torch.export"):
        load_model(card_of(tmp_path, {"program": "net.pt2"}), CPU, consent=Consent(code=True))


@pytest.fixture
def unet() -> UNet2DModel:
    torch.manual_seed(1)
    return tiny_pipelines.unet().eval()


def single(folder: Path, file: str, unet: UNet2DModel, **changed: Any) -> Card:
    config = {key: value for key, value in unet.config.items() if not key.startswith("_")}
    network = {"path": file, "class": "UNet2DModel", "config": yaml.safe_load(yaml.safe_dump(listed(config)))}
    discrete = {"kind": "ddpm", "betas": "linear", "beta_start": 0.0001, "beta_end": 0.02, "steps": 1000}
    return card_of(folder, network, prediction="epsilon", schedule=discrete, time={"input": "index"}, **changed)


def listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: listed(item) for key, item in value.items()}
    return [listed(item) for item in value] if isinstance(value, list | tuple) else value


def test_a_file_of_weights_with_its_config_in_the_card(tmp_path: Path, unet: UNet2DModel) -> None:
    save_file(unet.state_dict(), tmp_path / "weights.safetensors")
    torch.save(unet.state_dict(), tmp_path / "weights.pt")
    loaded = load_model(single(tmp_path, "weights.safetensors", unet), CPU)
    time = torch.tensor([3.0, 700.0])
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network(X, time), unet(X, time).sample)
    card = single(tmp_path, "weights.pt", unet)
    with pytest.raises(WeightsError, match="--allow-pickle"):
        load_model(card, CPU)
    with torch.inference_mode():
        pickled = load_model(card, CPU, consent=Consent(pickle=True)).network(X, time)
    assert torch.equal(pickled, loaded.network(X, time))


def test_names_of_before_diffusers_0_15_are_understood(tmp_path: Path, unet: UNet2DModel) -> None:
    old = {
        name.replace("to_q", "query")
        .replace("to_k", "key")
        .replace("to_v", "value")
        .replace("to_out.0", "proj_attn"): t
        for name, t in unet.state_dict().items()
    }
    assert old.keys() != unet.state_dict().keys()
    save_file(old, tmp_path / "weights.safetensors")
    time = torch.tensor([3.0, 700.0])
    with torch.inference_mode():
        torch.testing.assert_close(
            load_model(single(tmp_path, "weights.safetensors", unet), CPU).network(X, time), unet(X, time).sample
        )


def test_sharded_weights_are_read_through_their_index(tmp_path: Path, unet: UNet2DModel) -> None:
    tiny_pipelines.ddpm(tmp_path)
    loaded = UNet2DModel.from_pretrained(tmp_path / "unet")
    whole = load_card(tmp_path, {"ema": True})
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    loaded.save_pretrained(tmp_path / "unet", max_shard_size="5KB")
    card = load_card(tmp_path, {"ema": True})
    assert len(card.sha256) > 4
    assert card.weights_sha256 != whole.weights_sha256
    time = torch.tensor([3.0, 700.0])
    with torch.inference_mode():
        torch.testing.assert_close(load_model(card, CPU).network(X, time), loaded.eval()(X, time).sample)


@pytest.mark.parametrize("dtype", ["amp-bfloat16", "bfloat16"])
def test_autocast_keeps_weights_in_float32(tmp_path: Path, unet: UNet2DModel, dtype: str) -> None:
    save_file(unet.state_dict(), tmp_path / "weights.safetensors")
    card = single(tmp_path, "weights.safetensors", unet)
    exact, rough = load_model(card, CPU), load_model(card, CPU, dtype)
    assert rough.dtype == (torch.float32 if dtype.startswith("amp-") else torch.bfloat16)
    with torch.inference_mode():
        error = (rough.denoiser(X, SIGMA).x0 - exact.denoiser(X, SIGMA).x0).abs().max()
    assert 1e-5 < error < 0.1


def test_a_compiled_network_computes_the_same(edm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card, consent, compiled = card_of(edm, FACTORY), Consent(code=True), []
    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network, **how: compiled.append(how) or original(network, **how))
    with torch.inference_mode():
        expected = load_model(card, CPU, consent=consent).denoiser(X, SIGMA).x0
        fast = load_model(card, CPU, compile=True, consent=consent).denoiser(X, SIGMA).x0
    torch.testing.assert_close(fast, expected)
    assert compiled == [{"dynamic": False}]
    with pytest.raises(CardError, match="cuda-graphs needs a CUDA device, not cpu"):
        load_model(card, CPU, compile="cuda-graphs", consent=consent)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "amp-bfloat16", "amp-float16", "bfloat16", "float16"])
@pytest.mark.parametrize("compile", [False, True, "cuda-graphs"])
def test_every_way_of_a_gpu_computes_the_same(
    tmp_path: Path, unet: UNet2DModel, dtype: str, compile: bool | str
) -> None:
    save_file(unet.state_dict(), tmp_path / "weights.safetensors")
    card, gpu = single(tmp_path, "weights.safetensors", unet), torch.device("cuda", 0)
    with torch.inference_mode():
        expected = load_model(card, CPU).denoiser(X, SIGMA).x0
        model = load_model(card, gpu, dtype, channels_last=True, compile=compile)
        for _ in range(4):  # graphs are recorded at the third call
            found = model.denoiser(X.to(gpu), SIGMA).x0
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=5e-3 if dtype == "float32" else 0.1)
