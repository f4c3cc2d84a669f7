"""A run goes on only under code and networks that answer as they did; other samples are never mixed in."""

import importlib
import shutil
import sys
from dataclasses import replace

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from tiny_model import write_checkpoint
from tiny_run import SHARDS, cells, count_shards, rows, run, shards, tiny_suite, tree

import diffbench
from diffbench import results
from diffbench.diffusion.noise import NoiseSource
from diffbench.errors import OtherCode
from diffbench.models.codec import PixelCodec
from diffbench.runner import engine, execute
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.ddpm import DDPM
from diffbench.samplers.linear import LinearSampler
from diffbench.scoring.images import quantise
from diffbench.scoring.mnist_features import MnistFeatures
from diffbench.status.stored import Part, state_of
from diffbench.store.manifest import damage
from diffbench.store.sealed import read_sealed
from diffbench.store.shards import Store


@pytest.fixture(scope="module")
def stored(checkpoint, tmp_path_factory):
    """A finished run; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(tiny_suite(checkpoint), folder)
    return folder


@pytest.fixture
def copy(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "run")


def scale_method(monkeypatch, owner, name, change):
    """Whatever the method returns goes through ``change``."""
    old = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *arguments, **keywords: change(old(*arguments, **keywords)))


def network(patch, factor=1.001):
    scale_method(patch, UNet2DModel, "forward", lambda output: (output[0] * factor,))


def sampler_coefficient(patch):
    def change(plan):
        plan.x_weight[0] *= 1 + 1e-6
        return plan

    scale_method(patch, DDIM, "plan", change)


def noise(patch):
    normal = NoiseSource.normal

    def other(self, purpose, *arguments, **keywords):
        return normal(self, purpose, *arguments, **keywords) * (1 + 1e-5 * (purpose == "start"))

    patch.setattr(NoiseSource, "normal", other)


CHANGES = {
    "network": (network, "the model tiny does not answer .*: denoised differs by 0.0009. of its size"),
    "one block of the network": (
        lambda patch: patch.setattr(UNet2DModel, "forward", _with_scaled_time_embedding(UNet2DModel.forward)),
        "the model tiny .*: denoised differs",
    ),
    "decoder": (
        lambda patch: scale_method(patch, PixelCodec, "decode", lambda images: images * 1.001),
        "the model tiny .*: decoded differs by 0.001 of its size",
    ),
    "features": (
        lambda patch: scale_method(patch, MnistFeatures, "forward", lambda seen: (seen[0] * 1.001, seen[1])),
        "the model tiny .*: features differs by 0.001 of its size",
    ),
    "logits": (
        lambda patch: scale_method(patch, MnistFeatures, "forward", lambda seen: (seen[0], seen[1] + 0.01)),
        "the model tiny .*: logits differs",
    ),
    "quantiser": (
        lambda patch: patch.setattr(quantise, "__defaults__", (-1.0, 1.0, "floor", 0)),
        "the model tiny .*: quantised differs by 1 of its size",
    ),
    "sampler": (sampler_coefficient, r"the sampler of tiny · ddim @ nfe 2 .*: (wide )?trajectory differs"),
    "noise": (noise, r"the sampler of tiny · ddim @ nfe 2 .*: (wide )?trajectory differs"),
}


def _with_scaled_time_embedding(forward):
    def changed(self, sample, timestep, **keywords):
        return forward(self, sample, timestep + 1, **keywords)

    return changed


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_what_makes_samples_is_refused_and_nothing_is_written(checkpoint, stored, monkeypatch, what):
    change, words = CHANGES[what]
    before = tree(stored)
    change(monkeypatch)
    made = count_shards(monkeypatch)
    with pytest.raises(OtherCode, match=words) as refused:
        run(tiny_suite(checkpoint), stored)
    assert refused.value.exit_code == 2 and "\n" not in str(refused.value)
    assert f"{stored}: " in str(refused.value) and "another --out, or --force" in str(refused.value)
    assert made == [] and tree(stored) == before


def test_the_refusal_counts_the_cells_that_would_be_made_again(checkpoint, stored, monkeypatch):
    network(monkeypatch)
    with pytest.raises(OtherCode, match="samples of 2 cells again"):
        run(tiny_suite(checkpoint), stored)
    with pytest.raises(OtherCode, match="samples of 1 cell again"):
        run(tiny_suite(checkpoint), stored, only="sampler=ddpm")


def test_a_change_of_one_sampler_refuses_its_own_cells_and_takes_them_from_the_table(checkpoint, copy, monkeypatch):
    scale_method(monkeypatch, NoiseSource, "normal", lambda z: z)
    scale_method(monkeypatch, DDPM, "plan", lambda plan: replace(plan, noise_std=plan.noise_std * 1.001))
    assert set(rows(copy).index) == {"ddim", "ddpm", "noisy"}
    kept = {name: sha for name, sha in tree(copy).items() if name.startswith(("cells/", "probes/"))}
    assert run(tiny_suite(checkpoint), copy, only="sampler=ddim").sampled == 0
    assert list(rows(copy).index) == ["ddim"], "samples of the sampler as it was stand in no table of today"
    before = tree(copy)
    with pytest.raises(OtherCode, match="the sampler of tiny · ddpm .* samples of 1 cell again"):
        run(tiny_suite(checkpoint), copy)
    assert tree(copy) == before
    assert {name: sha for name, sha in tree(copy).items() if name.startswith(("cells/", "probes/"))} == kept


def test_force_makes_exactly_the_selected_cells_again_and_never_mixes(checkpoint, copy, monkeypatch):
    suite = tiny_suite(checkpoint)
    ddim, ddpm = cells(suite)["ddim"], cells(suite)["ddpm"]
    old, value = shards(copy, ddpm), rows(copy).loc["ddim", "value"]
    network(monkeypatch, 1.5)
    made = count_shards(monkeypatch)
    summary = run(suite, copy, only="sampler=ddim", force=True)
    assert summary.sampled == SHARDS and {name for name, *_ in made} == {"ddim"} and len(made) == SHARDS
    assert shards(copy, ddpm) == old, "kept on disk"
    table = rows(copy)
    assert list(table.index) == ["ddim"], "samples of the other network stand in no table"
    assert table.loc["ddim", "value"] != value

    made.clear()
    assert run(suite, copy).sampled == SHARDS, "those are stale, and made without force"
    assert {name for name, *_ in made} == {"ddpm"}
    table = rows(copy)
    assert list(table.index) == ["ddim", "ddpm", "noisy"] and (table["status"] == "ok").all()
    probes = {read_sealed(path)["probe"] for path in (copy / "cells" / ddim.id).glob("shard-*.json")}
    assert len(probes) == 1 and list(damage(copy)) == []
    fresh = copy.parent / "fresh"
    run(suite, fresh)
    assert [shards(fresh, c) for c in (ddim, ddpm)] == [shards(copy, c) for c in (ddim, ddpm)]


def test_an_interrupted_force_is_finished_without_force(checkpoint, copy, monkeypatch):
    suite = tiny_suite(checkpoint)
    network(monkeypatch, 1.5)
    replaced = []

    def interrupted(self, *arguments):
        replaced.append(1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("diffbench.runner.sampling.Sampling.discard", interrupted)
        with pytest.raises(diffbench.errors.Interrupted):
            run(suite, copy, force=True)
    assert replaced
    assert run(suite, copy).sampled == 2 * SHARDS


def test_equal_answers_of_changed_code_keep_the_samples_and_say_so(checkpoint, copy, monkeypatch, capsys):
    monkeypatch.setattr(engine, "sampling_code", lambda: "cd" * 32)
    before = tree(copy / "cells")
    assert run(tiny_suite(checkpoint), copy, quiet=False).sampled == 0
    note = capsys.readouterr().err
    assert tree(copy / "cells") == before
    assert "made under other conditions, but by answers like today's: diffbench's sampling code" in note
    assert f"then {'cd' * 6}" in note.replace("\n", " ")
    grown = run(tiny_suite(checkpoint, samples={"n": 6, "shard": 2}), copy)
    assert grown.sampled == 6, "both cells grow, and shards of two codes never share one"
    assert read_sealed(copy / "provenance.json")["drift"][0].startswith("diffbench's sampling code: ")


def test_a_damaged_probe_is_settled_anew(checkpoint, copy):
    suite = tiny_suite(checkpoint)
    before = tree(copy)
    for path in (next((copy / "probes").iterdir()), copy / "cells" / cells(suite)["ddim"].id / "probe.json"):
        path.write_bytes(path.read_bytes()[:-5])
    assert run(suite, copy).sampled == 0
    assert tree(copy) == before


def test_a_model_that_cannot_answer_fails_its_cells_and_leaves_the_others(checkpoint, tmp_path, monkeypatch):
    other = write_checkpoint(tmp_path / "other", seed=1)
    forward = UNet2DModel.forward
    suite = tiny_suite(
        checkpoint,
        models=[{"id": "a", "source": str(other)}, {"id": "b", "source": str(checkpoint)}],
        samplers=["ddim"],
    )
    seen = {}

    def raises(self, *arguments, **keywords):
        if seen.setdefault("first", self) is self:
            raise RuntimeError("no such operator")
        return forward(self, *arguments, **keywords)

    monkeypatch.setattr(UNet2DModel, "forward", raises)
    summary = run(suite, tmp_path / "run")
    assert list(summary.failed.values()) == ["RuntimeError: no such operator"]
    table = results.read(tmp_path / "run").set_index("model")
    assert set(table.loc["a", "status"]) == {"failed"} and set(table.loc["a", "reason"]) == {*summary.failed.values()}
    assert set(table.loc["b", "status"]) == {"ok"} and summary.sampled == SHARDS
    monkeypatch.undo()
    assert run(suite, tmp_path / "run").sampled == SHARDS
    assert set(results.read(tmp_path / "run")["status"]) == {"ok"}


def test_no_device_memory_in_the_probe_is_a_failed_cell(checkpoint, tmp_path, monkeypatch):
    def no_memory(*arguments, **keywords):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(UNet2DModel, "forward", no_memory)
    summary = run(tiny_suite(checkpoint), tmp_path / "run")
    assert set(summary.failed.values()) == {"out of device memory at 8 samples: the device is too small, or in use"}


OWN = """
from diffbench.samplers.linear import LinearPlan, LinearSampler

