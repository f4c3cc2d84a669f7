"""A scheduler of diffusers as a sampler: its own grid and update, with our denoiser and our noise."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffbench.catalog.diffusers import FROM_THE_MODEL
from diffbench.diffusion.denoiser import Denoiser
from diffbench.diffusion.discrete import DiscreteDDPM
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.errors import ScheduleError, UsageError
from diffbench.samplers.integrate import Noise

# The float32 product of diffusers is 8e-5 off in sigma at t = 0.
_ALPHA_BAR_SLACK = 1e-3


class DiffusersScheduler:
    """``scheduler``, a class name such as ``DDIMScheduler``, built with ``config`` on the model's own betas.

    The scheduler sees epsilon = (x_hat - D) / sigma of our denoiser, so that a clip acts as on our samplers; its own
    ``clip_sample`` is off unless ``config`` says otherwise. Every draw of the class at step i is the ``step`` noise i.

    Raises UsageError for a class that diffusers lacks or whose ``step`` needs more than (output, time, sample), a key
    that its ``__init__`` does not take, and a key that the model decides (``FROM_THE_MODEL``).
    """

    def __init__(self, scheduler: str, config: Mapping[str, Any] | None = None) -> None:
        found = getattr(import_module("diffusers"), scheduler, None)
        if not (isinstance(found, type) and hasattr(found, "set_timesteps") and hasattr(found, "step")):
            raise UsageError(f"diffusers has no scheduler {scheduler!r}")
        self.name = scheduler
        self.config = dict(config or {})
        self._class: Any = found
        needed = [p.name for p in inspect.signature(found.step).parameters.values() if p.default is p.empty][4:]
        if needed:
            raise UsageError(f"{scheduler}: its step needs {', '.join(needed)} too; this is not supported")
        self._takes = set(inspect.signature(found).parameters)
        for key in self.config:
            if key in FROM_THE_MODEL:
                raise UsageError(f"{scheduler}: {key} comes from the model; leave it out of the config")
            if key not in self._takes:
                raise UsageError(f"{scheduler} takes no {key!r}; it takes {', '.join(sorted(self._takes))}")

    def build(self, schedule: NoiseSchedule, steps: int, device: torch.device | str = "cpu") -> Any:
        """A fresh scheduler, set to ``steps`` steps.

        Raises ScheduleError for a model whose schedule isn't discrete, and for a class, or a config, whose alpha_bar
        isn't the model's, or that goes from data to noise; UsageError for a class that needs a missing package.
        """
        if not isinstance(schedule, DiscreteDDPM):
            raise ScheduleError(f"{self.name} needs a discrete schedule of betas")
        needed = {"num_train_timesteps", "trained_betas"}
        if not needed <= self._takes:
            raise ScheduleError(f"{self.name} takes no trained_betas, so it can't have the model's schedule")
        own = {"num_train_timesteps": schedule.steps, "trained_betas": schedule.betas.tolist()}
        own |= {"prediction_type": "epsilon", "clip_sample": False}
        try:
            built = self._class(**{key: value for key, value in own.items() if key in self._takes} | self.config)
        except ImportError as error:
            raise UsageError(
                f"{self.name} needs a package that is not installed: {' '.join(str(error).split())}"
            ) from None
        alpha_bar = getattr(built, "alphas_cumprod", None)
        if alpha_bar is None or not np.allclose(alpha_bar.double(), schedule.alphas_cumprod, rtol=_ALPHA_BAR_SLACK):
            raise ScheduleError(f"{self.name}: its alpha_bar is not the model's")
        built.set_timesteps(steps, device=device)
        if bool((built.timesteps.diff() > 0).any()):
            raise ScheduleError(f"{self.name}: its times rise, from data to noise; it isn't a sampler")
        return built

    def evaluated(self, schedule: NoiseSchedule, steps: int) -> tuple[list[float], list[float]]:
        """The (t, sigma) at which the denoiser is evaluated, in order; their number is the NFE. Raises as ``build``."""
        t = [float(value) for value in self.build(schedule, steps).timesteps]
        return t, schedule.sigma(np.array(t)).tolist()

    def run(self, denoiser: Denoiser, schedule: NoiseSchedule, steps: int, noise: Noise) -> Tensor:
        """What the scheduler makes (B,C,H,W) of the ``start`` noise in ``steps`` steps. Raises as ``build``.

        A class that works on x_t / s divides by sqrt(sigma^2 + 1) in ``scale_model_input``; what that returns is x_t
        for every class.
        """
        x = noise.normal("start", 0)
        scheduler = self.build(schedule, steps, x.device)
        x = x * float(scheduler.init_noise_sigma)
        for i, t in enumerate(scheduler.timesteps):
            at = np.array([float(t)])
            sigma = float(schedule.sigma(at)[0])
            x_hat = scheduler.scale_model_input(x, t) / float(schedule.scale(at)[0])
            denoised = denoiser(x_hat, torch.full((len(x),), sigma, dtype=torch.float64)).x0
            with _our_noise(self._class, noise, i):
                x = scheduler.step((x_hat - denoised) / sigma, t, x, return_dict=False)[0]
        return x


@contextmanager
def _our_noise(scheduler: type, noise: Noise, step: int) -> Iterator[None]:
    """Let the scheduler's module draw its normals from ``noise``; a second draw in one step is refused.

    Schedulers know only the generators of torch, whose numbers depend on the batch.
    """
    module: Any = sys.modules[scheduler.__module__]
    original = getattr(module, "randn_tensor", None)
    drawn = False

    def draw(shape: Any, *args: Any, dtype: torch.dtype | None = None, **options: Any) -> Tensor:
        nonlocal drawn
        normals = noise.normal("step", step)
        if drawn or tuple(shape) != tuple(normals.shape):
            raise UsageError(f"{scheduler.__name__}: draws noise twice in a step, or of another shape than a sample")
        drawn = True
        return normals if dtype is None else normals.to(dtype)

    if original is None:
        yield
        return
    module.randn_tensor = draw
    try:
        yield
    finally:
        module.randn_tensor = original
