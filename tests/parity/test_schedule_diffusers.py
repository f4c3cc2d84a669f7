"""Schedules, spacings and predictions against diffusers, an independent implementation."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EDMEulerScheduler

from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.prediction import to_x0
from diffbench.diffusion.schedule import VE, DiscreteDDPM

BETAS = [
    ("linear", "linear", 1e-4, 0.02),
    ("scaled_linear", "scaled_linear", 0.0015, 0.0195),
    ("scaled_linear", "scaled_linear", 0.00085, 0.012),
    ("cosine", "squaredcos_cap_v2", None, None),
]


@pytest.mark.parametrize(("kind", "theirs", "low", "high"), BETAS)
@pytest.mark.parametrize("steps", [1000, 50])
def test_betas_and_their_product(kind, theirs, low, high, steps):
    ends = {} if low is None else {"beta_start": low, "beta_end": high}
    reference = DDPMScheduler(num_train_timesteps=steps, beta_schedule=theirs, **ends)
    ours = DiscreteDDPM.from_betas(kind, low, high, steps)
    np.testing.assert_allclose(ours.betas, reference.betas.numpy(), rtol=1e-5)
    # Theirs is a product in float32, so its last entries carry the rounding of all steps.
    np.testing.assert_allclose(ours.alphas_cumprod, reference.alphas_cumprod.numpy(), rtol=1e-4)


COUNTS = sorted({*range(2, 1001, 13), 5, 10, 20, 25, 48, 50, 61, 96, 100, 103, 112, 121, 200, 250, 500, 999, 1000})


@pytest.mark.parametrize("kind", ["trailing", "leading", "linspace"])
def test_spacings(kind):
    schedule = DiscreteDDPM.from_betas("linear", 1e-4, 0.02)
    reference = DDIMScheduler(timestep_spacing=kind, steps_offset=0)
    for steps in COUNTS:
        reference.set_timesteps(steps)
        theirs = reference.timesteps.tolist()
        # Rounding gives their trailing spacing an extra point, index -1, at some counts (61, 103, 121, ...).
        assert theirs[steps:] in ([], [-1])
        assert time_grid(schedule, steps, kind).t[:-1].tolist() == theirs[:steps]


def test_karras_points():
    reference = EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    for steps in (2, 18, 50):
        reference.set_timesteps(steps)
        ours = time_grid(VE(0.001, 90.0), steps, "karras", sigma_min=0.002, sigma_max=80.0)
        np.testing.assert_allclose(ours.sigma, reference.sigmas.numpy(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_predictions(kind):
    reference = DDIMScheduler(prediction_type=kind, clip_sample=False)
    reference.set_timesteps(1000)
    schedule = DiscreteDDPM.from_betas("linear", 1e-4, 0.02)
    output, x_t = torch.randn(2, 4, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for index in (0, 10, 400, 800):
        theirs = reference.step(output, index, x_t).pred_original_sample
        alpha = float(schedule.scale(float(index)))
        ours = to_x0(kind, output, x_t, alpha, alpha * float(schedule.sigma(float(index))))
        torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-4)
