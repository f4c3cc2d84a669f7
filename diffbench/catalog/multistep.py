"""Samplers that remember earlier estimates: one evaluation a step, whatever the order."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from diffbench.catalog.entries import Final, Options, SamplerEntry

_EXPONENTIAL = "diffbench.samplers.exponential"
_ADAMS = "diffbench.samplers.adams"
_DPM = "Lu et al. 2022 (DPM-Solver)"
_DPMPP = "Lu et al. 2022 (DPM-Solver++)"


class ThirdOrderOptions(Options):
    """Options of the third-order multistep DPM-Solvers."""

    corrected: bool = Field(
        default=False,
        description="true: the second difference doubled, which makes the method of order 3; false: as published, of 2",
    )
    lower_order_final: bool = Field(
        default=True, description="lower the order towards the last step, which is then of first order"
    )


class UniPCOptions(Options):
    """Options of ``unipc``."""

    order: int = Field(default=3, ge=1, le=3, description="of the predictor; the corrector adds one")
    variant: Literal["bh1", "bh2"] = Field(default="bh2", description="B(h) = h or e^h - 1")
    lower_order_final: bool = Field(
        default=True, description="lower the order towards the last step, which is then of first order"
    )


class LMSOptions(Options):
    """Options of ``lms``."""

    order: int = Field(default=4, ge=1, le=4)


class IPNDMOptions(Options):
    """Options of ``ipndm``."""

    order: int = Field(default=4, ge=1, le=4)


class DEISOptions(Options):
    """Options of ``deis``."""

    variable: Literal["t", "rho", "log-rho"] = Field(
        default="t", description="in which the noise estimate is a polynomial: tAB, rhoAB, or log sigma"
    )
    degree: int = Field(default=3, ge=0, le=3, description="of the polynomial; the order is one more")


class PNDMOptions(Options):
    """Options of ``pndm``."""

    warm_up: Literal["runge-kutta", "heun"] = Field(
        default="runge-kutta",
        description="three pseudo Runge-Kutta steps (F-PNDM), or one of Heun's (PLMS as in latent diffusion)",
    )


def _third_order(options: ThirdOrderOptions) -> int:
    return 3 if options.corrected else 2


def _deis_same_as(options: DEISOptions) -> tuple[str, dict[str, Any]] | None:
    if options.degree == 0:
        return "ddim", {"eta": 0.0}
    return ("lms", {"order": options.degree + 1}) if options.variable == "rho" else None


def _one_step(options: Any) -> tuple[str, dict[str, Any]] | None:
    return ("ddim", {"eta": 0.0}) if options.order == 1 else None


def pndm_evaluations(steps: int, final: Final, options: PNDMOptions) -> int:
    """A Runge-Kutta step costs three more, a Heun step one more; neither can be taken onto sigma = 0."""
    extra, longest = (3, 3) if options.warm_up == "runge-kutta" else (1, 1)
    return steps + extra * min(longest, steps - 1 if final == "denoise" else steps)


ENTRIES = (
    SamplerEntry(
        name="dpm-solver-2m",
        target=f"{_EXPONENTIAL}:DPM_SOLVER_2M",
        summary="second-order multistep exponential integrator on the noise estimate",
        source=f"{_DPM}, Eq. 3.6; dpm-solver's multistep_dpm_solver_second_update, algorithm dpmsolver",
        order=2,
        stochastic=lambda options: False,
    ),
    SamplerEntry(
        name="dpm-solver-3m",
        target=f"{_EXPONENTIAL}:DPMSolver3M",
        summary="third-order multistep exponential integrator on the noise estimate, as published or corrected",
        source="Lu et al., dpm-solver's multistep_dpm_solver_third_update, algorithm dpmsolver",
        order=2,
        order_with=_third_order,
        stochastic=lambda options: False,
        options=ThirdOrderOptions,
    ),
    SamplerEntry(
        name="dpmpp-2m",
        target=f"{_EXPONENTIAL}:DPMPP_2M",
        summary="second-order multistep exponential integrator on the denoised estimate",
        source=f"{_DPMPP}, algorithm DPM-Solver++(2M)",
        order=2,
        stochastic=lambda options: False,
    ),
    SamplerEntry(
        name="dpmpp-3m",
        target=f"{_EXPONENTIAL}:DPMPP3M",
        summary="third-order multistep exponential integrator on the denoised estimate, as published or corrected",
        source="Lu et al., dpm-solver's multistep_dpm_solver_third_update, algorithm dpmsolver++",
        order=2,
        order_with=_third_order,
        stochastic=lambda options: False,
        options=ThirdOrderOptions,
    ),
    SamplerEntry(
        name="unipc",
        target=f"{_EXPONENTIAL}:UniPC",
        summary="exponential predictor and corrector on the denoised estimate; the correction costs no evaluation",
        source="Zhao et al. 2023 (UniPC), multistep UniP and UniC on the data prediction",
        order=4,
        order_with=lambda options: options.order + 1,
        stochastic=lambda options: False,
        options=UniPCOptions,
    ),
    SamplerEntry(
        name="deis",
        target=f"{_ADAMS}:deis",
        summary="Adams-Bashforth on the noise estimate, a polynomial in time, sigma or log sigma",
        source="Zhang & Chen 2023 (DEIS), tAB-DEIS and rhoAB-DEIS",
        order=4,
        order_with=lambda options: options.degree + 1,
        stochastic=lambda options: False,
        options=DEISOptions,
        same_as=_deis_same_as,
    ),
    SamplerEntry(
        name="lms",
        target=f"{_ADAMS}:lms",
        summary="variable-step Adams-Bashforth in sigma",
        source="Hairer, Norsett & Wanner 1993, section III.5; Zhang & Chen 2023 (DEIS), rhoAB-DEIS",
        order=4,
        order_with=lambda options: options.order,
        stochastic=lambda options: False,
        options=LMSOptions,
        same_as=_one_step,
    ),
    SamplerEntry(
        name="ipndm-v",
        target=f"{_ADAMS}:lms",
        summary="iPNDM with coefficients for unequal steps: lms of the same order",
        source="Zhang & Chen 2023 (DEIS), iPNDM, on unequal steps: diff-sampler's ipndm_v_sampler",
        order=4,
        order_with=lambda options: options.order,
        stochastic=lambda options: False,
        options=LMSOptions,
        same_as=lambda options: ("lms", {"order": options.order}),
    ),
    SamplerEntry(
        name="ipndm",
        target=f"{_ADAMS}:ipndm",
        summary="Adams-Bashforth in sigma with the coefficients of equal steps, low orders first",
        source="Zhang & Chen 2023 (DEIS), iPNDM; Liu et al. 2022 (PNDM), Eq. 12",
        order=2,
        order_with=lambda options: min(options.order, 2),
        stochastic=lambda options: False,
        options=IPNDMOptions,
        same_as=_one_step,
    ),
    SamplerEntry(
        name="pndm",
        fewest=2,
        target=f"{_ADAMS}:PNDM",
        summary="fourth-order Adams-Bashforth with the coefficients of equal steps, after a warm-up",
        source="Liu et al. 2022 (PNDM), Eq. 12 and 13, Algorithm 2",
        order=2,
        stochastic=lambda options: False,
        options=PNDMOptions,
        evaluations=pndm_evaluations,
    ),
)
