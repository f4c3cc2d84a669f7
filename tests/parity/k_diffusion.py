"""Prints how close our samplers come to k-diffusion's with the same denoiser, noise levels and noise.

k-diffusion depends on much that its samplers never import (CLIP, wandb, kornia and more), so it gets an environment of
its own, without that. From the repository's root:

    python -m venv kdiff
    kdiff/bin/pip install -e . scipy torchvision torchdiffeq torchsde tqdm
    kdiff/bin/pip install --no-deps k-diffusion==0.1.1.post1
    kdiff/bin/python tests/parity/k_diffusion.py > tests/parity/k_diffusion.txt

The denoiser is that of a Gaussian mixture. Noise of every step is ours; k-diffusion's samplers take it as their
``noise_sampler``, those with churn by ``torch.randn_like``. Exits with 1 if a row is not what it is said to be.
"""

from __future__ import annotations

import importlib
import math
import platform
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from diffbench.catalog import SAMPLERS, load
from diffbench.diffusion.analytic import GaussianMixtureDenoiser
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.diffusion.schedule import VE
from diffbench.samplers.dpm_adaptive import DPMAdaptive
from diffbench.samplers.integrate import State, integrate
from diffbench.samplers.singlestep import Singlestep

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parity.two_stages import TwoStages  # noqa: E402


def sampling_module() -> Any:
    """``k_diffusion.sampling`` alone: the package's own __init__ imports all of its training code too."""
    package = types.ModuleType("k_diffusion")
    package.__path__ = [str(distribution("k-diffusion").locate_file("k_diffusion"))]
    sys.modules["k_diffusion"] = package
    return importlib.import_module("k_diffusion.sampling")


K = sampling_module()
STEPS, LOW, HIGH = 20, 0.02, 20.0
SHAPE, COUNT, SEED = (2, 2, 2), 16, 7
SCHEDULE = VE(0.01, 100.0)
CHURN = {"s_churn": 4.0, "s_noise": 1.007}
LIMITS = {torch.float32: 1e-5, torch.float64: 1e-9}


def mixture() -> GaussianMixtureDenoiser:
    means = NoiseSource(SEED + 1, range(3), SHAPE, dtype=torch.float64).normal("start", 0)
    weights, scales = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.3, 0.4, 0.25])
    return GaussianMixtureDenoiser(weights.double(), means, scales.double())


MIXTURE = mixture()


def model(x: Tensor, sigma: Tensor) -> Tensor:
    """The denoiser as k-diffusion calls it."""
    return MIXTURE(x, sigma.double()).x0


def source(dtype: torch.dtype) -> NoiseSource:
    return NoiseSource(SEED, range(COUNT), SHAPE, dtype=dtype)


def draws(dtype: torch.dtype, purposes: tuple[str, ...]) -> Iterator[Tensor]:
    for i in range(STEPS):
        for purpose in purposes:
            yield source(dtype).normal(purpose, i)


def levels(dtype: torch.dtype) -> Tensor:
    """Noise levels (N+1,) of the comparison: k-diffusion's own, in this dtype."""
    sigmas: Tensor = K.get_sigmas_karras(STEPS, LOW, HIGH).to(dtype)
    return sigmas


Run = Callable[[torch.dtype], Tensor]


def theirs(name: str, purposes: tuple[str, ...] = (), **options: Any) -> Run:
    """A sampler of k-diffusion; ``purposes``: what it draws noise for in a step."""

    def run(dtype: torch.dtype) -> Tensor:
        sigmas, noise = levels(dtype), draws(dtype, purposes)
        given = {"noise_sampler": lambda sigma, target: next(noise)} if purposes and "s_churn" not in options else {}
        x = source(dtype).normal("start", 0) * float(sigmas[0])
        # Without churn they draw noise too, for nothing.
        with patch("torch.randn_like", lambda x: next(noise) if purposes else x):
            moved: Tensor = getattr(K, f"sample_{name}")(model, x, sigmas, disable=True, **options, **given)
        return moved

    return run


def ours(name: Any, **options: Any) -> Run:
    """Our sampler on the same noise levels."""

    def run(dtype: torch.dtype) -> Tensor:
        sigmas = tuple(levels(dtype)[:-1].double().tolist())
        grid = time_grid(SCHEDULE, STEPS, "explicit", sigmas=sigmas)
        sampler = load(SAMPLERS[name].target)(**options) if isinstance(name, str) else name
        return integrate(sampler, MIXTURE, grid, SCHEDULE, source(dtype))

    return run


def start(dtype: torch.dtype) -> Tensor:
    return source(dtype).normal("start", 0) * HIGH


def between(name: str, *more: Any) -> Run:
    """A sampler of k-diffusion that is given the ends only; it makes its own levels, in torch's default dtype."""

    def run(dtype: torch.dtype) -> Tensor:
        torch.set_default_dtype(dtype)
        try:
            moved: Tensor = getattr(K, f"sample_{name}")(model, start(dtype), LOW, HIGH, *more, disable=True)
        finally:
            torch.set_default_dtype(torch.float32)
        return moved

    return run