FACTOR = {factor}

class Damped(LinearSampler):
    def plan(self, grid, schedule):
        keep = FACTOR * grid.sigma[1:] / grid.sigma[:-1]
        return LinearPlan(grid.sigma[:-1], keep, 1 - keep, 0 * keep)
"""


def test_what_a_sampler_of_ones_own_imports_counts_too(checkpoint, tmp_path, monkeypatch):
    """Its file is part of the cell's id, but not what it reads elsewhere: the probe finds that."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_probed.py").write_text(OWN.format(factor=0.9))
    importlib.invalidate_caches()
    entry = diffbench.SamplerEntry(
        name="probed", target="own_probed:Damped", summary="", source="", order=1, stochastic=lambda options: False
    )
    suite = {
        "name": "own", "samples": {"n": 5, "shard": 2}, "models": [str(checkpoint)], "samplers": ["probed"],
        "budgets": {"nfe": [2]}, "metrics": ["is"], "timing": {"seconds": 0},
        "run": {"batch_size": 2, "device": "cpu"},
    }  # fmt: skip
    try:
        first = diffbench.run(suite, tmp_path / "run", samplers=[entry], quiet=True)
        assert (first.frame["status"] == "ok").all()
        before = tree(tmp_path / "run")
        sys.modules["own_probed"].FACTOR = 0.8
        with pytest.raises(OtherCode, match="the sampler of .* probed @ nfe 2 does not answer"):
            diffbench.run(suite, tmp_path / "run", samplers=[entry], quiet=True)
        assert tree(tmp_path / "run") == before
    finally:
        sys.modules.pop("own_probed", None)


