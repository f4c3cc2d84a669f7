"""The converged solutions that a cell's samples are compared with: cells of their own, sampled once for many.

A solution is of the same ODE, from the same start to the same landing point. A cell whose ``final`` is ``denoise``
lands by one denoised estimate, and so does its solution, but from the lowest noise level that the cell's kind of grid
asks for: where the grid of few steps stops far above it (``trailing``), that is part of the cell's error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from diffbench.catalog import METRICS, SAMPLERS
from diffbench.diffusion.grid import TimeGrid, time_grid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.errors import ScheduleError
from diffbench.suite.cell import Cell, Solution
from diffbench.suite.choices import GridChoice, MetricChoice
from diffbench.suite.identity import digest, identity, of_model

NAME = "converged solution"
# One evaluation a step, of fourth order once it has begun, and in log sigma, where these ODEs are smoothest.
_METHOD, _OPTIONS, _GRID = "deis", {"variable": "log-rho", "degree": 3}, "log-snr"

_OWN_GRID = "it brings its own noise levels, known only when it runs: no solution with its start can be planned"


class Solutions:
    """Plans solutions for the metrics that need them; cells that start and land alike share one."""

    def __init__(self, metrics: Sequence[MetricChoice]) -> None:
        self._steps = {m.name: int(m.options["reference_steps"]) for m in metrics if METRICS[m.name].needs_solution}
        self._known: dict[tuple[object, ...], Solution | str] = {}

    def beside(self, cell: Cell, schedule: NoiseSchedule, choice: GridChoice) -> Cell:
        """The cell with the solution, or the reason that there is none, for each metric that needs one."""
        if cell.skip is not None:
            return cell
        unsolved: str | float = _no_ode(cell) or _OWN_GRID
        if cell.grid is not None:
            unsolved = _no_ode(cell) or _landing(cell.grid, schedule, choice)
        found: dict[str, Solution | str] = {
            name: unsolved if isinstance(unsolved, str) else self._solution(cell, schedule, unsolved, steps)
            for name, steps in self._steps.items()
        }
        solved = any(isinstance(one, Solution) for one in found.values())
        return replace(cell, solutions=found, keep_x0=solved or cell.card.extractor is None)

    def _solution(self, cell: Cell, schedule: NoiseSchedule, landing: float, steps: int) -> Solution | str:
        assert cell.grid is not None
        grid, start = cell.grid, (float(cell.grid.t[0]), float(cell.grid.sigma[0]))
        key = (cell.model, cell.model_key, grid.final, *start, landing, steps)
        if key not in self._known:
            try:
                fine = (_grid(grid, schedule, landing, count) for count in (steps, steps // 2))
                self._known[key] = Solution(*(_cell(cell, own) for own in fine))
            except ScheduleError as error:
                self._known[key] = f"no converged solution from this cell's first noise level: {error}"
        return self._known[key]


def solutions_of(cells: Iterable[Cell]) -> list[Cell]:
    """The cells that are sampled for the sake of ``cells``' metrics, each once."""
    found = [s for cell in cells for s in cell.solutions.values() if isinstance(s, Solution)]
    return list({one.id: one for solution in found for one in (solution.cell, solution.half)}.values())


def _no_ode(cell: Cell) -> str | None:
    """Why a cell's samples solve no ODE that could be solved more finely."""
    entry = SAMPLERS.get(cell.method)
    if entry is None:
        return "whether the sampler adds noise is not known; only one that adds none solves an ODE"
    if entry.stochastic(entry.options.model_validate(cell.method_options)):
        return "the sampler adds noise with these options: its samples solve no ODE"
    if cell.card.clip is not None:
        return "the denoised estimate is clipped, which is no part of the ODE; set the model's clip: null"
    return None


def _landing(grid: TimeGrid, schedule: NoiseSchedule, choice: GridChoice) -> float:
    """The last noise level before sigma 0 of grids of this kind and many steps; the last one itself if it is kept."""
    options = choice.options
    if grid.final == "sigma_min":
        return float(grid.sigma[-1])
    if options.get("sigmas") is not None:
        return float(options["sigmas"][-1])
    if options.get("t_end") is not None:
        return float(schedule.sigma(float(options["t_end"])))
    return schedule.sigma_min if options.get("sigma_min") is None else float(options["sigma_min"])


def _grid(grid: TimeGrid, schedule: NoiseSchedule, landing: float, steps: int) -> TimeGrid:
    """A fine grid between the very ends of ``grid``, by way of ``landing``."""
    fine = time_grid(schedule, steps, _GRID, grid.final, sigma_max=float(grid.sigma[0]), sigma_min=landing)
    t, sigma, scale = (np.array(values) for values in (fine.t, fine.sigma, fine.scale))
    for own, given in ((t, grid.t), (sigma, grid.sigma), (scale, grid.scale)):
        own[0], own[-1] = given[0], given[-1]
    return TimeGrid(t, sigma, scale, _GRID, grid.final)


def _cell(cell: Cell, grid: TimeGrid) -> Cell:
    entry = SAMPLERS[_METHOD]
    options = entry.options.model_validate(_OPTIONS)
    decides = identity(
        model=of_model(cell.card),
        method=_METHOD,
        method_options=options.model_dump(),
        grid=grid,
        dtype=cell.dtype,
        channels_last=cell.channels_last,
        compile=cell.compile,
        condition=cell.condition,
        batch_size=cell.batch_size,
        shard=cell.shard,
        seed=cell.seed,
    )
    return replace(
        cell,
        id=digest(decides),
        sampler=NAME,
        method=_METHOD,
        method_options=options.model_dump(),
        options={},
        grid=grid,
        grid_label=_GRID,
        budget_kind="steps",
        budget=grid.steps,
        steps=grid.steps,
        nfe=entry.nfe(grid.steps, grid.final, options),
        identity=decides,
        same_as=None,
        keep_x0=True,
        keep_trajectories=0,
    )