class Chained:
    """A sampler for every step, none with a memory."""

    def __init__(self, samplers: list[Any]) -> None:
        self.samplers = samplers

    def plan(self, grid: Any, schedule: Any) -> Any:
        return [sampler.plan(grid, schedule) for sampler in self.samplers]

    def init(self, x: Tensor) -> State:
        return State(x)

    def step(self, state: State, i: int, plan: Any, denoise: Any, noise: Any) -> State:
        return self.samplers[i].step(state, i, plan[i], denoise, noise)


def our_fast(dtype: torch.dtype) -> Tensor:
    """Its orders for 20 evaluations: 3 six times, then 2."""
    grid = time_grid(SCHEDULE, 7, "log-snr", "sigma_min", sigma_min=LOW, sigma_max=HIGH)
    samplers = [*[Singlestep("noise", 3)] * 6, Singlestep("noise", 2)]
    return integrate(Chained(samplers), MIXTURE, grid, SCHEDULE, source(dtype))


def their_pair(order: int) -> Run:
    """Both of the points that an adaptive step of h = 1/2 compares."""

    def run(dtype: torch.dtype) -> Tensor:
        solver, x = K.DPMSolver(model), start(dtype)
        t = -torch.tensor(HIGH, dtype=dtype).log()
        if order == 2:
            pair = solver.dpm_solver_1_step(x, t, t + 0.5), solver.dpm_solver_2_step(x, t, t + 0.5)
        else:
            pair = solver.dpm_solver_2_step(x, t, t + 0.5, r1=1 / 3), solver.dpm_solver_3_step(x, t, t + 0.5)
        return torch.stack([point for point, _ in pair])

    return run


def our_pair(order: Any) -> Run:
    def run(dtype: torch.dtype) -> Tensor:
        lam, h = np.full(COUNT, -math.log(HIGH)), np.full(COUNT, 0.5)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            return MIXTURE(x, sigma).x0

        return torch.stack(DPMAdaptive(order).pair(start(dtype), lam, h, denoise))

    return run


def our_adaptive(dtype: torch.dtype) -> Tensor:
    grid = time_grid(SCHEDULE, 1, "explicit", "sigma_min", sigmas=(HIGH, LOW))
    return integrate(DPMAdaptive(coupled=True), MIXTURE, grid, SCHEDULE, source(dtype))


@dataclass
class Row:
    """A comparison; ``note`` says why the two are not equal, if they are not meant to be."""

    theirs: str
    ours: str
    their_run: Run
    our_run: Run
    note: str = ""
    found: list[float] = field(default_factory=list)

    def verdict(self) -> str:
        close = [found <= limit for found, limit in zip(self.found, LIMITS.values(), strict=True)]
        if not self.note:
            return "equal" if all(close) else "NOT EQUAL"
        return "NOT DIFFERENT" if any(close) else f"differs by design: {self.note}"


