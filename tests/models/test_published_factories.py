"""The example factories of suites/published, with stand-ins for the authors' repositories, by the published cards."""

import pickle
import sys

import pytest
import torch
from diffusers import VQModel
from filled_tensors import image

from diffbench import shipped
from diffbench.errors import CardError
from diffbench.models.consent import Consent
from diffbench.models.find import load_card
from diffbench.models.network import bare_network

PUBLISHED = shipped.reference_models() / "published"
TOPS = ("factories", "training", "models", "configs", "ldm")

EDM = """
import torch

class EDMPrecond(torch.nn.Module):
    def __init__(self, label_dim):
        super().__init__()
        self.label_dim = label_dim
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x, sigma, class_labels=None):
        if self.label_dim == 0:
            assert class_labels is None
            return self.scale * x / sigma.reshape(-1, 1, 1, 1)
        assert class_labels.shape == (len(x), self.label_dim)
        return self.scale * x + class_labels.to(torch.float32).argmax(1).reshape(-1, 1, 1, 1)
"""

SCORE_SDE = """
import numpy as np
import torch

MADE = {}

def get_model(name):
    return MADE[name]

class Net(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        ends = np.log(config.model.sigma_max), np.log(config.model.sigma_min)
        self.register_buffer("sigmas", torch.tensor(np.exp(np.linspace(*ends, config.model.num_scales))))
        self.W = torch.nn.Parameter(torch.zeros(3), requires_grad=False)
        self.first = torch.nn.Parameter(torch.zeros(2))
        self.second = torch.nn.Parameter(torch.zeros(()))
        self.discrete = not config.training.continuous

    def forward(self, x, told):
        if self.discrete:
            assert told.dtype == torch.int64
            told = self.sigmas[told]
        return (self.first.sum() + self.second + self.W.sum()) * torch.ones_like(x) / told.reshape(-1, 1, 1, 1)
"""

CONFIG = """
from types import SimpleNamespace as Values

def get_config():
    model = Values(name="NAME", sigma_min=0.01, sigma_max=50, num_scales=1000)
    return Values(model=model, training=Values(sde="vesde", continuous=CONTINUOUS))
"""

LDM = """
import torch

class UNet(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = torch.nn.ModuleList([torch.nn.Linear(1, width, bias=False)])

    def forward(self, x, timesteps, context=None):
        told = 0 if context is None else context.sum((1, 2)).reshape(-1, 1, 1, 1)
        return x * self.inner[0].weight.sum() + timesteps.reshape(-1, 1, 1, 1) + told

def instantiate_from_config(config):
    assert config["target"] == "UNet"
    return UNet(**config["params"])
"""

AVERAGES = (torch.tensor([3.0, 4.0]), torch.tensor(5.0))


@pytest.fixture
def repositories(tmp_path, monkeypatch):
    """A folder for stand-ins, with the factories on the path, and for checkpoints; no module outlives the test."""

    def mine():
        return {name: module for name, module in sys.modules.items() if name.split(".")[0] in TOPS}

    before = mine()
    for name in before:
        del sys.modules[name]
    monkeypatch.syspath_prepend(shipped.suites() / "published")
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.setenv("DIFFBENCH_WEIGHTS", str(tmp_path / "weights"))
    yield tmp_path / "code"
    for name in mine():
        del sys.modules[name]
    sys.modules.update(before)


def write(code, **files):
    for name, text in files.items():
        path = code / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def weights(code, card):
    folder = code.parent / "weights" / card
    folder.mkdir(parents=True)
    return folder


def loaded(card, code=True):
    return bare_network(load_card(PUBLISHED / card), Consent(code=code))


def write_edm(code, card, file, classes):
    from importlib import import_module

    write(code, training__networks=EDM)
    net = import_module("training.networks").EDMPrecond(classes)
    with open(weights(code, card) / file, "wb") as handle:
        pickle.dump({"ema": net, "loss_fn": None}, handle)


def test_edm_networks_are_told_one_hot_labels(repositories):
    write_edm(repositories, "edm-cifar10-cond-vp", "edm-cifar10-32x32-cond-vp.pkl", 10)
    x = image(2, 32)
    got = loaded("edm-cifar10-cond-vp")(x, torch.tensor([0.5, 80.0]), class_labels=torch.tensor([3, 9]))
    assert torch.equal(got, 2 * x + torch.tensor([3.0, 9.0]).reshape(2, 1, 1, 1))
    with pytest.raises(CardError, match="factories:edm runs code of its own; --allow-code lets it"):
        loaded("edm-cifar10-cond-vp", code=False)


def test_unconditional_edm_networks_are_told_nothing(repositories):
    write_edm(repositories, "edm-cifar10-uncond-vp", "edm-cifar10-32x32-uncond-vp.pkl", 0)
    x = image(2, 32)
    got = loaded("edm-cifar10-uncond-vp")(x, torch.tensor([0.5, 4.0]))
    assert torch.equal(got, 2 * x / torch.tensor([0.5, 4.0]).reshape(2, 1, 1, 1))


def write_score_sde(code, card, file, name, continuous, averages=AVERAGES):
    config = CONFIG.replace("NAME", name).replace("CONTINUOUS", str(continuous))
    register = f"from models.utils import MADE, Net\nMADE['{name}'] = Net\n"
    path = load_card(PUBLISHED / card).network.options["config"].replace("/", "__")
    modules = {"models____init__": "", "models__utils": SCORE_SDE, "models__ddpm": "", "models__ncsnpp": ""}
    write(code, **{**modules, f"models__{name}": register, f"configs__{path}": config})
    model = {"module.W": torch.tensor([0.5, 0, 0]), "module.first": torch.zeros(2), "module.second": torch.zeros(())}
    ema = {"decay": 0.999, "num_updates": 7, "shadow_params": list(averages)}
    state = {"optimizer": {"state": {}, "param_groups": [{"lr": 2e-4, "betas": (0.9, 0.999)}]}, "step": 7}
    torch.save({**state, "model": model, "ema": ema}, weights(code, card) / file)


