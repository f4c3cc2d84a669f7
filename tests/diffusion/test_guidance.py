from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffbench.diffusion.denoiser import Clipped, Counted, Denoised
from diffbench.diffusion.guidance import Guided
from diffbench.errors import UsageError

X = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def conditional(x: Tensor, sigma: Tensor) -> Denoised:
    return Denoised(2 * x, torch.full_like(x, 0.5))


def both(x: Tensor, sigma: Tensor) -> Denoised:
    """None gives x, the condition 2 x."""
    none, given = x.chunk(2)
    return Denoised(torch.cat([none, 2 * given]), torch.cat([torch.zeros_like(none), torch.full_like(given, 0.5)]))


def sigmas(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0, 7.5])
def test_the_scale_extrapolates_from_none_through_the_condition(scale: float) -> None:
    guided = Guided(conditional, both, scale)
    denoised = guided(X, sigmas(1, 1, 1, 1))
    torch.testing.assert_close(denoised.x0, (1 + scale) * X)
    assert denoised.variance_position is not None
    assert bool((denoised.variance_position == 0.5).all())
    assert guided.network_evaluations == 2 * len(X)


def test_scale_one_is_the_conditional_model_at_one_evaluation() -> None:
    guided = Guided(conditional, lambda x, s: pytest.fail("no second evaluation is needed"), 1.0)
    torch.testing.assert_close(guided(X, sigmas(1, 1, 1, 1)).x0, 2 * X)
    assert guided.network_evaluations == len(X)


def test_outside_its_interval_nothing_is_guided_nor_paid_for() -> None:
    guided = Guided(conditional, both, 3.0, (0.5, 2.0))
    torch.testing.assert_close(guided(X, sigmas(0.5, 0.1, 2.1, 80)).x0, 2 * X)
    assert guided.network_evaluations == len(X)
    inside = guided(X, sigmas(0.5, 0.51, 2.0, 2.1)).x0
    torch.testing.assert_close(inside, torch.tensor([2.0, 4.0, 4.0, 2.0]).view(4, 1, 1, 1) * X)
    assert guided.network_evaluations == 3 * len(X)


def test_the_counter_tells_evaluations_from_those_of_the_network() -> None:
    counted = Counted(Clipped(Guided(conditional, both, 3.0, (0.5, 2.0)), -1, 1))
    counted(X, sigmas(1, 1, 1, 1))
    counted(X, sigmas(3, 3, 3, 3))
    assert (counted.samples_evaluated, counted.network_evaluations) == (8, 12)


@pytest.mark.parametrize("scale", [-0.1, float("nan"), float("inf")])
def test_a_scale_is_finite_and_not_negative(scale: float) -> None:
    with pytest.raises(UsageError, match="finite scale"):
        Guided(conditional, both, scale)
