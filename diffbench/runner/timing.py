"""Wall-clock cost: an interleaved pass of its own, boxed in time, apart from sampling for quality."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import torch

from diffbench.errors import StoreError, one_line
from diffbench.models.model import Model
from diffbench.runner.devices import peak_memory_mb, reset_peak_memory, synchronise
from diffbench.runner.execute import make_sampler, sample_images
from diffbench.store.sealed import read_sealed
from diffbench.suite.plan import Cell

ENOUGH_ROUNDS = 20


@dataclass
class Timing:
    """Blocks of one timing pass: seconds per image (sampling and decoding) of every block, by cell id.

    ``conditions`` are what else a speed depends on: code, packages, the machine; ``probes`` are the digests of the
    answers that each cell's network and sampler gave, by cell id. ``cells`` are all whose turn was due,
    ``errors`` says why one could not be timed. ``peak_memory_mb`` is the highest memory during one more block of a cell
    (on a CPU: of the whole process), None where it can't be read.
    """

    limit: float
    batch_size: int
    device: str
    conditions: dict[str, str] = field(default_factory=dict)
    probes: dict[str, str] = field(default_factory=dict)
    spent: float = 0.0
    rounds: int = 0
    cells: list[str] = field(default_factory=list)
    blocks: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    peak_memory_mb: dict[str, float | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, as stored in ``timing.json``."""
        return dict(vars(self))

    def covers(
        self,
        cells: Sequence[Cell],
        device: str,
        limit: float | None,
        batch_size: int,
        conditions: dict[str, str],
        probes: dict[str, str],
    ) -> bool:
        """Whether these blocks answer the same question for all these cells, under the same conditions.

        ``limit`` None: however long the pass was.
        """
        limit = self.limit if limit is None else limit
        own = (self.device, self.limit, self.batch_size, self.conditions)
        timed = {cell.id for cell in cells} <= set(self.cells)
        alike = all(self.probes.get(cell.id) == probes.get(cell.id) for cell in cells)
        return own == (device, limit, batch_size, conditions) and timed and alike


def load_timing(path: Path) -> Timing | None:
    """A stored timing pass; None if there is none that can be read."""
    try:
        return Timing(**read_sealed(path))
    except (StoreError, TypeError):
        return None


@dataclass(frozen=True)
class BlockMedian:
    """Median of a cell's blocks, with an interval from order statistics where there are blocks enough for one."""

    value: float
    ci_low: float | None
    ci_high: float | None
    blocks: int


def block_median(seconds: Sequence[float]) -> BlockMedian:
    """The median, and the narrowest symmetric pair of order statistics that covers it with at least 95%.

    The number of blocks below the true median is Binomial(n, 1/2); six blocks are the fewest for such a pair (David &
    Nagaraja, Order Statistics, section 7.1).
    """
    ordered = sorted(seconds)
    n = len(ordered)
    tail, term, k = 0.0, 0.5**n, 0
    while 2 * (tail + term) <= 0.05:
        tail += term
        term *= (n - k) / (k + 1)
        k += 1
    if k == 0:
        return BlockMedian(median(ordered), None, None, n)
    return BlockMedian(median(ordered), ordered[k - 1], ordered[n - k], n)


def timing_pass(
    cells: Sequence[Cell],
    model_of: Callable[[Cell], Model],
    device: torch.device,
    limit: float,
    batch_size: int,
    conditions: dict[str, str],
    advance: Callable[[float], None] = lambda spent: None,
) -> Timing:
    """Time every cell in turn, round after round in a new seeded order, for ``limit`` seconds or ``ENOUGH_ROUNDS``.

    One block is one batch sampled and decoded, synchronised at both ends. A block too short for the clock's and the
    scheduler's noise is no problem here, since rounds repeat; the order keeps a busy spell of the machine from hitting
    all cells of one kind. Up to a third of the box goes to one block a cell for its peak memory. Loading and the first
    call of each model come before the box and are not counted.
    ``advance`` is told the seconds spent so far.
    """
    timing = Timing(limit, batch_size, str(device), conditions, cells=[cell.id for cell in cells])
    order = sorted(cells, key=lambda cell: (cell.nfe is None, cell.nfe or 0))
    _warm_up(order, model_of, batch_size)
    begin, last_round, shuffle = time.perf_counter(), 0.0, Random(0).shuffle
    for cell in order:
        if time.perf_counter() - begin > limit / 3:
            break
        with suppress(Exception):
            _measure_peak(timing, cell, model_of(cell), device)
        advance(time.perf_counter() - begin)
    while timing.rounds < ENOUGH_ROUNDS and time.perf_counter() - begin + last_round <= limit:
        round_begin = time.perf_counter()
        shuffle(order)
        for cell in order:
            if time.perf_counter() - begin > limit:
                break
            try:
                _block(timing, cell, model_of(cell), device)
            except Exception as error:
                timing.errors[cell.id] = one_line(error)
            advance(time.perf_counter() - begin)
        order = [cell for cell in order if cell.id not in timing.errors]
        timing.rounds += 1
        last_round = time.perf_counter() - round_begin
    timing.spent = time.perf_counter() - begin
    return timing


def _warm_up(order: Sequence[Cell], model_of: Callable[[Cell], Model], batch_size: int) -> None:
    """Load every model and call it once, by its cheapest cell; what fails here fails, and is noted, in its block."""
    warm: set[int] = set()
    for cell in order:
        model = model_of(cell)
        if id(model) not in warm:
            warm.add(id(model))
            with suppress(Exception):
                sample_images(model, cell, make_sampler(cell), range(batch_size))


def _block(timing: Timing, cell: Cell, model: Model, device: torch.device) -> None:
    sampler = make_sampler(cell)
    synchronise(device)
    start = time.perf_counter()
    sample_images(model, cell, sampler, range(timing.batch_size))
    synchronise(device)
    timing.blocks.setdefault(cell.id, []).append((time.perf_counter() - start) / timing.batch_size)


def _measure_peak(timing: Timing, cell: Cell, model: Model, device: torch.device) -> None:
    """A block of its own, not timed: giving freed memory back first makes it slower."""
    reset_peak_memory(device)
    sample_images(model, cell, make_sampler(cell), range(timing.batch_size))
    synchronise(device)
    timing.peak_memory_mb[cell.id] = peak_memory_mb(device)
