"""The converged solutions that a cell's samples are compared with: cells of their own, sampled once for many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from diffbench.catalog import METRICS, SAMPLERS
from diffbench.diffusion.grid import TimeGrid, time_grid
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.errors import ScheduleError
from diffbench.suite.cell import Cell, Solution
from diffbench.suite.choices import MetricChoice
from diffbench.suite.identity import digest, identity, of_model

NAME = "converged solution"
_METHOD = "heun"
_GRID = "karras"


class Solutions:
    """Plans solutions for the metrics that need them; cells that start and land alike share one."""

    def __init__(self, metrics: Sequence[MetricChoice]) -> None:
        self._steps = {m.name: int(m.options["reference_steps"]) for m in metrics if METRICS[m.name].needs_solution}
        self._known: dict[tuple[object, ...], Solution | str] = {}

    def beside(self, cell: Cell, schedule: NoiseSchedule) -> Cell:
        """The cell with the solution, or the reason that there is none, for each metric that needs one."""
        if cell.grid is None or not self._steps:
            return cell
        unsolved = _no_ode(cell)
        found = {name: unsolved or self._solution(cell, schedule, steps) for name, steps in self._steps.items()}
        return replace(cell, solutions=found, keep_x0=unsolved is None)

    def _solution(self, cell: Cell, schedule: NoiseSchedule, steps: int) -> Solution | str:
        assert cell.grid is not None
        ends = [(float(values[0]), float(values[-1])) for values in (cell.grid.t, cell.grid.sigma)]
        key = (cell.model, cell.model_key, cell.grid.final, *ends, steps)
        if key not in self._known:
            try:
                full, half = (_cell(cell, _grid(cell.grid, schedule, count), count) for count in (steps, steps // 2))
                self._known[key] = Solution(full, half)
            except ScheduleError as error:
                self._known[key] = f"no converged solution from this cell's first noise level: {error}"
        return self._known[key]


def solutions_of(cells: Iterable[Cell]) -> list[Cell]:
    """The cells that are sampled for the sake of ``cells``' metrics, each once."""
    found = [s for cell in cells for s in cell.solutions.values() if isinstance(s, Solution)]
    return list({one.id: one for solution in found for one in (solution.cell, solution.half)}.values())


def _no_ode(cell: Cell) -> str | None:
    """Why a cell's samples solve no ODE that could be solved more finely."""
    entry = SAMPLERS[cell.method]
    if entry.stochastic(entry.options.model_validate(cell.method_options)):
        return f"{cell.method} with these options adds noise: its samples solve no ODE"
    if cell.card.clip is not None:
        return "the denoised estimate is clipped, which is no part of the ODE; set the model's clip: null"
    return None


def _grid(grid: TimeGrid, schedule: NoiseSchedule, steps: int) -> TimeGrid:
    """A fine grid between the very ends of ``grid``; one that denoises goes down to the schedule's sigma_min first."""
    end = schedule.sigma_min if grid.final == "denoise" else float(grid.sigma[-1])
    fine = time_grid(schedule, steps, _GRID, grid.final, sigma_max=float(grid.sigma[0]), sigma_min=end)
    t, sigma, scale = (np.array(values) for values in (fine.t, fine.sigma, fine.scale))
    for own, given in ((t, grid.t), (sigma, grid.sigma), (scale, grid.scale)):
        own[0], own[-1] = given[0], given[-1]
    return TimeGrid(t, sigma, scale, _GRID, grid.final)


def _cell(cell: Cell, grid: TimeGrid, steps: int) -> Cell:
    options = SAMPLERS[_METHOD].options().model_dump()
    decides = identity(
        model=of_model(cell.card),
        method=_METHOD,
        method_options=options,
        grid=grid,
        dtype=cell.dtype,
        channels_last=cell.channels_last,
        batch_size=cell.batch_size,
        shard=cell.shard,
        seed=cell.seed,
    )
    return replace(
        cell,
        id=digest(decides),
        sampler=NAME,
        method=_METHOD,
        method_options=options,
        options={},
        grid=grid,
        grid_label=_GRID,
        budget_kind="steps",
        budget=steps,
        steps=steps,
        nfe=SAMPLERS[_METHOD].nfe(steps, grid.final),
        identity=decides,
        keep_x0=True,
    )