STEP, DPM2A = ("step",), "dpm2-ancestral"
ETA = {"eta": 0.5}
HEUN, NO_LAST = {"solver_type": "heun"}, {"lower_order_final": False}
SDE_3M, SA = theirs("dpmpp_3m_sde", STEP), {"predictor_order": 2, "corrector_order": 0}
ROWS = [
    Row("euler", "euler", theirs("euler"), ours("euler")),
    Row("euler, churn", "edm-euler, churn", theirs("euler", ("churn",), **CHURN), ours("edm-euler", **CHURN)),
    Row("euler_ancestral", "euler-ancestral", theirs("euler_ancestral", STEP), ours("euler-ancestral")),
    Row("euler_ancestral, eta 0.5", "ddim, eta 0.5", theirs("euler_ancestral", STEP, **ETA), ours("ddim", **ETA)),
    Row("heun", "heun", theirs("heun"), ours("heun")),
    Row("heun, churn", "heun, churn", theirs("heun", ("churn",), **CHURN), ours("heun", **CHURN)),
    Row("dpm_2", "dpm2", theirs("dpm_2"), ours("dpm2")),
    Row("dpm_2_ancestral", "dpm2-ancestral", theirs("dpm_2_ancestral", STEP), ours("dpm2-ancestral")),
    Row("dpm_2_ancestral, eta 0.5", f"{DPM2A}, eta 0.5", theirs("dpm_2_ancestral", STEP, **ETA), ours(DPM2A, **ETA)),
    *[Row(f"lms, order {n}", f"lms, order {n}", theirs("lms", order=n), ours("lms", order=n)) for n in (1, 2, 3, 4)],
    Row("dpm_fast, 20 evaluations", "dpm-solver-3s six times, then -2s", between("dpm_fast", STEPS), our_fast),
    Row("dpm_adaptive, a step of order 2", "dpm-adaptive, order 2", their_pair(2), our_pair(2)),
    Row("dpm_adaptive, a step of order 3", "dpm-adaptive, order 3", their_pair(3), our_pair(3)),
    Row("dpm_adaptive", "dpm-adaptive, coupled", between("dpm_adaptive"), our_adaptive, "other steps (1)"),
    Row("dpmpp_2s_ancestral", "dpmpp-2s-ancestral", theirs("dpmpp_2s_ancestral", STEP), ours("dpmpp-2s-ancestral")),
    Row("dpmpp_2s_ancestral, eta 0", "dpmpp-2s", theirs("dpmpp_2s_ancestral", STEP, eta=0.0), ours("dpmpp-2s")),
    Row(
        "dpmpp_sde", "two of euler-ancestral's steps (2)", theirs("dpmpp_sde", ("corrector", "step")), ours(TwoStages())
    ),
    Row("dpmpp_2m", "dpmpp-2m", theirs("dpmpp_2m"), ours("dpmpp-2m")),
    Row("dpmpp_2m_sde, midpoint", "sde-dpmpp-2m", theirs("dpmpp_2m_sde", STEP), ours("sde-dpmpp-2m")),
    Row("dpmpp_2m_sde, eta 0", "dpmpp-2m", theirs("dpmpp_2m_sde", STEP, eta=0.0), ours("dpmpp-2m")),
    Row(
        "dpmpp_2m_sde, heun",
        "sde-dpmpp-2m",
        theirs("dpmpp_2m_sde", STEP, **HEUN),
        ours("sde-dpmpp-2m"),
        "M_0 / 2 for M_1 (3)",
    ),
    Row(
        "dpmpp_2m_sde, heun",
        "sa-solver, predictor 2 alone",
        theirs("dpmpp_2m_sde", STEP, **HEUN),
        ours("sa-solver", **SA),
    ),
    Row("dpmpp_3m_sde", "sde-dpmpp-3m", SDE_3M, ours("sde-dpmpp-3m"), "lower order last (4)"),
    Row("dpmpp_3m_sde", "sde-dpmpp-3m, full order to the end", SDE_3M, ours("sde-dpmpp-3m", **NO_LAST)),
    Row(
        "dpmpp_3m_sde",
        "the same, corrected",
        SDE_3M,
        ours("sde-dpmpp-3m", corrected=True, **NO_LAST),
        "twice the second difference (5)",
    ),
]
NOTES = """
(1) Both compare the same two points of a step (above). k-diffusion then lets a PID controller, limited by
    1 + atan(x - 1), choose the next and accepts above a factor of 0.81; ours follows the paper's appendix C: accepted
    if E <= 1, next 0.9 h E^(-1/order). For the whole batch k-diffusion takes the root of the mean square of E, ours
    its largest (``coupled``).
(2) There is no such sampler of ours. Its stages are euler-ancestral's steps: to the middle in log sigma, and from the
    step's start to its end with D at the middle; each has noise of its own.
(3) The 2M of DPM-Solver++ (k-diffusion's midpoint) takes M_0 / 2 for the moment M_1; k-diffusion's heun takes M_1
    itself, as sa-solver does with tau 1, predictor_order 2 and corrector_order 0.
(4) Ours lowers the order before the end unless ``lower_order_final: false``; k-diffusion lowers it onto sigma = 0 only.
(5) The published second difference is half of the derivative that it stands for, which costs an order;
    ``corrected: true`` doubles it.
Not compared: dpm_2 with churn, and the SDE samplers with eta between 0 and 1, for which we have no options."""


def main() -> int:
    torch.set_num_threads(1)
    for row in ROWS:
        for dtype in LIMITS:
            mine, reference = row.our_run(dtype), row.their_run(dtype)
            row.found.append(float((mine - reference).abs().max() / reference.abs().max()))
    names = ("k-diffusion", "diffbench", "diffusers", "torch", "numpy", "scipy")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, CPU, 1 thread; ", end="")
    print(", ".join(f"{name} {version(name)}" for name in names))
    print(f"max|dx| / max|x| of {COUNT} samples of {SHAPE}, {STEPS} steps from {HIGH:g} to {LOW:g} and to 0;", end=" ")
    print(f"equal: up to {LIMITS[torch.float32]:g} in float32 and {LIMITS[torch.float64]:g} in float64\n")
    print(f"{'k-diffusion':34}{'diffbench':38}{'float32':>9}{'float64':>9}  verdict")
    for row in ROWS:
        print(f"{row.theirs:34}{row.ours:38}{row.found[0]:9.1e}{row.found[1]:9.1e}  {row.verdict()}")
    print(NOTES)
    return int(any(row.verdict().startswith("NOT") for row in ROWS))


if __name__ == "__main__":
    raise SystemExit(main())
