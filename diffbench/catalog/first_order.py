"""First-order samplers with one evaluation a step, deterministic or stochastic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from diffbench.catalog.entries import Options, SamplerEntry, not_above


class DDIMOptions(Options):
    """Options of ``ddim``."""

    eta: float = Field(default=0.0, ge=0.0, le=1.0, description="0: the deterministic ODE; 1: ancestral sampling")


class BrownianOptions(Options):
    """Options of samplers of the reverse SDE."""

    brownian: bool = Field(default=False, description="noise from one path per sample, the same for all step counts")


class AncestralOptions(BrownianOptions):
    """Options of the ancestral samplers: how much of the posterior's noise is added, all of it by default."""

    eta: float = Field(default=1.0, ge=0.0, le=1.0, description="0: the deterministic ODE; 1: ancestral sampling")


class DDPMOptions(Options):
    """Options of ``ddpm``."""

    variance: Literal["fixed_small", "fixed_large", "learned"] = Field(
        default="fixed_small",
        description="variance of a step: beta-tilde (fixed_small), beta (fixed_large), or between them where the "
        "network says (learned), if it predicts its variance",
    )


class ChurnOptions(Options):
    """Options of EDM's samplers, named as in its Algorithm 2; the defaults are deterministic."""

    s_churn: float = Field(default=0.0, ge=0.0)
    s_min: float = Field(default=0.0, ge=0.0)
    s_max: float = Field(default=1e9, gt=0.0, description="upper end of the churned sigmas")
    s_noise: float = Field(default=1.0, gt=0.0, le=10.0)

    @model_validator(mode="after")
    def _rises(self) -> ChurnOptions:
        not_above(self.s_min, self.s_max)
        return self

    @property
    def idle(self) -> bool:
        """Whether options are set that mean nothing without churn."""
        return self.s_churn == 0 and self != type(self)()


Same = tuple[str, dict[str, Any]]


def _ddpm_same_as(options: DDPMOptions) -> Same | None:
    return ("ddim", {"eta": 1.0}) if options.variance == "fixed_small" else None


def _ancestral_same_as(options: AncestralOptions) -> Same | None:
    return None if options.brownian and options.eta > 0 else ("ddim", {"eta": options.eta})


def _sde_same_as(options: BrownianOptions) -> Same | None:
    return ("euler-ancestral", {"eta": 1.0, "brownian": options.brownian})


def _euler_without_churn(options: ChurnOptions) -> Same | None:
    return ("ddim", {"eta": 0.0}) if options.s_churn == 0 else None


def without_noise(order: int) -> Callable[[Any], int | None]:
    """The order of methods that solve the ODE with eta = 0 only."""
    return lambda options: order if options.eta == 0 else None


_DDIM = "diffbench.samplers.ddim:DDIM"

ENTRIES = (
    SamplerEntry(
        name="ddim",
        target=_DDIM,
        summary="Euler steps of the probability-flow ODE in sigma, plus eta-scaled noise",
        source="Song, Meng & Ermon 2021 (DDIM), Eq. 12 and 16",
        order=1,
        order_with=without_noise(1),
        stochastic=lambda options: options.eta > 0,
        options=DDIMOptions,
    ),
    SamplerEntry(
        name="euler",
        target=_DDIM,
        summary="Euler steps in sigma: ddim with eta 0",
        source="Karras et al. 2022 (EDM), Eq. 4 with sigma(t) = t, s(t) = 1",
        order=1,
        stochastic=lambda options: False,
        same_as=lambda options: ("ddim", {"eta": 0.0}),
    ),
    SamplerEntry(
        name="dpm-solver-1",
        target=_DDIM,
        summary="first-order exponential integrator on the noise estimate: ddim with eta 0",
        source="Lu et al. 2022 (DPM-Solver), Eq. 3.7 and section 4.1",
        order=1,
        stochastic=lambda options: False,
        same_as=lambda options: ("ddim", {"eta": 0.0}),
    ),
    SamplerEntry(
        name="euler-ancestral",
        target="diffbench.samplers.ddim:ANCESTRAL",
        summary="an Euler step down below the target, then noise: ddim with the same eta",
        source="Song et al. 2021 (Score-SDE), Eq. 47; down and up as in k-diffusion's get_ancestral_step",
        order=None,
        order_with=without_noise(1),
        stochastic=lambda options: options.eta > 0,
        options=AncestralOptions,
        same_as=_ancestral_same_as,
    ),
    SamplerEntry(
        name="sde-dpmpp-1",
        target="diffbench.samplers.ddim:ANCESTRAL",
        summary="first-order exponential integrator of the reverse SDE: ddim with eta 1",
        source="Lu et al. 2022 (DPM-Solver++), SDE-DPM-Solver++1",
        order=None,
        stochastic=lambda options: True,
        options=BrownianOptions,
        same_as=_sde_same_as,
    ),
    SamplerEntry(
        name="ddpm",
        target="diffbench.samplers.ddpm:ddpm",
        summary="ancestral sampling of the discrete reverse chain",
        source="Ho, Jain & Abbeel 2020 (DDPM), Algorithm 2; variances of section 3.2, learned: Nichol & Dhariwal 2021 "
        "(Improved DDPM), Eq. 15",
        order=None,
        stochastic=lambda options: True,
        options=DDPMOptions,
        needs_with=lambda options: frozenset({"learned_variance"} if options.variance == "learned" else ()),
        same_as=_ddpm_same_as,
    ),
    SamplerEntry(
        name="ddim-sigma-hat",
        target="diffbench.samplers.ddpm:FIXED_LARGE",
        summary="DDIM's mean for eta 1 with the larger noise sigma-hat: ddpm with variance fixed_large",
        source="Song, Meng & Ermon 2021 (DDIM), section 5 and appendix D.3",
        order=None,
        stochastic=lambda options: True,
        same_as=lambda options: ("ddpm", {"variance": "fixed_large"}),
    ),
    SamplerEntry(
        name="edm-euler",
        target="diffbench.samplers.heun:EDMEuler",
        summary="EDM's sampler with Euler steps: optional churn, no second-order correction",
        source="Karras et al. 2022 (EDM), Algorithm 2 without lines 9 to 11",
        order=1,
        order_with=lambda options: 1 if options.s_churn == 0 else None,
        stochastic=lambda options: options.s_churn > 0,
        options=ChurnOptions,
        same_as=_euler_without_churn,
    ),
    SamplerEntry(
        name="euler-maruyama",
        target="diffbench.samplers.euler_maruyama:EulerMaruyama",
        summary="Euler-Maruyama on the reverse-time SDE in the family's own time",
        source="Song et al. 2021 (Score-SDE), Eq. 6 and section 4.1",
        order=None,
        stochastic=lambda options: True,
        options=BrownianOptions,
        needs=frozenset({"sde"}),
    ),
)