def test_continuous_networks_of_score_sde_are_told_sigma(repositories):
    write_score_sde(repositories, "ncsnpp-ve-continuous-cifar10", "checkpoint_24.pth", "ncsnpp", True)
    sigma = torch.tensor([0.013, 7.7])
    got = loaded("ncsnpp-ve-continuous-cifar10")(image(2, 32).float(), sigma)
    torch.testing.assert_close(got, (12.5 / sigma).reshape(2, 1, 1, 1).expand(2, 3, 32, 32))


@pytest.mark.parametrize(("card", "name"), [("ncsnpp-ve-cifar10", "ncsnpp"), ("ddpm-ve-cifar10", "ddpm")])
def test_discrete_networks_of_score_sde_are_told_labels_that_fall_with_sigma(repositories, card, name):
    """round(999 (1 - t)) of the authors, at every level they train on, at the ends, and between two of them."""
    write_score_sde(repositories, card, "checkpoint.pth", name, False)
    net, told = loaded(card), []
    net.network.net.register_forward_pre_hook(lambda module, args: told.append(args[1]))
    t = torch.cat([torch.linspace(0, 1, 1000, dtype=torch.float64), torch.tensor([1e-5, 0.1237, 0.98765])])
    sigma = 0.01 * (50 / 0.01) ** t
    got = net(torch.zeros(len(t), 1, 1, 1), sigma.float())
    assert torch.equal(told[0], torch.round(999 * (1 - t)).long())
    # The network divides by the level that its label stands for: what it is told is within half a level of sigma.
    half = (50 / 0.01) ** (0.5 / 999)
    level = 12.5 / got.flatten()
    assert (level / sigma).max() <= half * 1.001 and (level / sigma).min() >= 1 / half / 1.001


def test_a_checkpoint_of_another_network_is_refused(repositories):
    averages = (torch.zeros(2),)
    write_score_sde(repositories, "ncsnpp-ve-cifar10", "checkpoint.pth", "ncsnpp", False, averages)
    with pytest.raises(CardError, match="network factory factories:score_sde: ValueError: zip"):
        loaded("ncsnpp-ve-cifar10")
    file = repositories.parent / "weights" / "ncsnpp-ve-cifar10" / "checkpoint.pth"
    state = torch.load(file)
    del state["model"]["module.W"]
    torch.save(state, file)
    with pytest.raises(CardError, match=r"not of ve/cifar10_ncsnpp: its model lacks \['W', 'sigmas'\]"):
        loaded("ncsnpp-ve-cifar10")


def write_ldm(code, card, unet, condition, state, codec="vqvae", more=""):
    folder = weights(code, card)
    write(code, ldm__util=LDM)
    (folder / "config.yaml").write_text(
        f"model:\n  params:\n    unet_config: {{target: UNet, params: {unet}}}\n"
        f"    cond_stage_config: {condition}\n{more}"
    )
    torch.save({"state_dict": state, "callbacks": {Consent: 1}}, folder / "model.ckpt")
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    vq = VQModel(3, 3, block_out_channels=(8, 8, 8), latent_channels=3, norm_num_groups=4, **blocks)
    vq.save_pretrained(folder / codec)


def test_networks_of_latent_diffusion_have_their_averages(repositories):
    key = "diffusion_model.inner.0.weight"
    state = {f"model.{key}": torch.zeros(2, 1), f"model_ema.{key.replace('.', '')}": torch.tensor([[2.0], [0.5]])}
    write_ldm(repositories, "ldm-bedrooms", "{width: 2}", "__is_unconditional__", state)
    x = image(2, 64)
    torch.testing.assert_close(loaded("ldm-bedrooms")(x, torch.tensor([0, 7]))[1], 2.5 * x[1] + 7)


def test_networks_of_latent_diffusion_are_told_the_class_by_its_embedding(repositories):
    state = {"model.diffusion_model.inner.0.weight": torch.tensor([[2.0], [0.5]])}
    embedding = torch.arange(1001.0)[:, None].expand(-1, 2)
    state |= {"cond_stage_model.embedding.weight": embedding}
    write_ldm(repositories, "ldm-imagenet-f4", "{width: 2}", "{target: Embedder}", state, more="    use_ema: False\n")
    x = image(2, 64)
    got = loaded("ldm-imagenet-f4")(x, torch.tensor([0, 7]), class_labels=torch.tensor([1000, 3]))
    torch.testing.assert_close(got[0], 2.5 * x[0] + 2000)
    torch.testing.assert_close(got[1], 2.5 * x[1] + 7 + 6)


def test_a_factorys_files_are_part_of_its_identity(repositories):
    write_edm(repositories, "edm-cifar10-uncond-vp", "edm-cifar10-32x32-uncond-vp.pkl", 0)
    before = load_card(PUBLISHED / "edm-cifar10-uncond-vp")
    assert set(before.sha256) == {"edm-cifar10-32x32-uncond-vp.pkl"}
    (before.directory / "edm-cifar10-32x32-uncond-vp.pkl").write_bytes(b"other")
    assert load_card(PUBLISHED / "edm-cifar10-uncond-vp").weights_sha256 != before.weights_sha256
