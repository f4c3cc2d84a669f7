"""Compares networks of the original repositories with their UNet2DModels, and writes the golden files of the tests.

The repositories are put anywhere outside this one, each as its commit has it:

    github.com/ermongroup/ddim                  e8df66cf02e457719930748b5c26e37e3126dfdd
    github.com/yang-song/score_sde_pytorch      cb1f359f4aadf0ff9a5e122fe8fffc9451fd6e44
    github.com/openai/improved-diffusion        1bc7bbbdc414d83d4abf2ad8cc1446dc36c4e4d5
    github.com/openai/guided-diffusion          22e0df8183507e13a7813f8d38d51b072ca1e67c

From this repository's root:

    PYTHONPATH=.:tests python tests/parity/original_networks.py DDIM SCORE_SDE IMPROVED GUIDED [--write] \\
        > tests/parity/original_networks.txt

Small networks get the weights of tests/filled_tensors.py and the same images; printed is the largest difference of the
outputs by the largest output: in float32, and in float64 where both are made to compute everything in float64.
EMA weights are taken from checkpoints that the repositories' own classes made.
``--write`` writes tests/models/key_maps/golden/ from the float64 outputs. Published networks, at full size and without
values, must have exactly the converted keys and shapes; printed are their parameters. Exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from filled_tensors import image, in_double, parameters
from golden_networks import FOLDER, Golden
from published_networks import PUBLISHED, SMALL, published
from torch import Tensor, nn

from diffbench.models.key_maps.families import convert, load, state_dict

_FOREIGN = ("models", "op", "sde_lib", "improved_diffusion", "guided_diffusion")


@dataclass(frozen=True)
class Original:
    """An original network, and how its programs call it: with an image and the time that a card has, maybe classes."""

    module: nn.Module
    call: Callable[..., Tensor]


class Repositories:
    """The original networks; ``folders`` hold the repositories in the order of the command line."""

    def __init__(self, folders: list[str]) -> None:
        self.ddim, self.score_sde, self.improved, self.guided = folders

    def network(self, family: str, config: dict[str, Any], improved: bool) -> Original:
        if family == "guided-diffusion":
            return self._openai(config, improved)
        made = self._ddpm(config) if family == "ddpm" else self._score_sde(config)
        return Original(made, made)

    def _ddpm(self, config: dict[str, Any]) -> nn.Module:
        model = SimpleNamespace(**config, dropout=0.0, type="simple")
        diffusion = SimpleNamespace(num_diffusion_timesteps=1000)
        with imported(self.ddim, "models.diffusion") as module:
            return module.Model(SimpleNamespace(model=model, data=model, diffusion=diffusion))

    def _score_sde(self, config: dict[str, Any]) -> nn.Module:
        unused = {"sigma_min": 0.01, "sigma_max": 50.0, "num_scales": 1000, "dropout": 0.0, "init_scale": 0.0}
        model = SimpleNamespace(**config, **unused, fourier_scale=16, normalization="GroupNorm")
        everything = SimpleNamespace(model=model, data=model, training=SimpleNamespace(continuous=True))
        # Its CUDA kernels are compiled when imported, and not called on a CPU.
        with patch("torch.utils.cpp_extension.load"), imported(self.score_sde, f"models.{config['name']}") as module:
            return (module.DDPM if config["name"] == "ddpm" else module.NCSNpp)(everything)

    def _openai(self, config: dict[str, Any], improved: bool) -> Original:
        unused = {"use_checkpoint": False, "num_heads_upsample": -1, "dropout": 0.0}
        heads = {"num_heads": config.get("num_heads") or 4, "num_head_channels": config.get("num_head_channels") or -1}
        flags = {**unused, **config, **heads}
        flags["attention_resolutions"] = ",".join(map(str, flags["attention_resolutions"]))
        flags["channel_mult"] = ",".join(map(str, flags["channel_mult"]))
        steps, rescale = flags.pop("diffusion_steps"), flags.pop("rescale_timesteps")
        if improved:
            for name in ("channel_mult", "num_head_channels", "resblock_updown", "use_new_attention_order"):
                flags.pop(name)
        folder, package = (self.improved, "improved_diffusion") if improved else (self.guided, "guided_diffusion")
        with imported(folder, f"{package}.script_util") as module:
            unet = module.create_model(**flags)
            diffusion = module.create_gaussian_diffusion(steps=steps, rescale_timesteps=rescale)
        return Original(unet, diffusion._wrap_model(unet))


@contextlib.contextmanager
def imported(folder: str, name: str) -> Iterator[Any]:
    """A module of a repository, as its own programs import it; forgotten afterwards, as names of two are the same."""
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(folder)
        for known in [known for known in sys.modules if known.split(".")[0] in _FOREIGN]:
            del sys.modules[known]


def difference(case: dict[str, Any], repositories: Repositories, dtype: torch.dtype) -> tuple[float, Golden]:
    """The largest difference of outputs by the largest output, and the original's output with what it was of."""
    family, config = published(case["of"])
    config |= case["but"]
    original = repositories.network(family, config, "uncond_" in case["of"])
    named = dict(original.module.named_parameters())
    shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
    original.module.load_state_dict({**original.module.state_dict(), **parameters(shapes)})
    original.module.to(dtype).eval()
    if hasattr(original.module, "dtype"):  # that of guided-diffusion's torso
        original.module.dtype = dtype
    network = nn.Module.to(load(family, parameters(shapes), config), dtype)
    noisy = image(2, min(config["image_size"], 16)).to(dtype)
    time = torch.tensor(case["time"], dtype=dtype if isinstance(case["time"][0], float) else torch.int64)
    labels = case.get("labels")
    classes = None if labels is None else torch.tensor(labels)
    with torch.no_grad(), in_double() if dtype == torch.float64 else contextlib.nullcontext():
        theirs = original.call(noisy, time, **({} if classes is None else {"y": classes}))
        ours = network(noisy, time, classes).sample
    worst = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    return worst, Golden(family, config, shapes, case["time"], labels, theirs.to(torch.float64).contiguous())


