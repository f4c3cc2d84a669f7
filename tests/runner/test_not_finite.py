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

STEPS = 6


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


def sampled(name, denoiser):
    cell = SimpleNamespace(grid=time_grid(VP(), STEPS), seed=3, card=SimpleNamespace(sample_shape=(1, 4, 4)), nfe=STEPS)
    codec = SimpleNamespace(decode=lambda x0: x0)
    model = SimpleNamespace(denoiser=denoiser, device=torch.device("cpu"), schedule=VP(), codec=codec)
    return sample_images(model, cell, load(SAMPLERS[name].target)(), range(40, 46))


@pytest.mark.parametrize("when", [0, 2, STEPS - 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", [name for name, entry in SAMPLERS.items() if not entry.adaptive])
def test_the_samples_index_is_named(name, value, when):
    with pytest.raises(CellFailed, match=r"^sample 43 is not finite \(1 of 6 in its batch\)$"):
        sampled(name, Spoiling(value, when))


@pytest.mark.parametrize("name", ["ddim", "predictor-corrector"])
def test_finite_samples_pass(name):
    images, _, counter = sampled(name, Spoiling(0.0, 0))
    assert images.shape == (6, 1, 4, 4) and counter.samples_evaluated == 6 * SAMPLERS[name].nfe(STEPS)
