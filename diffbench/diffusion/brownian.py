"""Brownian noise: one path per sample, so that runs with other step counts follow the same path.

The reverse SDE's noise, integrated exactly for x_hat / sigma^2, is a Brownian motion in u = 1 / sigma^2: an ancestral
or SDE-DPM-Solver++ step from sigma to sigma' adds sigma'^2 (W(u') - W(u)). A virtual Brownian tree (Li et al. 2020,
"Scalable gradients for stochastic differential equations", Algorithm 3) gives W at any u from the sample's own noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffbench.diffusion.grid import TimeGrid
from diffbench.diffusion.noise import Noise

# The path runs from LARGEST to SMALLEST; its 2^DEPTH points lie evenly in log sigma, 2.2e-5 apart.
LARGEST, SMALLEST = 1e5, 1e-5
DEPTH = 20
END = 1 << DEPTH
_LOG_SPAN = math.log(LARGEST / SMALLEST)


class BrownianNoise:
    """Another source whose ``step`` noise is the path's increment over the step, scaled to unit variance.

    ``normal("step", i)`` is (W(u_{i+1}) - W(u_i)) / sqrt(u_{i+1} - u_i) for the points of ``grid``, each taken for the
    nearest point of the path. Steps of one grid are independent standard normals; those of two grids share one path.
    Noise for any other purpose is the source's own. A new point costs up to DEPTH draws.
    """

    def __init__(self, source: Noise, grid: TimeGrid) -> None:
        self.source = source
        self.grid = grid
        self._known: dict[int, Tensor] = {}
        self._dtype = torch.float32

    def normal(self, purpose: str, step: int, sigma_from: float = 0.0, sigma_to: float = 0.0) -> Tensor:
        """Standard normals (B, *shape) in the source's dtype."""
        if purpose != "step":
            return self.source.normal(purpose, step, sigma_from, sigma_to)
        ends = [_nearest(float(sigma)) for sigma in self.grid.sigma[step : step + 2]]
        if ends[0] == ends[1]:
            return self.source.normal(purpose, step, sigma_from, sigma_to)
        begin, end = (self._at(point) for point in ends)
        # Of what lies behind, only the points that those ahead hang on are needed again.
        needed = {ends[1], *_ancestors(ends[1])}
        self._known = {point: value for point, value in self._known.items() if point in needed}
        gap = _u(ends[1]) - _u(ends[0])
        return ((end - begin) / math.sqrt(gap)).to(self._dtype)

    def _at(self, point: int) -> Tensor:
        """W (B, *shape) in float64 at a point 0..2^DEPTH of the path; W = 0 at point 0."""
        if point not in self._known:
            drawn = self.source.normal("path", point)
            self._dtype, draw = drawn.dtype, drawn.double()
            if point == 0:
                value = draw * 0.0
            elif point == END:
                value = draw * math.sqrt(_u(point) - _u(0))
            else:
                low, high = _parents(point)
                share = (_u(point) - _u(low)) / (_u(high) - _u(low))
                spread = math.sqrt(share * (_u(high) - _u(point)))
                value = self._at(low) * (1 - share) + self._at(high) * share + draw * spread
            self._known[point] = value
        return self._known[point]


def _nearest(sigma: float) -> int:
    """The point of the path nearest to ``sigma``, in its logarithm; sigma = 0 is the end."""
    if sigma <= SMALLEST:
        return END
    return max(round(math.log(LARGEST / sigma) / _LOG_SPAN * END), 0)


def _u(point: int) -> float:
    """1 / sigma^2 at a point of the path."""
    return math.exp(2 * (point / END * _LOG_SPAN - math.log(LARGEST)))


def _parents(point: int) -> tuple[int, int]:
    """The two points, of coarser levels, that a point lies halfway between."""
    half = point & -point
    return point - half, point + half


def _ancestors(point: int) -> set[int]:
    """All points that the value at ``point`` depends on."""
    found, todo = set[int](), [point]
    while todo:
        at = todo.pop()
        if 0 < at < END:
            new = set(_parents(at)) - found
            found |= new
            todo.extend(new)
    return found
