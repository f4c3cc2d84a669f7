"""``diffbench.run`` with objects: models in memory, samplers that are functions; and the training callback."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_model import write_checkpoint

import diffbench
from diffbench import results
from diffbench.api import Results
from diffbench.callback import Evaluation
from diffbench.catalog import SAMPLERS, SamplerEntry
from diffbench.diffusion.denoiser import Denoised
from diffbench.errors import CardError, UsageError
from diffbench.models.find import load_card
from diffbench.models.load import load_model
from diffbench.objects import objects

RUN = diffbench.run  # tests have the command as ``diffbench``
LINEAR = {"kind": "ddpm", "betas": "linear", "beta_start": 0.0001, "beta_end": 0.02, "steps": 1000}


def euler(denoise, x, sigmas, noise):
    for sigma, after in zip(sigmas[:-1], sigmas[1:], strict=True):
        x = x + (after - sigma) * (x - denoise(x, sigma)) / sigma
    return x


def ancestral(denoise, x, sigmas, noise):
    """DDIM with eta = 1, as Euler down and noise up."""
    for index, (sigma, after) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        x0 = denoise(x, sigma)
        up = after * (1 - (after / sigma) ** 2).sqrt() if after > 0 else after
        down = (after**2 - up**2).sqrt()
        x = x0 + down / sigma * (x - x0)
        if after > 0:
            x = x + up * noise(index)
    return x


def heun(denoise, x, sigmas, noise):
    for sigma, after in zip(sigmas[:-1], sigmas[1:], strict=True):
        slope = (x - denoise(x, sigma)) / sigma
        there = x + (after - sigma) * slope
        x = there if after == 0 else x + (after - sigma) / 2 * (slope + (there - denoise(there, after)) / after)
    return x


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(checkpoint):
    return load_model(load_card(checkpoint), torch.device("cpu"))


@pytest.fixture
def own(checkpoint):
    from diffusers import UNet2DModel

    unet = UNet2DModel.from_pretrained(checkpoint / "unet")
    return diffbench.OwnModel.of_network(
        unet, prediction="epsilon", schedule=LINEAR, shape=(1, 28, 28), clip=(-1.0, 1.0), reference="mnist"
    )


def run(out, **given):
    suite = {"name": "own", "run": {"device": "cpu", "batch_size": 6}}
    return diffbench.run(suite, out, **{"budgets": [3], "samples": 6, "timing": 0, "quiet": True, **given})


def scores(frame, sampler, metric="kid", model=None):
    mine = frame[(frame["sampler"] == sampler) & (frame["metric"] == metric)]
    return mine if model is None else mine[mine["model"] == model]


def test_a_function_samples_what_the_method_in_the_catalog_does(checkpoint, tmp_path):
    samplers = {"euler-fn": euler, "euler": "euler", "noisy-fn": ancestral, "noisy": {"sampler": "ddim", "eta": 1.0},
                "heun-fn": heun, "heun": "heun"}  # fmt: skip
    found = run(tmp_path / "run", models={"tiny": str(checkpoint)}, samplers=samplers, budgets=[5])
    assert (found.frame["status"] == "ok").all()
    for one, other in (("euler-fn", "euler"), ("noisy-fn", "noisy"), ("heun-fn", "heun")):
        ours, theirs = scores(found.frame, one), scores(found.frame, other)
        assert ours["value"].item() == pytest.approx(theirs["value"].item(), rel=1e-4)
        assert ours["nfe"].item() == theirs["nfe"].item() == 5
    assert "euler-fn" not in SAMPLERS


def test_a_network_in_memory_samples_what_its_checkpoint_does(own, checkpoint, tmp_path):
    found = run(tmp_path / "run", models={"mine": own, "tiny": str(checkpoint)}, samplers={"ddim": "ddim"})
    mine, theirs = (scores(found.frame, "ddim", "fid", name) for name in ("mine", "tiny"))
    assert mine["value"].item() == pytest.approx(theirs["value"].item(), rel=1e-5)
    assert mine["cell"].item() != theirs["cell"].item()
    assert (found.frame["status"] == "ok").all()


def test_a_denoiser_with_schedule_and_shape_is_enough(tmp_path):
    class Gaussian:
        schedule = {"kind": "ve", "sigma_min": 0.01, "sigma_max": 10.0}
        sample_shape = (1, 4, 4)

        def __call__(self, x_hat, sigma):
            gain = 0.25 / (0.25 + sigma**2)
            return x_hat * gain.to(x_hat.dtype).view(-1, 1, 1, 1)

    metrics = [{"metric": "solver_error", "reference_steps": 128}]
    samplers = {"fn": euler, "heun-fn": heun}
    found = run(tmp_path / "run", models={"gauss": Gaussian()}, samplers=samplers, budgets=[4, 8, 16], metrics=metrics)
    values = scores(found.frame, "heun-fn", "solver_error").sort_values("budget")["value"].tolist()
    assert values[0] > 2 * values[1] > 4 * values[2] > 0
    zero = diffbench.OwnModel(lambda x, s: Denoised(x * 0), Gaussian.schedule, (1, 4, 4))
    kid = diffbench.run(
        out=tmp_path / "b", models={"g": zero}, samplers={"fn": euler}, budgets=[2], samples=2, timing=0
    )
    assert (kid.frame[kid.frame["metric"] == "fid"]["reason"].str.contains("no feature extractor")).all()


def test_finished_cells_of_objects_are_not_sampled_again_and_changed_ones_are(own, tmp_path, monkeypatch):
    from diffbench.runner import execute, sampling

    made = []

    def run_shard(model, cell, *arguments):
        made.append(cell.sampler)
        return execute.run_shard(model, cell, *arguments)

    monkeypatch.setattr(sampling, "run_shard", run_shard)

    def again(factor, held=None):
        def damped(denoise, x, sigmas, noise):
            _ = held
            return factor * euler(denoise, x, sigmas, noise)

        return run(tmp_path / "run", models={"mine": own}, samplers={"damped": damped})

    again(0.9)
    again(0.9)
    assert made == ["damped"]
    again(0.8)
    assert made == ["damped"] * 2
    with torch.no_grad():
        next(own.modules[0].parameters()).add_(0.01)
    again(0.8)
    assert made == ["damped"] * 3
    held = threading.Lock()  # no hash: never taken for another
    again(0.8, held)
    again(0.8, held)
    assert made == ["damped"] * 5


def test_what_is_unidentified_is_said(own, tmp_path, capfd):
    held = threading.Lock()

    def drawing(denoise, x, sigmas, noise):
        _ = held
        return euler(denoise, x, sigmas, noise)

    run(tmp_path / "run", models={"mine": own}, samplers={"x": drawing}, quiet=False)
    assert (
        "unidentified, sampled anew in every run: sampler x: it holds an object of type lock" in capfd.readouterr().err
    )


def test_networks_are_evaluated_in_evaluation_mode_and_left_as_they_were(own, tmp_path):
    network = own.modules[0].train()
    seen = []
    network.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    run(tmp_path / "run", models={"mine": own}, samplers={"fn": euler})
    assert seen and not any(seen) and network.training


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda denoise, x, sigmas, noise: x[:1], "returned shape"),
        (lambda denoise, x, sigmas, noise: None, "returned NoneType"),
        (lambda denoise, x: x, "fails on a Gaussian"),
        (lambda denoise, x, sigmas, noise: denoise(x, 1.0), "cost no more evaluations"),
    ],
)
def test_functions_that_are_no_samplers_are_said_to_be(function, words, checkpoint, tmp_path):
    try:
        found = run(tmp_path / "run", models={"tiny": str(checkpoint)}, samplers={"bad": function})
    except UsageError as error:
        assert words in str(error) and "bad" in str(error)
    else:
        told = " ".join(found.frame["reason"].dropna())
        assert words in told and (found.frame["status"] != "ok").all()


def test_objects_that_can_not_be_run_are_said_to_be(own, tmp_path):
    with pytest.raises(UsageError, match="no denoiser with schedule"):
        run(tmp_path / "run", models={"mine": torch.nn.Linear(2, 2)}, samplers={"fn": euler})
    with pytest.raises(UsageError, match="is no function"):
        run(tmp_path / "run", models={"mine": own}, samplers={"fn": 3})
    with pytest.raises(UsageError, match="given twice"):
        diffbench.run({"name": "x", "budgets": {"nfe": [1]}}, models={"mine": own}, samplers={"fn": euler}, budgets=[2])
    with pytest.raises(UsageError, match="takes no objects"):
        diffbench.run("quickstart", models={"mine": own})
    with pytest.raises(UsageError, match="already"):
        run(tmp_path / "run", models={"ddpm-mnist": own}, samplers={"fn": euler})
    with pytest.raises(UsageError, match="already"):
        run(tmp_path / "run", models={"mine": own}, samplers={"ddim": euler})
    with pytest.raises(CardError, match="own precision"):
        diffbench.run({"name": "x", "run": {"dtype": "bfloat16"}}, tmp_path / "y", models={"mine": own},
                      samplers={"fn": euler}, budgets=[2], samples=2, timing=0, quiet=True)  # fmt: skip


def test_images_of_a_run_with_objects_can_be_exported(own, tmp_path, diffbench):
    run(tmp_path / "run", models={"mine": own}, samplers={"fn": euler})
    code, out, err = diffbench("export", str(tmp_path / "run"), "--npz", "--out", "npz")
    assert code == 0, err
    (file,) = (tmp_path / "npz").glob("*.npz")
    assert np.load(file)["arr_0"].shape == (6, 28, 28, 1)
    assert len(results.read(tmp_path / "run")) == 6


def test_commands_on_a_run_whose_objects_are_gone_say_what_they_can(own, tmp_path, diffbench):
    """Costs are of other numbers of images than the samples: export counts the samples."""
    suite = {"name": "own", "run": {"device": "cpu", "batch_size": 6, "keep": {"samples": 4}},
             "timing": {"seconds": 0.5, "batch_size": 1}}  # fmt: skip
    RUN(suite, tmp_path / "run", models={"mine": own}, samplers={"fn": euler}, budgets=[2], samples=6,
        quiet=True)  # fmt: skip
    code, out, err = diffbench("export", "run", "--npz", "--out", "npz")
    assert code == 0 and "4 of 6 images were kept" in err
    code, out, err = diffbench("show", "run")
    assert code == 0 and "the script that made it" in out and "fn" in out and "(cpu)" in out
    for command in (["status", "run"], ["cache", "gc", "run"]):
        code, out, err = diffbench(*command)
        assert code == 2 and 'unknown model "mine"' in err and "goes on in that script" in err


def test_a_callback_tells_a_spoiled_network_from_one_that_did_not_change(own, tmp_path):
    network = own.modules[0]
    watch = diffbench.Callback(own, every=2, out=tmp_path, samplers=["ddim"], budgets=[2], samples=96, metrics=["fid"])
    assert watch(1) is None
    first = watch(2)
    assert first.comparison is None and first.verdict is None and first.value() > 0
    same = watch(4)
    assert same.verdict == "SAME" and "SAME" in repr(same)
    with torch.no_grad():
        network.conv_out.bias.add_(0.3)
    moved = watch(6)
    assert moved.verdict in ("WORSE", "BETTER") and moved.verdicts == {("ddim", 2, "fid"): moved.verdict}
    difference = moved.value() - same.value()
    assert (difference > 0) == (moved.verdict == "WORSE")
    assert [one.step for one in watch.history] == [2, 4, 6]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-{step:08d}" for step in (2, 4, 6)]
    made = diffbench.Callback(lambda: own, every=1, out=tmp_path / "b", samplers=["ddim"], budgets=[2], samples=2)
    assert made(1).results.frame["n"].dropna().eq(2).all()


def test_a_callback_refuses_at_once_what_is_no_model(tmp_path):
    for given in (torch.nn.Conv2d(1, 1, 1), 3, ["ddpm-mnist"]):
        with pytest.raises(UsageError, match="model of the callback: .*OwnModel.of_network"):
            diffbench.Callback(given, every=1, out=tmp_path)
    for given in ("ddpm-mnist", {"name": "ddpm-mnist"}, lambda: None):
        assert diffbench.Callback(given, every=1, out=tmp_path)


def test_timing_and_samples_are_given_as_in_a_suite_too(tmp_path):
    given = {"models": {"a": "ddpm-mnist"}, "samplers": {"ddim": "ddim"}, "budgets": [1], "metrics": ["is"]}
    samples, timing = {"n": 2, "shard": 1}, {"seconds": 0, "batch_size": 1}
    diffbench.run(out=tmp_path / "r", **given, samples=samples, timing=timing, quiet=True)
    stored = yaml.safe_load((tmp_path / "r" / "suite.yaml").read_text())
    assert (stored["samples"], stored["timing"]) == (samples, timing)


def test_models_and_samplers_are_listed_as_in_a_suite():
    entry = SamplerEntry(**{**vars(SAMPLERS["ddim"]), "name": "own-ddim"})
    listed = ["ddim", {"id": "noisy", "sampler": "ddim", "eta": 1.0}, entry]
    made = objects(None, ["ldm-mnist"], listed, {})
    assert made.suite["models"] == ["ldm-mnist"] and made.entries == [entry]
    assert made.suite["samplers"] == [*listed[:2], {"id": "own-ddim", "sampler": "own-ddim"}]
    assert "samplers" not in objects({"name": "x"}, None, [], {}).suite
    named = objects({"samplers": ["own-ddim"]}, None, [entry], {})
    assert named.suite["samplers"] == ["own-ddim"] and named.entries == [entry]
    with pytest.raises(UsageError, match="samplers is given twice"):
        objects({"samplers": ["ddim"]}, None, ["heun"], {})
    with pytest.raises(UsageError, match="takes no objects"):
        diffbench.run("smoke", samplers=["ddim"])


def test_a_callback_without_any_metric_that_can_be_computed_is_refused(tmp_path):
    bare = diffbench.OwnModel(lambda x, sigma: x, {"kind": "flow"}, (1, 4, 4))
    with pytest.raises(UsageError, match="no feature extractor, so none of fid, kid can be computed"):
        diffbench.Callback(bare, every=1, out=tmp_path)
    with pytest.raises(UsageError, match="no feature extractor"):
        diffbench.Callback(lambda: bare, every=1, out=tmp_path)(1)


def test_an_evaluation_without_scores_says_why():
    row = {
        "suite": "s",
        "cell": "a",
        "model": "m",
        "family": "ddpm",
        "sampler": "ddim",
        "metric": "fid",
        "options": "{}",
    }
    frame = results.frame([{**row, "better": "lower", "status": "ok", "reason": "it has no feature extractor"}])
    found = Evaluation(20, Results(Path(), frame), None)
    assert repr(found) == "<Evaluation at step 20: no score: it has no feature extractor>"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"models": [len], "samplers": {"ddim": "ddim"}}, "or a mapping of ids to models"),
        ({"models": {"a": "ddpm-mnist"}, "samplers": [len]}, "or a mapping of ids to samplers"),
        ({"models": {"a": "ddpm-mnist"}, "samplers": "ddim"}, "or a mapping of ids to samplers"),
        ({"models": {"a": "ddpm-mnist"}, "samplers": {"d": "ddim"}, "budgets": 5}, "budgets are numbers"),
    ],
)
def test_arguments_of_another_form_are_told(given, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        diffbench.run(out=tmp_path, **{"budgets": [5], **given})


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"conditioning": "tim"}, 'did you mean "time"'), ({"prediction": "epsilom"}, 'did you mean "epsilon"')],
)
def test_a_network_is_told_in_words_that_there_are(changed, words):
    network = torch.nn.Conv2d(1, 1, 1)
    stated = {"prediction": "epsilon", "schedule": {"kind": "flow"}, "shape": (1, 4, 4), **changed}
    with pytest.raises(Exception, match=words):
        diffbench.OwnModel.of_network(network, **stated)