def test_a_cell_that_could_not_be_asked_is_recorded_as_failed_and_loses_nothing(checkpoint, copy, monkeypatch):
    suite = tiny_suite(checkpoint, samples={"n": 6, "shard": 2})
    before = {name: shards(copy, cell) for name, cell in cells(suite).items()}

    def raises(*arguments, **keywords):
        raise RuntimeError("no such operator")

    with monkeypatch.context() as patch:
        patch.setattr(UNet2DModel, "forward", raises)
        for force in (False, True):
            assert len(run(suite, copy, force=force).failed) == 2
    state = state_of(copy, cells(suite)["ddim"], 3)
    assert state.word == "failed" and state.failed == "RuntimeError: no such operator"
    assert {name: shards(copy, cell) for name, cell in cells(suite).items()} == before
    assert run(suite, copy).sampled == 2
    assert state_of(copy, cells(suite)["ddim"], 3).word == "done"
    assert not list(copy.glob("cells/*/failed.json"))


def test_samples_under_unknown_answers_stand_in_no_table_unasked(checkpoint, copy, monkeypatch):
    suite = tiny_suite(checkpoint)
    probe = copy / "cells" / cells(suite)["ddpm"].id / "probe.json"
    probe.write_bytes(probe.read_bytes()[:-5])
    network(monkeypatch, 1.5)
    run(suite, copy, only="sampler=ddim", force=True)
    assert list(rows(copy).index) == ["ddim"]
    assert run(suite, copy).sampled == SHARDS


