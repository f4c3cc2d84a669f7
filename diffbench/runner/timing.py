"""Wall-clock cost: an interleaved pass of its own, boxed in time, apart from sampling for quality."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from diffbench.atomic import read_json
from diffbench.errors import StoreError
from diffbench.models.diffusers_pipeline import Model
from diffbench.runner.devices import peak_memory_mb, reset_peak_memory
from diffbench.runner.execute import make_sampler, sample_images, synchronise
from diffbench.suite.plan import Cell

ENOUGH_ROUNDS = 20


@dataclass
class Timing:
    """Blocks of one timing pass: seconds per image (sampling and decoding) of every block, by cell id.

    ``peak_memory_mb`` is the highest memory seen in a cell's blocks, None where it can't be read.
    """

    limit: float
    batch_size: int
    device: str
    spent: float = 0.0
    rounds: int = 0
    blocks: dict[str, list[float]] = field(default_factory=dict)
    peak_memory_mb: dict[str, float | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, as stored in ``timing.json``."""
        return dict(vars(self))

    def covers(self, cells: Sequence[Cell], device: str, limit: float, batch_size: int) -> bool:
        """Whether these blocks answer the same question for all these cells."""
        same = (self.device, self.limit, self.batch_size) == (device, limit, batch_size)
        return same and all(self.blocks.get(cell.id) for cell in cells)


def load_timing(path: Path) -> Timing | None:
    """A stored timing pass; None if there is none that can be read."""
    try:
        return Timing(**read_json(path))
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
    advance: Callable[[float], None] = lambda spent: None,
) -> Timing:
    """Time every cell in turn, round after round in alternating order, for ``limit`` seconds or ``ENOUGH_ROUNDS``.

    One block is one batch sampled and decoded, synchronised at both ends. A block too short for the clock's and the
    scheduler's noise is no problem here, since rounds repeat; the first call of each model is not counted.
    ``advance`` is told the seconds spent so far.
    """
    timing = Timing(limit, batch_size, str(device))
    samplers = {cell.id: make_sampler(cell) for cell in cells}
    begin = time.perf_counter()
    warm: set[int] = set()
    order = sorted(cells, key=lambda cell: cell.nfe or 0)
    last_round = 0.0
    while timing.rounds < ENOUGH_ROUNDS and time.perf_counter() - begin + last_round <= limit:
        round_begin = time.perf_counter()
        for cell in order:
            model = model_of(cell)
            if id(model) not in warm:
                sample_images(model, cell, samplers[cell.id], range(batch_size))
                warm.add(id(model))
            if time.perf_counter() - begin > limit:
                break
            reset_peak_memory(device)
            synchronise(device)
            start = time.perf_counter()
            sample_images(model, cell, samplers[cell.id], range(batch_size))
            synchronise(device)
            timing.blocks.setdefault(cell.id, []).append((time.perf_counter() - start) / batch_size)
            _note_peak(timing, cell, device)
            advance(time.perf_counter() - begin)
        timing.rounds += 1
        last_round = time.perf_counter() - round_begin
        order.reverse()
    timing.spent = time.perf_counter() - begin
    return timing


def _note_peak(timing: Timing, cell: Cell, device: torch.device) -> None:
    peak, before = peak_memory_mb(device), timing.peak_memory_mb.get(cell.id)
    timing.peak_memory_mb[cell.id] = peak if before is None or peak is None else max(before, peak)
