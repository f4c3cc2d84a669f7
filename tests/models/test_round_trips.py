"""A pipeline saved by diffusers, sampled by itself and by diffbench from the same noise with the same scheduler."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pipelines
import torch
from torch import Tensor

from diffbench.diffusion.noise import NoiseSource
from diffbench.runner.execute import make_sampler, sample_images
from diffbench.runner.loaded import Loaded
from diffbench.suite.cell import Cell
from diffbench.suite.plan import plan
from diffbench.suite.read import suite_from_objects

COUNT, STEPS = 3, 4
AS_SHIPPED = "diffusers:checkpoint"
PROMPTS = ["a photo of a cat", "the dog", "a cat"]
LABELS = [207, 360, 0]


@pytest.fixture(autouse=True)
def quiet_diffusers() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="diffusers")
        warnings.filterwarnings("ignore", module="transformers")
        yield


def cell_of(folder: Path, sampler: Any = AS_SHIPPED, steps: int = STEPS, **model: Any) -> Cell:
    suite = {
        "name": "round-trip",
        "models": [{"id": "ours", "source": str(folder), "card": {"ema": True}, **model}],
        "samplers": [sampler],
        "budgets": {"steps": [steps]},
        "samples": COUNT,
        "metrics": [{"metric": "fid"}],
    }
    (cell,) = plan(suite_from_objects(suite))
    assert cell.skip is None, cell.skip
    return cell


def ours(cell: Cell) -> tuple[Tensor, float, float]:
    """Images in [0, 1], evaluations of the denoiser and of the network a sample."""
    model = Loaded(torch.device("cpu")).model(cell)
    images, x0, counter = sample_images(model, cell, make_sampler(cell), range(COUNT))
    decoded = model.codec.decode(x0)
    assert (images.float() / 127.5 - 1 - decoded.clamp(-1, 1)).abs().max() < 1 / 127
    return (decoded / 2 + 0.5).clamp(0, 1), counter.samples_evaluated / COUNT, counter.network_evaluations / COUNT


@contextmanager
def drawing(monkeypatch: pytest.MonkeyPatch, pipeline: Any, shape: tuple[int, int, int]) -> Iterator[None]:
    """Let a pipeline and its scheduler draw from the counter-based noise, in the order in which they ask for it."""
    noise, drawn = NoiseSource(0, range(COUNT), shape), [0]

    def start(*args: Any, **options: Any) -> Tensor:
        return noise.normal("start", 0)

    def step(*args: Any, **options: Any) -> Tensor:
        drawn[0] += 1
        return noise.normal("step", drawn[0] - 1)

    monkeypatch.setattr(sys.modules[type(pipeline).__module__], "randn_tensor", start)
    monkeypatch.setattr(sys.modules[type(pipeline.scheduler).__module__], "randn_tensor", step)
    yield


PIPELINES: dict[str, tuple[Callable[[Path], Any], dict[str, Any], dict[str, Any]]] = {
    # How it is made, what its call is given, and what the model is given in the suite.
    "DDPMPipeline": (tiny_pipelines.ddpm, {"batch_size": COUNT}, {}),
    "DDIMPipeline": (tiny_pipelines.ddim, {"batch_size": COUNT}, {}),
    "LDMPipeline, VQ": (lambda folder: tiny_pipelines.ldm(folder, "vq"), {"batch_size": COUNT}, {}),
    "LDMPipeline, KL": (lambda folder: tiny_pipelines.ldm(folder, "kl"), {"batch_size": COUNT}, {}),
    "DiTPipeline": (tiny_pipelines.dit, {"class_labels": LABELS, "guidance_scale": 1.0}, {"labels": LABELS}),
    "DiTPipeline, guided": (
        tiny_pipelines.dit,
        {"class_labels": LABELS, "guidance_scale": 4.0},
        {"labels": LABELS, "guidance": 4.0},
    ),
    "StableDiffusionPipeline": (
        tiny_pipelines.stable_diffusion,
        {"prompt": PROMPTS, "guidance_scale": 7.5, "height": 16, "width": 16},
        {"prompts": PROMPTS, "guidance": 7.5},
    ),
    "StableDiffusionPipeline, negative": (
        tiny_pipelines.stable_diffusion,
        {"prompt": PROMPTS, "guidance_scale": 3.0, "negative_prompt": ["dog"] * 3, "height": 16, "width": 16},
        {"prompts": PROMPTS, "guidance": 3.0, "negative_prompt": "dog"},
    ),
    "LDMTextToImagePipeline": (
        tiny_pipelines.ldm_text,
        {"prompt": PROMPTS, "guidance_scale": 1.5, "height": 64, "width": 64},
        {"prompts": PROMPTS, "guidance": 1.5},
    ),
    "LDMTextToImagePipeline, unguided": (
        tiny_pipelines.ldm_text,
        {"prompt": PROMPTS, "guidance_scale": 1.0, "height": 64, "width": 64},
        {"prompts": PROMPTS},
    ),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_samples_are_those_of_the_pipeline(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, call, given = PIPELINES[name]
    torch.manual_seed(7)
    pipeline = make(tmp_path / "pipeline")
    cell = cell_of(tmp_path / "pipeline", **given)
    mine, nfe, network_evals = ours(cell)
    with drawing(monkeypatch, pipeline, cell.card.sample_shape):
        theirs = pipeline(**call, num_inference_steps=STEPS, output_type="np").images
    torch.testing.assert_close(mine, torch.from_numpy(theirs).permute(0, 3, 1, 2), rtol=0, atol=1e-4)
    assert mine.std() > 1e-3
    assert (nfe, network_evals) == (STEPS, STEPS * (2 if "guidance" in given else 1))


def test_score_sde_ve_is_its_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    pipeline = tiny_pipelines.score_sde_ve(tmp_path / "pipeline")
    # Its steps take sigma(t) at the whole indices below t, its network at t itself: 8e-5 more, relatively.
    sigmas = (0.01 * 5000.0 ** np.linspace(1, 1e-5, STEPS)).tolist()
    sampler = {
        "id": "pc", "sampler": "predictor-corrector", "coupled": True, "corrector_steps": 1,
        "snr": pipeline.scheduler.config.snr, "grid": {"kind": "explicit", "sigmas": sigmas},
    }  # fmt: skip
    cell = cell_of(tmp_path / "pipeline", sampler)
    mine, nfe, _ = ours(cell)
    noise, drawn = NoiseSource(0, range(COUNT), cell.card.sample_shape), [0]

    def step(*args: Any, **options: Any) -> Tensor:
        number, drawn[0] = drawn[0] // 2, drawn[0] + 1
        return noise.normal("corrector" if drawn[0] % 2 else "step", number)

    monkeypatch.setattr(
        sys.modules[type(pipeline).__module__], "randn_tensor", lambda *a, **o: noise.normal("start", 0)
    )
    monkeypatch.setattr(sys.modules[type(pipeline.scheduler).__module__], "randn_tensor", step)
    theirs = pipeline(batch_size=COUNT, num_inference_steps=STEPS, output_type="np").images
    torch.testing.assert_close(mine, torch.from_numpy(theirs).permute(0, 3, 1, 2), rtol=0, atol=1e-4)
    assert nfe == 2 * STEPS
    assert mine.std() > 1e-2


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_flow_of_stable_diffusion_3_is_its_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guidance: float
) -> None:
    torch.manual_seed(5)
    pipeline = tiny_pipelines.stable_diffusion_3(tmp_path / "pipeline")
    times = [0.99, 0.7, 0.4, 0.1]
    call = {"prompt": PROMPTS, "guidance_scale": guidance, "height": 16, "width": 16, "sigmas": times}
    monkeypatch.setattr(
        sys.modules[type(pipeline).__module__],
        "randn_tensor",
        lambda *args, **options: NoiseSource(0, range(COUNT), (4, 8, 8)).normal("start", 0),
    )
    theirs = pipeline(**call, num_inference_steps=len(times), output_type="np").images
    shifted = pipeline.scheduler.sigmas[:-1].double()  # of the flow's time: 3 t / (1 + 2 t)
    grid = {"kind": "explicit", "sigmas": (shifted / (1 - shifted)).tolist()}
    given = {"prompts": PROMPTS, **({} if guidance == 1 else {"guidance": guidance})}
    cell = cell_of(tmp_path / "pipeline", {"id": "euler", "sampler": "ddim", "grid": grid}, **given)
    assert (cell.card.prediction, cell.card.schedule, cell.card.codec.shift) == ("flow", {"kind": "flow"}, 0.0609)
    mine, nfe, network_evals = ours(cell)
    torch.testing.assert_close(mine, torch.from_numpy(theirs).permute(0, 3, 1, 2), rtol=0, atol=1e-4)
    assert (nfe, network_evals) == (4, 4 if guidance == 1 else 8)
    assert mine.std() > 1e-3
    own = cell_of(tmp_path / "pipeline", "ddim", **given).grid
    assert own is not None
    assert own.sigma[1:].tolist() == pytest.approx([9.0, 3.0, 1.0, 0.0]), "shifted by 3, as the checkpoint states"