def score_sde_averages(repositories: Repositories) -> bool:
    """Whether a checkpoint of score_sde_pytorch gives its averages as its own ``copy_to`` does, bit by bit."""
    _, config = published("score-sde ve/celebahq_256, ffhq_256")
    module = repositories.network("score-sde", config | SMALL["score-sde-ncsnpp"]["but"], False).module
    with imported(repositories.score_sde, "models.ema") as ema:
        averages = ema.ExponentialMovingAverage(module.parameters(), decay=0.5)
    _disturb(module)
    averages.update(module.parameters())
    saved = {"model": nn.DataParallel(module).state_dict(), "ema": averages.state_dict(), "optimizer": {}, "step": 1}
    saved = copy.deepcopy(saved)
    averages.copy_to(module.parameters())
    return _same(state_dict("score-sde", saved, ema=True), module)


def ddim_averages(repositories: Repositories) -> bool:
    """Whether a checkpoint of ermongroup's training gives its averages as its own helper does, bit by bit."""
    _, config = published("ddpm cifar10")
    module = repositories.network("ddpm", config | SMALL["ddpm"]["but"], False).module
    with imported(repositories.ddim, "models.ema") as ema:
        averages = ema.EMAHelper(mu=0.5)
    averages.register(module)
    _disturb(module)
    averages.update(nn.DataParallel(module))
    saved = copy.deepcopy([nn.DataParallel(module).state_dict(), {}, 0, 1, averages.state_dict()])
    averages.ema(module)
    return _same(state_dict("ddpm", saved, ema=True), module)


def _disturb(module: nn.Module) -> None:
    with torch.no_grad():
        for tensor in module.parameters():
            if tensor.requires_grad:
                tensor.add_(torch.randn_like(tensor))


def _same(tensors: dict[str, Tensor], module: nn.Module) -> bool:
    expected = module.state_dict()
    return tensors.keys() == expected.keys() and all(torch.equal(tensors[name], expected[name]) for name in expected)


def at_full_size(name: str, repositories: Repositories) -> int:
    """The parameters of a published network, after its keys and shapes were converted."""
    family, config = published(name)
    # score-sde's initialisation wants a CPU.
    with torch.device("cpu" if family == "score-sde" else "meta"):
        module = repositories.network(family, config, "cond_" in name).module
    convert(family, module.state_dict(), config)
    return sum(tensor.numel() for tensor in module.parameters())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs=4, metavar="REPOSITORY")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    repositories = Repositories(arguments.folders)
    print(f"python {platform.python_version()}, torch {torch.__version__}, diffusers {version('diffusers')}\n")
    print(f"{'network':<28}{'float32':>12}{'float64':>12}")
    fine = True
    for name, case in SMALL.items():
        single, _ = difference(case, repositories, torch.float32)
        double, golden = difference(case, repositories, torch.float64)
        print(f"{name:<28}{single:12.1e}{double:12.1e}")
        fine &= single < 1e-5 and double < 1e-10
        if arguments.write:
            golden.write(FOLDER / f"{name}.safetensors")
    averages = {"score_sde_pytorch": score_sde_averages(repositories), "ddim": ddim_averages(repositories)}
    print()
    for name, same in averages.items():
        print(f"EMA weights of {name}: {'the same bits' if same else 'others'}")
    fine &= all(averages.values())
    print(f"\n{'published network':<48}{'parameters':>14}")
    for name in PUBLISHED:
        print(f"{name:<48}{at_full_size(name, repositories):14,}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
