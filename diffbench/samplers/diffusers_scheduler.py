"""A scheduler of diffusers as a sampler: its own grid and update, with our denoiser and our noise."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffbench.catalog.diffusers import schedulers
from diffbench.diffusion.denoiser import Denoiser
from diffbench.diffusion.discrete import DiscreteDDPM
from diffbench.diffusion.schedule import FloatArray, NoiseSchedule
from diffbench.errors import CellFailed, ScheduleError, UsageError, one_line
from diffbench.samplers.integrate import Noise
from diffbench.samplers.scheduler_config import scheduler_faults

# The float32 product of diffusers is 8e-5 off in sigma at t = 0.
_ALPHA_BAR_SLACK = 1e-3
_CHAIN = 1000
# Below it 1 - alpha_bar has too few digits in float32: 6e-8 of 1e-4 is left here.
_LOWEST = 0.01


@dataclass(frozen=True, eq=False)
class Chain:
    """The discrete variance-preserving chain that a scheduler of diffusers is told of: noise levels (T,), rising.

    A denoiser knows x_hat and sigma alone, so a chain with the model's noise levels serves every family: alpha_bar =
    1 / (1 + sigma^2). Between indices log sigma is linear, as diffusers has it.
    """

    sigmas: FloatArray

    @classmethod
    def of(cls, schedule: NoiseSchedule) -> Chain:
        """The model's own chain; of a continuous schedule 1,000 points, evenly spaced in its native time.

        The lowest is sigma = 0.01, or the schedule's own end if that is higher: schedulers keep alpha_bar in float32.
        """
        if isinstance(schedule, DiscreteDDPM):
            return cls(schedule.sigma(np.arange(schedule.steps, dtype=np.float64)))
        end = float(schedule.t_of(np.array([max(schedule.sigma_min, _LOWEST)]))[0])
        return cls(schedule.sigma(np.linspace(end, schedule.t_start, _CHAIN)))

    @property
    def alphas_cumprod(self) -> FloatArray:
        """alpha_bar (T,)."""
        return np.asarray(1 / (1 + self.sigmas**2))

    @property
    def betas(self) -> FloatArray:
        """Betas (T,) whose running product of 1 - beta is alpha_bar."""
        alpha_bar = self.alphas_cumprod
        return np.asarray(1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]]))

    def sigma(self, t: float) -> float:
        """Noise level at an index or between two."""
        return float(np.exp(np.interp(t, np.arange(len(self.sigmas)), np.log(self.sigmas))))


class DiffusersScheduler:
    """``scheduler``, a class name such as ``DDIMScheduler``, built with ``config`` on the model's :class:`Chain`.

    The scheduler sees epsilon = (x_hat - D) / sigma of our denoiser, so that a clip acts as on our samplers; its own
    ``clip_sample`` is off unless ``config`` says otherwise. ``step`` holds arguments of the class's ``step``, such as
    ``eta``. Every draw of the class at step i is the ``step`` noise i.

    Raises UsageError for a class that diffusers lacks, and for what ``scheduler_faults`` finds.
    """

    def __init__(
        self, scheduler: str, config: Mapping[str, Any] | None = None, step: Mapping[str, Any] | None = None
    ) -> None:
        if scheduler not in schedulers():
            raise UsageError(f"diffusers has no scheduler {scheduler!r}")
        for _, said in scheduler_faults(scheduler, config, step):
            raise UsageError(said)
        self.name = scheduler
        self.config = dict(config or {})
        self.step_arguments = dict(step or {})
        self._class: Any = getattr(import_module("diffusers"), scheduler)
        logging.getLogger("diffusers").setLevel(logging.ERROR)  # it would repeat its advice for every batch

    def build(self, schedule: NoiseSchedule, steps: int, device: torch.device | str = "cpu") -> Any:
        """A fresh scheduler, set to ``steps`` steps.

        Raises ScheduleError for a class, or a config, whose alpha_bar isn't the chain's, or that goes from data to
        noise; UsageError for a class that needs a missing package; CellFailed for what the class itself refuses.
        """
        chain, takes = Chain.of(schedule), schedulers()[self.name].config
        own = {"num_train_timesteps": len(chain.sigmas), "trained_betas": chain.betas.tolist()}
        own |= {"prediction_type": "epsilon", "clip_sample": False}
        try:  # they take the logarithm of a last sigma of 0
            with np.errstate(divide="ignore"):
                built = self._class(**{key: value for key, value in own.items() if key in takes} | self.config)
                built.set_timesteps(steps, device=device)
        except ImportError as error:
            raise UsageError(f"{self.name} needs a package that is not installed: {one_line(error)}") from None
        except Exception as error:  # of diffusers' own; it says what
            refused = f"{self.name} of diffusers can't take {steps} steps with this config"
            raise CellFailed(f"{refused}: {one_line(error)}") from None
        alpha_bar = getattr(built, "alphas_cumprod", None)
        if alpha_bar is None or not np.allclose(alpha_bar.double(), chain.alphas_cumprod, rtol=_ALPHA_BAR_SLACK):
            raise ScheduleError(f"{self.name}: its alpha_bar is not the model's")
        if built.timesteps[0] < built.timesteps[-1]:
            raise ScheduleError(f"{self.name}: its times rise, from data to noise; it isn't a sampler")
        return built

    def evaluated(self, schedule: NoiseSchedule, steps: int) -> dict[str, list[float]]:
        """The (t, sigma) at which the denoiser is evaluated, in order, t in the model's time. Raises as ``build``."""
        chain = Chain.of(schedule)
        sigma = [chain.sigma(float(t)) for t in self.build(schedule, steps).timesteps]
        return {"t": schedule.t_of(np.array(sigma)).tolist(), "sigma": sigma}

    def run(
        self,
        denoiser: Denoiser,
        schedule: NoiseSchedule,
        steps: int,
        noise: Noise,
        observe: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """What the scheduler makes (B,C,H,W) of the ``start`` noise in ``steps`` steps.

        ``observe(i, x)`` is called after each call of the class's ``step``, with its own x. Raises as ``build``, and
        UsageError for a class that draws noise which is not ``noise``.

        A class that works on x_t / s divides by sqrt(sigma^2 + 1) in ``scale_model_input``; what that returns is x_t
        for every class.
        """
        x = noise.normal("start", 0)
        chain = Chain.of(schedule)
        scheduler = self.build(schedule, steps, x.device)
        x = x * float(scheduler.init_noise_sigma)
        if hasattr(scheduler, "noise_sampler"):
            scheduler.noise_sampler = _Path(noise)
        before = _generators(x.device)
        for i, t in enumerate(scheduler.timesteps):
            sigma = chain.sigma(float(t))
            x_hat = scheduler.scale_model_input(x, t) * math.hypot(1.0, sigma)
            denoised = denoiser(x_hat, torch.full((len(x),), sigma, dtype=torch.float64)).x0
            with _our_noise(self._class, noise, i):
                x = scheduler.step((x_hat - denoised) / sigma, t, x, return_dict=False, **self.step_arguments)[0]
            if observe is not None:
                observe(i, x)
        if _generators(x.device) != before:
            raise UsageError(f"{self.name}: draws noise of its own, which depends on the batch; this is not supported")
        return x


def refusal(scheduler: str, config: Mapping[str, Any]) -> str | None:
    """What a class says against a config at every number of steps, on DDPM's own chain; None: nothing, or it is absent.

    Raises UsageError as :class:`DiffusersScheduler`.
    """
    chain, said = DiscreteDDPM.from_betas("linear", 1e-4, 0.02), None
    for steps in (10, 1, 2, 4, 50):  # some can't take few, others not many
        try:
            with warnings.catch_warnings(action="ignore"):
                DiffusersScheduler(scheduler, config).build(chain, steps)
        except UsageError:  # a package that is not installed here
            return None
        except (CellFailed, ScheduleError) as error:
            said = said or one_line(error)
        else:
            return None
    return said


class _Path:
    """Increments of a Brownian motion in sigma, scaled to unit variance, as DPMSolverSDEScheduler asks for them.

    The two stages of its step start at one sigma: the second interval holds the first.
    """

    def __init__(self, noise: Noise) -> None:
        self.noise = noise
        self.draws = 0
        self.begin = self.end = math.nan
        self.increment: Tensor | None = None

    def __call__(self, sigma: Any, sigma_next: Any) -> Tensor:
        begin, end = float(sigma), float(sigma_next)
        fresh = self.noise.normal("step", self.draws)
        self.draws += 1
        if self.increment is not None and math.isclose(begin, self.begin, rel_tol=1e-5):
            increment = self.increment + fresh * math.sqrt(abs(self.end - end))
        else:
            increment = fresh * math.sqrt(abs(begin - end))
        self.begin, self.end, self.increment = begin, end, increment
        return increment / math.sqrt(abs(begin - end))


def _generators(device: torch.device) -> list[bytes]:
    """States of torch's own generators on the host and on the device."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return [bytes(state.numpy().tobytes()) for state in states]


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
