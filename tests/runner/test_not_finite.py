"""A sample that is not finite stops its cell, by name, whatever the sampler and wherever it went wrong."""

from types import SimpleNamespace

import pytest
import torch

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.denoiser import Denoised
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.schedule import VP
from diffbench.errors import CellFailed
from diffbench.runner.execute import sample_images
from diffbench.samplers import runge_kutta

STEPS = 6
ADAPTIVE = [name for name, entry in SAMPLERS.items() if entry.adaptive]


class Spoiling:
    """A denoiser that breaks the sample at place 3 of its batch in the ``when``-th call."""

    def __init__(self, value, when):
        self.value, self.when, self.calls = value, when, 0

    def __call__(self, x, sigma):
        x0 = 0 * x  # as a network: what is not finite stays so
        if self.calls == self.when and len(x) > 3:
            x0[3, 0, 1, 1] = self.value
        self.calls += 1
        return Denoised(x0)


def sampled(name, denoiser, **options):
    cell = SimpleNamespace(grid=time_grid(VP(), STEPS), seed=3, card=SimpleNamespace(sample_shape=(1, 4, 4)), nfe=STEPS)
    codec = SimpleNamespace(decode=lambda x0: x0)
    model = SimpleNamespace(
        denoiser_of=lambda indices, seed: denoiser, device=torch.device("cpu"), schedule=VP(), codec=codec
    )
    return sample_images(model, cell, load(SAMPLERS[name].target)(**options), range(40, 46))


@pytest.mark.parametrize("when", [0, 2, STEPS - 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", [name for name, entry in SAMPLERS.items() if not entry.adaptive])
def test_the_samples_index_is_named(name, value, when):
    with pytest.raises(CellFailed, match=r"^sample 43 is not finite \(1 of 6 in its batch\)$"):
        sampled(name, Spoiling(value, when))


@pytest.mark.parametrize("when", [0, 2, 3, 8])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("name", ADAPTIVE)
def test_the_samples_index_is_named_where_its_error_chooses_the_steps(name, coupled, value, when):
    with pytest.raises(CellFailed, match=r"^sample 43 is not finite \(1 of 6 in its batch\)$"):
        sampled(name, Spoiling(value, when), coupled=coupled)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_evaluation_that_only_proposes_a_step_spoils_nothing(value):
    images, _, _ = sampled("rk45", Spoiling(value, 1))
    assert torch.equal(images[3], images[2]), "every sample lands on 0"


@pytest.mark.parametrize("name", ADAPTIVE)
def test_tolerances_below_the_precision_end(name, monkeypatch):
    monkeypatch.setattr(runge_kutta, "MOST_TRIES", 50)
    with pytest.raises(CellFailed, match=r"50 steps did not lead through .*: rtol 1e-30 and atol 1e-30 are below"):
        sampled(name, Spoiling(0.0, 0), rtol=1e-30, atol=1e-30)


@pytest.mark.parametrize("name", ["ddim", "predictor-corrector", *ADAPTIVE])
def test_finite_samples_pass(name):
    images, _, counter = sampled(name, Spoiling(0.0, 0))
    assert images.shape == (6, 1, 4, 4)
    planned, spent = 6 * SAMPLERS[name].nfe(STEPS), counter.samples_evaluated
    assert spent >= planned if name in ADAPTIVE else spent == planned