def test_times_of_another_network_are_taken_again(checkpoint, tmp_path, monkeypatch):
    """Nothing that has a version or a hash changes here, as when a line of an installed package does."""
    suite = tiny_suite(checkpoint, samplers=["ddim"], timing={"seconds": 1, "batch_size": 2})
    run(suite, tmp_path / "run")
    first = read_sealed(tmp_path / "run" / "timing.json")
    run(suite, tmp_path / "run")
    assert read_sealed(tmp_path / "run" / "timing.json") == first
    network(monkeypatch, 1.5)
    run(suite, tmp_path / "run", force=True)
    assert read_sealed(tmp_path / "run" / "timing.json")["probes"] != first["probes"]


def test_shards_of_two_codes_never_share_a_cell(checkpoint, copy, monkeypatch):
    """Also where the probe answers alike: a cell that grows under other code is made again as a whole."""
    suite = tiny_suite(checkpoint)
    monkeypatch.setattr("diffbench.runner.engine.sampling_code", lambda: "another")
    assert run(suite, copy).sampled == 0, "complete cells of code that answers alike stay"
    cell = cells(suite)["ddim"]
    Store(copy).remove(cell.id, Store(copy).ranges(cell.id)[0])
    made = count_shards(monkeypatch)
    run(suite, copy)
    assert {name for name, *_ in made} == {"ddim"} and len(made) == SHARDS
    codes = {read_sealed(path)["code"] for path in (copy / "cells" / cell.id).glob("shard-*.json")}
    assert codes == {"another"}


def test_parts_of_two_codes_are_not_joined(checkpoint, tmp_path, monkeypatch):
    suite = tiny_suite(checkpoint, samplers=["ddim"])
    run(suite, tmp_path / "run", part=Part(0, 2))
    monkeypatch.setattr("diffbench.runner.engine.sampling_code", lambda: "another")
    run(suite, tmp_path / "run", part=Part(1, 2))
    run(suite, tmp_path / "run")
    cell = cells(suite)["ddim"]
    folder = tmp_path / "run" / "cells" / cell.id
    assert {read_sealed(path)["code"] for path in folder.glob("shard-*.json")} == {"another"}
    assert (rows(tmp_path / "run")["status"] == "ok").all()


@pytest.mark.parametrize("bound", [0.7, 3.0])
def test_a_sampler_that_clamps_is_seen(checkpoint, copy, monkeypatch, bound):
    step = LinearSampler.step

    def clamped(self, state, i, plan, denoise, noise):
        return step(self, state, i, plan, lambda x, sigma: denoise(x, sigma).clamp(-bound, bound), noise)

    monkeypatch.setattr(LinearSampler, "step", clamped)
    with pytest.raises(OtherCode, match="the sampler of tiny"):
        run(tiny_suite(checkpoint), copy)


def test_a_line_that_only_one_time_of_the_cells_grid_shows_is_refused(checkpoint, copy, monkeypatch):
    """Times between those at which D is asked: two samples of each cell are made again on its own grid."""
    forward = UNet2DModel.forward

    def changed(self, sample, timestep, **options):
        between = ((timestep > 450) & (timestep < 550)).view(-1, 1, 1, 1)
        return (forward(self, sample, timestep, **options)[0] * torch.where(between, 1.3, 1.0),)

    monkeypatch.setattr(UNet2DModel, "forward", changed)
    with pytest.raises(OtherCode, match="samples differs"):
        run(tiny_suite(checkpoint), copy)


def test_another_seed_in_the_runner_is_refused(checkpoint, copy, monkeypatch):
    source = execute.NoiseSource
    monkeypatch.setattr(execute, "NoiseSource", lambda seed, *rest, **more: source(seed + 1, *rest, **more))
    with pytest.raises(OtherCode, match="samples differs"):
        run(tiny_suite(checkpoint), copy)
