"""Networks of published checkpoints whose code is their authors': what the cards of these suites name ``factories:…``.

An example that diffbench does not import by itself. Put this folder and the authors' repository on PYTHONPATH and allow
code, as in

    PYTHONPATH=suites/published:edm diffbench run published/edm-cifar10 --allow-code

Every function is called with the folder of the checkpoint's files and the card's ``options``, and returns a module of
(x, t), or of (x, t, class_labels), x (B,C,H,W), t (B,), class_labels int64 (B,), on the CPU. Reading these files runs
code that is in them, or may be: take them from their authors alone.
"""

import math
import pickle
from importlib import import_module
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import one_hot


class Edm(nn.Module):
    """A preconditioned network of NVlabs/edm, D(x; sigma) itself (Karras et al. 2022, Eq. 7), by class indices."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, sigma: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """The denoised images (B,C,H,W); the network wants its labels one-hot (B, classes)."""
        labels = None if class_labels is None else one_hot(class_labels, self.net.label_dim)
        return self.net(x, sigma, labels)


def edm(folder: Path, file: str) -> nn.Module:
    """The averaged weights (``ema``) in a pickle of NVlabs/edm, which brings the code of its network along."""
    with open(folder / file, "rb") as handle:
        return Edm(pickle.load(handle)["ema"])


class DiscreteVe(nn.Module):
    """A network of score_sde_pytorch that was trained on discrete levels of VE, told sigma instead of their labels.

    Labels fall with sigma: round((N - 1)(1 - t)) for sigma = sigma_min (sigma_max / sigma_min)^t, the index into the
    levels from sigma_max down to sigma_min (``get_score_fn`` in models/utils.py).
    """

    def __init__(self, net: nn.Module, sigma_min: float, sigma_max: float, levels: int) -> None:
        super().__init__()
        self.net, self.sigma_max, self.levels = net, sigma_max, levels
        self.span = math.log(sigma_max / sigma_min)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The score (B,C,H,W)."""
        fallen = torch.log(self.sigma_max / sigma.double()) / self.span  # 1 - t
        labels = torch.round((self.levels - 1) * fallen).long()
        return self.net(x, labels.clamp(0, self.levels - 1))


def score_sde(folder: Path, file: str, config: str) -> nn.Module:
    """The averaged weights in a checkpoint of score_sde_pytorch, whose ``config`` is ``configs/<config>.py`` there.

    Importing ``models.ncsnpp`` compiles a CUDA extension. VE networks are told sigma, others what they were trained on.
    """
    settings = import_module(f"configs.{config.replace('/', '.')}").get_config()
    import_module(f"models.{settings.model.name}")  # makes the network known to models.utils
    net: nn.Module = import_module("models.utils").get_model(settings.model.name)(settings)
    state = torch.load(folder / file, map_location="cpu", weights_only=True)
    found = {key.removeprefix("module."): value for key, value in state["model"].items()}
    missing, unexpected = net.load_state_dict(found, strict=False)
    if unexpected or set(missing) - {"sigmas"}:  # a buffer, which the config makes
        raise ValueError(f"{file} is not of {config}: its model lacks {missing[:3]} or has {unexpected[:3]} beside")
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter, average in zip(trained, state["ema"]["shadow_params"], strict=True):
            parameter.copy_(average)
    if settings.training.sde == "vesde" and not settings.training.continuous:
        model = settings.model
        return DiscreteVe(net, model.sigma_min, model.sigma_max, model.num_scales)
    return net


class ClassConditional(nn.Module):
    """A network of CompVis/latent-diffusion that attends to one token, the embedding of the class."""

    def __init__(self, unet: nn.Module, embedding: nn.Embedding) -> None:
        super().__init__()
        self.unet, self.embedding = unet, embedding

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor) -> Tensor:
        """Epsilon (B,C,H,W) of latents of the same shape."""
        return self.unet(x, t, context=self.embedding(class_labels)[:, None])


def compvis_unet(folder: Path, file: str, config: str) -> nn.Module:
    """The denoiser in a Lightning checkpoint of latent-diffusion, whose ``config`` is a YAML file beside it.

    The weights are the averages ``model_ema.*``, unless the config says ``use_ema: false``; where the condition is a
    class, its embedding comes along.
    """
    settings = yaml.safe_load((folder / config).read_text())["model"]["params"]
    unet: nn.Module = import_module("ldm.util").instantiate_from_config(settings["unet_config"])
    # Lightning's file names classes of its own, which weights_only refuses.
    state = torch.load(folder / file, map_location="cpu", weights_only=False)["state_dict"]
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            parameter.copy_(state[_key(name, settings.get("use_ema", True))])
    if settings["cond_stage_config"] == "__is_unconditional__":
        return unet
    return ClassConditional(unet, nn.Embedding.from_pretrained(state["cond_stage_model.embedding.weight"]))


def _key(name: str, averaged: bool) -> str:
    """Where a parameter of the denoiser is; names of averages have no dots."""
    whole = f"diffusion_model.{name}"
    return f"model_ema.{whole.replace('.', '')}" if averaged else f"model.{whole}"
