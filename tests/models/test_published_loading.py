"""Published cards, from a folder of weights to images by the command; small networks in the place of large ones."""

import socket
from collections import defaultdict

import pytest
import torch
import yaml
from click.testing import CliRunner
from golden_networks import golden
from safetensors.torch import load_file

from diffbench import shipped
from diffbench.cli import cli
from diffbench.errors import CardError, DiffbenchError
from diffbench.models.consent import Consent
from diffbench.models.network import bare_network
from diffbench.suite.read import find_suite, read_suite

PUBLISHED = shipped.reference_models() / "published"
OPTIMIZER = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 2e-4, "betas": (0.9, 0.999), "amsgrad": False}]}
SMALL = {
    # published card: (its file, a small network of the same kind)
    "ddim-celeba64": ("ckpt.pth", "ddpm"),
    "ddpmpp-vp-deep-cifar10": ("checkpoint_8.pth", "score-sde-ddpmpp"),
}


def as_trained(family, tensors):
    """A training's checkpoint with these averages, and other weights beside."""
    others = {f"module.{name}": torch.zeros_like(tensor) for name, tensor in tensors.items()}
    if family == "ddpm":
        averages = {f"module.{name}": tensor for name, tensor in tensors.items()}
        return [others, OPTIMIZER, 1, 2, averages]
    ema = {"decay": 0.9999, "num_updates": 2, "shadow_params": list(tensors.values())}
    return {"optimizer": OPTIMIZER, "model": others, "ema": ema, "step": 2}


def write_suite(folder, card):
    _, name = SMALL[card]
    case = golden(name)
    side = case.output.shape[-1]
    small = {"network": {"config": case.config}, "data": {"shape": [3, side, side]}, "reference": None}
    model = {"id": "small", "source": str(PUBLISHED / card), "card": {**small, "extractor": None}}
    suite = {"models": [model, "ddpm-mnist"], "samplers": ["ddim"], "budgets": {"nfe": [3]}, "metrics": ["is"]}
    suite |= {"timing": {"seconds": 0}, "run": {"keep": {"samples": 4}}}
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    return folder / "suite.yaml"


@pytest.mark.parametrize("card", SMALL)
def test_a_trainings_checkpoint_becomes_images(card, tmp_path, monkeypatch):
    file, name = SMALL[card]
    case, folder = golden(name), tmp_path / "weights" / card
    folder.mkdir(parents=True)
    tensors = {key: tensor.float() for key, tensor in case.tensors.items()}
    torch.save(as_trained(case.family, tensors), folder / file)
    monkeypatch.setenv("DIFFBENCH_WEIGHTS", str(tmp_path / "weights"))
    suite = write_suite(tmp_path, card)

    network = bare_network(read_suite(suite).models[0].read_card(), Consent(pickle=True))
    answer = network(case.image.float(), torch.tensor(case.time))
    torch.testing.assert_close(answer, case.output.float(), rtol=1e-4, atol=1e-4)

    command = ["run", str(suite), "--out", str(tmp_path / "run"), "--only", "model=small", "--set", "samples=4"]
    refused = CliRunner().invoke(cli, [*command, "--device", "cpu", "--quiet"])
    assert isinstance(refused.exception, DiffbenchError) and refused.exception.exit_code == 2
    assert "is a pickle" in str(refused.exception) and "--allow-pickle" in str(refused.exception)
    done = CliRunner().invoke(cli, [*command, "--device", "cpu", "--quiet", "--allow-pickle"])
    assert done.exit_code == 0, (done.output, done.exception)
    (file,) = (tmp_path / "run" / "cells").glob("*/*.images.safetensors")
    (images,) = load_file(file).values()
    assert (tuple(images.shape), images.dtype) == ((4, *case.output.shape[1:]), torch.uint8)
    assert images.float().std() > 1


@pytest.mark.parametrize("suite", ["ddpm-cifar10", "edm-imagenet64", "ldm-churches"])
def test_without_its_files_a_suite_is_planned_but_not_run(suite, tmp_path, monkeypatch):
    """The network is off: nothing but the cards is read."""
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setenv("DIFFBENCH_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    planned = CliRunner().invoke(cli, ["plan", f"published/{suite}", "--on", "a100", "--out", str(tmp_path / "run")])
    assert planned.exit_code == 0 and "time: about" in planned.output
    cards, ids = {}, defaultdict(list)
    for choice in read_suite(find_suite(f"published/{suite}")).models:
        cards[choice.read_card().name] = choice.read_card()
        ids[choice.read_card().name].append(choice.id)
    for name, card in cards.items():
        begin = f"to fetch first: {', '.join(ids[name])}: "
        (line,) = [line for line in planned.output.splitlines() if line.startswith(begin)]
        assert all(file in line for file in card.checkpoint.files)
        assert str(tmp_path / "none" / name) in line or card.checkpoint.source in line
    run = CliRunner().invoke(cli, ["run", f"published/{suite}", "--out", str(tmp_path / "run"), "--allow-code"])
    assert isinstance(run.exception, CardError) and run.exception.exit_code == 2
    assert len(str(run.exception).splitlines()) == 1
    assert str(run.exception).startswith(f"{next(iter(cards))}: ")
