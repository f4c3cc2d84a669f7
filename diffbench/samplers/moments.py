"""Weights of an estimate that a method takes for a polynomial: every multistep and exponential method is made of them.

A step adds the integral of w(s) y(s) over s in [0, 1], where y is the noise or the denoised estimate along the step, w
the method's own weight function and s a variable that runs from 0 to 1. With M_j = integral of w(s) s^j, and y known at
the nodes s_0, ..., s_{p-1}, the integral of the polynomial through them is sum_k c_k y_k, where sum_k c_k s_k^j = M_j.
Methods differ in y, in w and in the variable; published shortcuts put another number in the place of one moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from diffbench.diffusion.schedule import FloatArray

# 48 Gauss-Legendre points in [0, 1]: exact to rounding for the exponentials of any step up to h = 30.
_POINTS, _SHARES = np.polynomial.legendre.leggauss(48)
_POINTS, _SHARES = (_POINTS + 1) / 2, _SHARES / 2


def interpolating_weights(nodes: Sequence[float] | FloatArray, moments: Sequence[float]) -> FloatArray:
    """The c (p,) with sum_k c_k nodes_k^j = moments_j, j = 0..p-1; the nodes (p,) differ from each other."""
    return np.linalg.solve(np.vander(np.asarray(nodes), increasing=True).T, np.asarray(moments))


def denoised_moments(h: float, count: int, rate: float = 1.0) -> list[float]:
    """M_j = integral of H e^{-H (1 - s)} s^j for H = rate h, s = the share of the step in lambda = -ln sigma.

    x_hat(s = 1) = e^{-H} x_hat(0) + sum_j M_j d_j for D = sum_j d_j s^j solves dx/dlambda = rate (D - x): the
    probability-flow ODE for rate 1 (Lu et al. 2022, DPM-Solver++), the mean of the reverse SDE for rate 2.
    An infinite h allows one moment only.
    """
    total = rate * h
    density = total * np.exp(-total * (1 - _POINTS)) if count > 1 else _POINTS
    return [-math.expm1(-total), *_integrals(density, _POINTS, count)]


def noise_moments(sigma: float, target: float, count: int) -> list[float]:
    """M_j = integral of (d sigma/ds) s^j, s = the share of the step in lambda = -ln sigma.

    x_hat(1) = x_hat(0) + sum_j M_j e_j for eps = sum_j e_j s^j solves dx/dsigma = eps (Lu et al. 2022, DPM-Solver,
    Eq. 3.4 and 3.6). ``target`` 0 allows one moment only.
    """
    return moments_in(lambda level: -np.log(level), sigma, target, count)


def moments_in(variable: Callable[[FloatArray], FloatArray], sigma: float, target: float, count: int) -> list[float]:
    """M_j = integral of (d sigma/ds) s^j, s = the share of the step in ``variable`` (sigma)."""
    if count == 1:
        return [target - sigma]
    h = math.log(sigma / target)
    levels = sigma * np.exp(-h * _POINTS)
    first, last = variable(np.array([sigma, target]))
    share = (variable(levels) - first) / (last - first)
    return [target - sigma, *_integrals(-h * levels, share, count)]


def _integrals(density: FloatArray, share: FloatArray, count: int) -> list[float]:
    """Integrals of density share^j for j = 1..count-1."""
    return [float(_SHARES @ (density * share**j)) for j in range(1, count)]
