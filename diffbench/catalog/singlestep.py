"""Samplers with several evaluations a step and no memory of earlier steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field, model_validator

from diffbench.catalog.entries import Final, Options, SamplerEntry
from diffbench.catalog.first_order import AncestralOptions, ChurnOptions, without_noise

_SOLVER = "diffbench.samplers.singlestep"
_DPM = "Lu et al. 2022 (DPM-Solver)"
_DPMPP = "Lu et al. 2022 (DPM-Solver++)"


def stages(count: int) -> Callable[[int, Final, Any], int]:
    """Evaluations of a method of ``count`` stages, whose step onto sigma = 0 needs only the first.

    A budget is spent up to a remainder of at most count - 1 evaluations.
    """

    def evaluations(steps: int, final: Final, options: Any) -> int:
        return count * (steps - 1) + 1 if final == "denoise" else count * steps

    return evaluations


class RestartOptions(Options):
    """Options of ``restart``."""

    s_min: float = Field(default=0.06, gt=0.0, description="lower end of the stretch that is gone again")
    s_max: float = Field(default=0.3, gt=0.0, description="upper end; must be above s_min")
    restart_steps: int = Field(default=2, ge=1, le=1000, description="Heun's steps down the stretch")
    iterations: int = Field(default=2, ge=1, le=1000, description="how often the stretch is gone again")

    @model_validator(mode="after")
    def _rises(self) -> RestartOptions:
        if self.s_min >= self.s_max:
            raise ValueError(f"s_min must be below s_max, got {self.s_min:g} and {self.s_max:g}")
        return self


def _restarted(steps: int, final: Final, options: RestartOptions) -> int:
    again = 2 * options.restart_steps * options.iterations if steps > 1 or final == "sigma_min" else 0
    return stages(2)(steps, final, options) + again


ENTRIES = (
    SamplerEntry(
        name="heun",
        target="diffbench.samplers.heun:Heun",
        summary="second-order Heun steps in sigma, with optional churn",
        source="Karras et al. 2022 (EDM), Algorithms 1 and 2",
        order=2,
        order_with=lambda options: 2 if options.s_churn == 0 else None,
        stochastic=lambda options: options.s_churn > 0,
        options=ChurnOptions,
        evaluations=stages(2),
        same_as=lambda options: ("heun", {}) if options.idle else None,
    ),
    SamplerEntry(
        name="dpm-solver-2s",
        target=f"{_SOLVER}:DPM_SOLVER_2S",
        summary="second-order singlestep exponential integrator on the noise estimate",
        source=f"{_DPM}, Algorithm 1 with r1 = 1/2",
        order=2,
        stochastic=lambda options: False,
        evaluations=stages(2),
    ),
    SamplerEntry(
        name="dpm2",
        target=f"{_SOLVER}:DPM_SOLVER_2S",
        summary="midpoint steps in log sigma: dpm-solver-2s",
        source="Karras et al. 2022 (EDM), Eq. 4 by the midpoint rule, the midpoint taken in log sigma",
        order=2,
        stochastic=lambda options: False,
        evaluations=stages(2),
        same_as=lambda options: ("dpm-solver-2s", {}),
    ),
    SamplerEntry(
        name="dpm2-ancestral",
        target=f"{_SOLVER}:DPM_2_ANCESTRAL",
        summary="a midpoint step in log sigma down below the target, then noise",
        source="k-diffusion, sample_dpm_2_ancestral; down and up as in ddim",
        order=None,
        order_with=without_noise(2),
        stochastic=lambda options: options.eta > 0,
        options=AncestralOptions,
        evaluations=stages(2),
        same_as=lambda options: ("dpm-solver-2s", {}) if options.eta == 0 else None,
    ),
    SamplerEntry(
        name="dpm-solver-3s",
        target=f"{_SOLVER}:DPM_SOLVER_3S",
        summary="third-order singlestep exponential integrator on the noise estimate",
        source=f"{_DPM}, Algorithm 2 with r1 = 1/3, r2 = 2/3",
        order=3,
        stochastic=lambda options: False,
        evaluations=stages(3),
    ),
    SamplerEntry(
        name="dpmpp-2s",
        target=f"{_SOLVER}:DPMPP_2S",
        summary="second-order singlestep exponential integrator on the denoised estimate",
        source=f"{_DPMPP}, algorithm DPM-Solver++(2S) with r1 = 1/2",
        order=2,
        stochastic=lambda options: False,
        evaluations=stages(2),
    ),
    SamplerEntry(
        name="dpmpp-2s-ancestral",
        target=f"{_SOLVER}:DPMPP_2S_ANCESTRAL",
        summary="a dpmpp-2s step down below the target, then noise",
        source="k-diffusion, sample_dpmpp_2s_ancestral; down and up as in ddim",
        order=None,
        order_with=without_noise(2),
        stochastic=lambda options: options.eta > 0,
        options=AncestralOptions,
        evaluations=stages(2),
        same_as=lambda options: ("dpmpp-2s", {}) if options.eta == 0 else None,
    ),
    SamplerEntry(
        name="dpmpp-3s",
        target=f"{_SOLVER}:DPMPP_3S",
        summary="third-order singlestep exponential integrator on the denoised estimate",
        source="Lu et al., dpm-solver's singlestep_dpm_solver_third_update, algorithm dpmsolver++",
        order=3,
        stochastic=lambda options: False,
        evaluations=stages(3),
    ),
    SamplerEntry(
        name="restart",
        fewest=2,
        target="diffbench.samplers.restart:Restart",
        summary="Heun's steps, and a stretch at low noise gone again with new noise",
        source="Xu et al. 2023 (Restart Sampling), Eq. 3 and 4; Algorithm 2 in appendix B.2",
        order=None,
        stochastic=lambda options: True,
        options=RestartOptions,
        evaluations=_restarted,
    ),
)
