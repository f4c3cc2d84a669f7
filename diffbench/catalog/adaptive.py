"""Samplers that choose their own steps, sample by sample, from tolerances."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from diffbench.catalog.entries import Final, Options, SamplerEntry

TOLERANCES = frozenset({"rtol", "atol"})
"""Options by which an adaptive sampler spends more or less: what a budget is to the others."""


class RK45Options(Options):
    """Options of ``rk45``."""

    rtol: float = Field(default=1e-5, gt=0.0)
    atol: float = Field(default=1e-5, gt=0.0)
    coupled: bool = Field(default=False, description="one error norm for the whole batch, as in the authors' code")


class DPMAdaptiveOptions(Options):
    """Options of ``dpm-adaptive``."""

    order: Literal[2, 3] = 3
    rtol: float = Field(default=0.05, gt=0.0)
    atol: float = Field(default=0.0078, gt=0.0)
    coupled: bool = Field(default=False, description="the batch's largest error for all, as in the authors' code")


def _rk45(steps: int, final: Final, options: Any) -> int:
    """Two to choose the first step of an interval, six for each that is tried."""
    intervals = steps - 1 if final == "denoise" else steps
    return 8 * intervals + (1 if final == "denoise" else 0)


def _dpm(steps: int, final: Final, options: DPMAdaptiveOptions) -> int:
    intervals = steps - 1 if final == "denoise" else steps
    return options.order * intervals + (1 if final == "denoise" else 0)


ENTRIES = (
    SamplerEntry(
        name="rk45",
        target="diffbench.samplers.runge_kutta:ProbabilityFlowRK45",
        summary="the probability-flow ODE in the family's own time, by Dormand and Prince's method",
        source="Song et al. 2021 (Score-SDE), Eq. 13 and appendix D.4; Dormand & Prince 1980",
        order=5,
        stochastic=lambda options: False,
        options=RK45Options,
        evaluations=_rk45,
        needs=frozenset({"sde"}),
        batch_coupled=True,
        adaptive=True,
    ),
    SamplerEntry(
        name="dpm-adaptive",
        target="diffbench.samplers.dpm_adaptive:DPMAdaptive",
        summary="DPM-Solver-12 or -23 with steps chosen by the difference of the two orders",
        source="Lu et al. 2022 (DPM-Solver), Algorithms 6 and 7 in appendix C",
        order=3,
        order_with=lambda options: int(options.order),
        stochastic=lambda options: False,
        options=DPMAdaptiveOptions,
        evaluations=_dpm,
        batch_coupled=True,
        adaptive=True,
    ),
)
