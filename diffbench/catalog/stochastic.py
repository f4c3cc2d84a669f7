"""Samplers of the reverse SDE beyond first order, and those of the Score-SDE family."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from diffbench.catalog.entries import Final, Options, SamplerEntry, not_above
from diffbench.catalog.first_order import BrownianOptions, Same
from diffbench.catalog.multistep import ThirdOrderOptions

_EXPONENTIAL = "diffbench.samplers.exponential"
_SDE = "Song et al. 2021 (Score-SDE)"


class ThirdOrderSDEOptions(ThirdOrderOptions, BrownianOptions):
    """Options of ``sde-dpmpp-3m``."""


class SASolverOptions(BrownianOptions):
    """Options of ``sa-solver``."""

    tau: float = Field(default=1.0, ge=0.0, le=2.0, description="0: the ODE; 1: the usual reverse SDE")
    s_min: float = Field(default=0.0, ge=0.0, description="lower end of the sigmas where tau holds; 0 elsewhere")
    s_max: float = Field(default=1e9, gt=0.0)
    predictor_order: int = Field(default=3, ge=1, le=4)
    corrector_order: int = Field(default=4, ge=0, le=4, description="0: no corrector")

    @model_validator(mode="after")
    def _rises(self) -> SASolverOptions:
        not_above(self.s_min, self.s_max)
        return self


class ReverseDiffusionOptions(BrownianOptions):
    """Options of ``reverse-diffusion``."""

    probability_flow: bool = Field(default=False, description="half the score and no noise")


class LangevinOptions(Options):
    """Options of ``langevin``."""

    corrector_steps: int = Field(default=1, ge=1, le=1000, description="Langevin steps at every sigma")
    snr: float = Field(default=0.16, gt=0.0, le=1.0, description="signal-to-noise ratio that sets their size")
    coupled: bool = Field(default=False, description="norms averaged over the batch, as in the authors' code")


class PredictorCorrectorOptions(LangevinOptions):
    """Options of ``predictor-corrector``."""

    predictor: Literal["reverse-diffusion", "ancestral", "probability-flow"] = "reverse-diffusion"


def _corrected(steps: int, final: Final, options: Any) -> int:
    return steps * (1 + int(options.corrector_steps))


def _corrections(steps: int, final: Final, options: Any) -> int:
    return steps * int(options.corrector_steps)


def _adams_order(options: SASolverOptions) -> int | None:
    """Of the ODE: the corrector adds one to the predictor's order, up to its own."""
    if options.tau > 0:
        return None
    corrected = min(options.predictor_order + 1, options.corrector_order)
    return corrected if options.corrector_order else options.predictor_order


def _without_tau(options: SASolverOptions) -> Same | None:
    """Where there is no noise, neither its path nor its range matters."""
    orders = {"predictor_order": options.predictor_order, "corrector_order": options.corrector_order}
    plain = SASolverOptions(tau=0.0, **orders)
    return ("sa-solver", plain.model_dump()) if options.tau == 0 and options != plain else None


def _flow_without_noise(options: ReverseDiffusionOptions) -> Same | None:
    return ("reverse-diffusion", {"probability_flow": True}) if options.probability_flow and options.brownian else None


def _always(options: Any) -> bool:
    return True


ENTRIES = (
    SamplerEntry(
        name="sde-dpmpp-2m",
        target=f"{_EXPONENTIAL}:SDE_DPMPP_2M",
        summary="second-order multistep exponential integrator of the reverse SDE",
        source="Lu et al. 2022 (DPM-Solver++), SDE-DPM-Solver++(2M)",
        order=None,
        stochastic=_always,
        options=BrownianOptions,
    ),
    SamplerEntry(
        name="sde-dpmpp-3m",
        target=f"{_EXPONENTIAL}:SDEDPMPP3M",
        summary="third-order multistep exponential integrator of the reverse SDE, as published or corrected",
        source="k-diffusion, sample_dpmpp_3m_sde with eta 1",
        order=None,
        stochastic=_always,
        options=ThirdOrderSDEOptions,
    ),
    SamplerEntry(
        name="sa-solver",
        target="diffbench.samplers.sa_solver:SASolver",
        summary="stochastic Adams predictor and corrector on the denoised estimate",
        source="Xue et al. 2023 (SA-Solver), Eq. 15 and 18",
        order=None,
        order_with=_adams_order,
        stochastic=lambda options: options.tau > 0,
        options=SASolverOptions,
        same_as=_without_tau,
    ),
    SamplerEntry(
        name="reverse-diffusion",
        target="diffbench.samplers.reverse_diffusion:ReverseDiffusion",
        summary="the reverse process discretised as the forward chain on the grid is",
        source=f"{_SDE}, Eq. 46; its probability flow: appendix D.3",
        order=None,
        order_with=lambda options: 1 if options.probability_flow else None,
        stochastic=lambda options: not options.probability_flow,
        options=ReverseDiffusionOptions,
        same_as=_flow_without_noise,
    ),
    SamplerEntry(
        name="ve-ancestral",
        target="diffbench.samplers.ddim:ANCESTRAL",
        summary="ancestral sampling of the variance-exploding chain: ddim with eta 1",
        source=f"{_SDE}, Eq. 47",
        order=None,
        stochastic=_always,
        same_as=lambda options: ("ddim", {"eta": 1.0}),
    ),
    SamplerEntry(
        name="langevin",
        target="diffbench.samplers.predictor_corrector:LANGEVIN",
        summary="annealed Langevin dynamics: correctors without a predictor",
        source=f"{_SDE}, Algorithms 4 and 5; Song & Ermon 2019, Algorithm 1",
        order=None,
        stochastic=_always,
        options=LangevinOptions,
        evaluations=_corrections,
        batch_coupled=True,
    ),
    SamplerEntry(
        name="predictor-corrector",
        target="diffbench.samplers.predictor_corrector:PredictorCorrector",
        summary="Langevin steps at every sigma, then a predictor's step to the next",
        source=f"{_SDE}, Algorithms 2 to 5",
        order=None,
        stochastic=_always,
        options=PredictorCorrectorOptions,
        evaluations=_corrected,
        batch_coupled=True,
    ),
)
