"""How the first samples form: kept beside them, and nothing else is another byte."""

import numpy as np
import pytest
import torch
from tiny_model import write_checkpoint
from tiny_run import cells, run, shards, tiny_suite

from diffbench.diffusion.denoiser import Denoised
from diffbench.errors import StoreError
from diffbench.runner.gc import free
from diffbench.runner.trajectories import Recorded, trajectories
from diffbench.store.kept import FRAMES, kept_images, kept_trajectories
from diffbench.store.shards import Store
from diffbench.suite.read import suite_from_objects


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


def keeping(checkpoint, trajectories, **changes):
    own = {"batch_size": 2, "device": "cpu", "keep": {"samples": 3, "trajectories": trajectories}}
    return tiny_suite(checkpoint, run=own, **changes)


def test_nothing_else_changes_a_byte(checkpoint, tmp_path):
    suites = [keeping(checkpoint, count) for count in (0, 2)]
    for count, suite in enumerate(suites):
        run(suite, tmp_path / str(count))
    assert [c.id for c in cells(suites[0]).values()] == [c.id for c in cells(suites[1]).values()]
    compared = 0
    for cell in cells(suites[0]).values():
        without, with_them = (shards(tmp_path / str(count), cell) for count in (0, 1))
        extra = set(with_them) - set(without)
        assert extra == {"shard-00000000-00000002.trajectories.safetensors"}
        for name in without:
            if name.endswith(".safetensors"):
                assert with_them[name] == without[name]
                compared += 1
    assert compared == 15  # three cells, with features of three shards and images of two
    assert (tmp_path / "0" / "results.csv").read_bytes() == (tmp_path / "1" / "results.csv").read_bytes()


def test_they_lead_to_the_samples(checkpoint, tmp_path):
    suite = keeping(checkpoint, 2, budgets={"nfe": [5]})
    run(suite, tmp_path)
    cell = cells(suite)["ddim"]
    found = kept_trajectories(Store(tmp_path), cell.id)
    assert found.frames.shape == (2, 6, 1, 28, 28) and found.evaluations.tolist() == [1, 2, 3, 4, 5, 5]
    np.testing.assert_array_equal(found.frames[:, -1], kept_images(Store(tmp_path), cell.id, 2))
    np.testing.assert_array_equal(found.frames[:, -2], found.frames[:, -1])  # ddim lands on its last estimate
    assert found.sigma[0, :-1].tolist() == pytest.approx(cell.grid.sigma[:-1].tolist())
    assert found.sigma[:, -1].tolist() == [0, 0]


def test_as_many_as_the_first_batch_holds_and_made_when_asked_for_later(checkpoint, tmp_path):
    run(keeping(checkpoint, 0), tmp_path)
    cell = cells(keeping(checkpoint, 0))["ddim"]
    assert kept_trajectories(Store(tmp_path), cell.id) is None
    suite = keeping(checkpoint, 9)
    assert run(suite, tmp_path).sampled == 2  # the first shard of both distinct cells
    assert len(kept_trajectories(Store(tmp_path), cell.id).frames) == 2
    assert run(suite, tmp_path).sampled == 0


def test_they_stay_where_features_are_freed(checkpoint, tmp_path):
    suite = keeping(checkpoint, 2)
    run(suite, tmp_path)
    cell = cells(suite)["ddim"]
    before = kept_trajectories(Store(tmp_path), cell.id)
    assert free(tmp_path, features=True) and not list(tmp_path.glob("cells/*/*mnist-features.safetensors"))
    np.testing.assert_array_equal(kept_trajectories(Store(tmp_path), cell.id).frames, before.frames)
    (path,) = tmp_path.glob(f"cells/{cell.id}/*.trajectories.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match="does not match the sha256"):
        kept_trajectories(Store(tmp_path), cell.id)


class Half:
    """D(x, sigma) = x / 2."""

    def __call__(self, x_hat, sigma):
        return Denoised(x_hat / 2)


@pytest.mark.parametrize("calls", [1, 2, 8, 9, 16, 17, 33, 1000])
def test_evenly_chosen_of_any_number_with_both_ends(calls):
    recorded = Recorded(Half(), 2)
    for call in range(1, calls + 1):
        x = torch.full((3, 1, 2, 2), float(call))
        answer = recorded(x, torch.full((3,), 1.0 / call, dtype=torch.float64)).x0
        answer.zero_()  # samplers may work in place
        assert len(recorded._held) <= 2 * FRAMES
    seen = recorded.estimates()
    assert seen[0].call == 1 and seen[-1].call == calls == recorded.calls and len(seen) == min(calls, FRAMES)
    assert all(one.x0.shape == (2, 1, 2, 2) and (one.x0 == one.call / 2).all() for one in seen)
    assert all(one.sigma.tolist() == [1.0 / one.call] * 2 for one in seen)
    gaps = np.diff([one.call for one in seen])
    assert calls == 1 or gaps.max() <= 2.5 * max(1.0, (calls - 1) / (FRAMES - 1))


def test_a_sampler_that_goes_on_with_a_part_of_its_batch_is_followed_until_then():
    recorded = Recorded(Half(), 2)
    for size in (3, 3, 2, 1):
        recorded(torch.ones(size, 1, 2, 2), torch.ones(size, dtype=torch.float64))
    assert [one.call for one in recorded.estimates()] == [1, 2] and recorded.calls == 4


def test_what_is_not_finite_is_drawn_grey():
    class Nothing:
        def decode(self, z):
            return z

    recorded = Recorded(Half(), 1)
    recorded(torch.full((2, 1, 2, 2), torch.nan), torch.ones(2, dtype=torch.float64))
    found = trajectories(recorded, Nothing(), torch.full((2, 1, 2, 2), 7, dtype=torch.uint8)).arrays
    assert found["trajectories"][0, :, 0, 0, 0].tolist() == [128, 7] and found["evaluations"].tolist() == [1, 1]


@pytest.mark.parametrize("sampler", ["rk45", "dpm-adaptive", "heun", "predictor-corrector", "restart"])
def test_latents_are_decoded_and_every_kind_of_sampler_is_followed(tmp_path, sampler):
    models = ["ldm-mnist"] if sampler in ("heun", "dpm-adaptive", "restart") else ["score-vp-mnist"]
    suite = suite_from_objects(
        {
            "name": "x", "models": models, "samplers": [sampler], "budgets": {"nfe": [24]}, "samples": 2,
            "metrics": ["is"], "run": {"batch_size": 2, "device": "cpu", "keep": {"samples": 2, "trajectories": 1}},
            "timing": {"seconds": 0},
        }
    )  # fmt: skip
    (cell,) = cells(suite).values()
    if cell.skip is not None:
        pytest.fail(cell.skip)
    run(suite, tmp_path)
    found = kept_trajectories(Store(tmp_path), cell.id)
    assert found.frames.shape[0] == 1 and 3 <= found.frames.shape[1] <= FRAMES + 1
    assert found.frames.shape[2:] == (1, 28, 28)
    np.testing.assert_array_equal(found.frames[0, -1], kept_images(Store(tmp_path), cell.id, 1)[0])
    assert (np.diff(found.evaluations) >= 0).all() and np.isfinite(found.sigma).all()
    apart = [np.abs(frame.astype(float) - found.frames[0, -1]).mean() for frame in found.frames[0]]
    assert apart[-2] < apart[0]  # it approaches its end
