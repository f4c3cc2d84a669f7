"""What the questions to models and samplers can tell apart."""

from copy import deepcopy
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from tiny_model import write_checkpoint
from tiny_run import tiny_suite

from diffbench.runner import probe
from diffbench.runner.loaded import Loaded
from diffbench.runner.probe import ask_model, ask_sampler
from diffbench.store.probe import difference
from diffbench.suite.plan import plan


@pytest.fixture(scope="module")
def asked(checkpoint):
    """A loaded tiny model with its extractor, and one cell."""
    loaded, cell = Loaded(torch.device("cpu")), plan(tiny_suite(checkpoint))[0]
    return loaded.model(cell), loaded.extractor(cell), cell


def test_the_questions_are_those_of_the_design(asked):
    model, extractor, cell = asked
    seen = []
    denoiser = model.unclipped

    def watched(x_hat, sigma):
        seen.append((x_hat, sigma))
        return denoiser(x_hat, sigma)

    answers = ask_model(type(model)(**{**vars(model), "unclipped": watched}), extractor, cell.dtype)
    assert [tuple(x.shape) for x, _ in seen] == [(8, 1, 28, 28)] * 4
    levels = [sigma.unique().item() for _, sigma in seen]
    assert levels == sorted(levels)
    assert (levels[0], levels[-1]) == pytest.approx((model.schedule.sigma_min, model.schedule.sigma_max))
    assert answers.named["denoised"].values.shape == (4, 8, 256)
    assert answers.where["torch"] == torch.__version__ and answers.where["device"]
    assert set(answers.named) == {"denoised", "decoded", "quantised", "features", "logits"}


def test_the_same_question_has_the_same_answer(asked):
    model, extractor, cell = asked
    first, second = (ask_model(model, extractor, cell.dtype) for _ in range(2))
    assert first.digest == second.digest
    assert ask_sampler(model, cell).digest == ask_sampler(model, cell).digest


def test_another_network_answers_otherwise_at_every_precision(asked, tmp_path):
    write_checkpoint(tmp_path / "other", seed=1)
    loaded = Loaded(torch.device("cpu"))
    for dtype in ("float32", "bfloat16"):
        own, other = (
            plan(tiny_suite(source, run={"device": "cpu", "batch_size": 2, "dtype": dtype}))[0]
            for source in (asked[0].card.directory, tmp_path / "other")
        )
        answers = [ask_model(loaded.model(cell), loaded.extractor(cell), dtype) for cell in (own, other)]
        assert difference(*answers).name == "denoised"


@pytest.mark.parametrize("threads", [2])
def test_more_threads_are_no_other_code(asked, threads):
    model, extractor, cell = asked
    one = ask_model(model, extractor, cell.dtype)
    try:
        torch.set_num_threads(threads)
        assert difference(one, ask_model(model, extractor, cell.dtype)) is None
    finally:
        torch.set_num_threads(1)


def test_a_change_that_only_one_noise_level_shows_is_found(asked, monkeypatch):
    model, extractor, cell = asked
    before, forward = ask_model(model, extractor, cell.dtype), UNet2DModel.forward

    def changed(self, sample, timestep, **options):
        late = (timestep < 10).view(-1, 1, 1, 1)
        return (forward(self, sample, timestep, **options)[0] * torch.where(late, 1.001, 1.0),)

    monkeypatch.setattr(UNet2DModel, "forward", changed)
    assert difference(before, ask_model(model, extractor, cell.dtype)).by == pytest.approx(1e-3, rel=0.2)


def coefficients(plan):
    """All places of all coefficients of a sampler's plan that are not zero."""
    assert is_dataclass(plan)
    for field in fields(plan):
        array = getattr(plan, field.name)
        if isinstance(array, np.ndarray) and array.dtype == np.float64:
            yield from ((array, index) for index in zip(*np.nonzero(array), strict=True))


@pytest.mark.parametrize("name", ["ddim", "ddpm", "dpmpp-2m", "euler-maruyama", "heun"])  # plans without unused places
def test_one_percent_of_any_coefficient_is_seen(monkeypatch, name):
    suite = tiny_suite(".", models=["score-vp-mnist"], samplers=[name], budgets={"nfe": [1, 5]})
    for cell in plan(suite):
        if cell.skip is not None:
            continue
        black = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)  # what the network makes is another answer's business
        monkeypatch.setattr(probe, "sample_images", lambda *arguments, black=black: (black, None))
        model = type("Model", (), {"schedule": cell.card.schedule_object(), "device": torch.device("cpu")})
        before = ask_sampler(model, cell)
        sampler = probe.make_sampler(cell)
        table = deepcopy(sampler.plan(cell.grid, model.schedule))  # a grid's own arrays can't be written to
        sampler.plan = lambda grid, schedule, table=table: table
        monkeypatch.setattr(probe, "make_sampler", lambda cell, sampler=sampler: sampler)
        assert difference(before, ask_sampler(model, cell)) is None
        places = list(coefficients(table))
        assert len(places) >= cell.steps
        for array, index in places:
            right = array[index]
            array[index] = right * 1.01
            assert difference(before, ask_sampler(model, cell)) is not None, (cell.label, index)
            array[index] = right
        monkeypatch.undo()
