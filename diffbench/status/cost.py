"""What cells will cost: evaluations, bytes, and seconds from what earlier sessions on the same device took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from diffbench.scoring.weights import numbers_of
from diffbench.store.kept import FRAMES
from diffbench.store.sessions import read_sessions
from diffbench.suite.plan import Cell

_FLOAT_BYTES = 4
_SHARD_BYTES = 1500  # manifest, file headers

Key = tuple[str, int]


@dataclass(frozen=True)
class Rate:
    """Seconds that a model takes: for each sample (decoding, features, storing) and for each of its evaluations."""

    per_sample: float
    per_evaluation: float

    def seconds(self, cell: Cell, samples: int) -> float | None:
        """Expected seconds for ``samples`` samples of a cell; None where its sampler chooses its own steps."""
        if cell.nfe is None and samples:
            return None
        return samples * (self.per_sample + (cell.nfe or 0) * self.per_evaluation)


@dataclass(frozen=True)
class Rates:
    """Rates by model and batch size, the device they hold for, and where they come from.

    ``lacking``: which models have none and why, if there is more to say than that no run tells; ``apart``: what of
    sampling is not in them.
    """

    by: Mapping[Key, Rate]
    device: str | None
    basis: str
    lacking: str | None = None
    apart: str | None = None

    def of(self, cell: Cell) -> Rate | None:
        """The rate of a cell's model at its batch size."""
        return self.by.get((cell.model_key, cell.batch_size))

    def seconds(self, work: Iterable[tuple[Cell, int]]) -> float | None:
        """Expected seconds for so many samples of each cell; None if a model's rate is unknown."""
        total = 0.0
        for cell, samples in work:
            rate = self.of(cell)
            seconds = 0.0 if not samples else None if rate is None else rate.seconds(cell, samples)
            if seconds is None:
                return None
            total += seconds
        return total


def earlier_rates(run: Path, device: str | None = None) -> Rates:
    """Rates of all runs beside ``run``, and of itself, on ``device`` (default: that of the latest session)."""
    try:
        beside = sorted(run.parent.glob("*")) if run.parent.is_dir() else []
    except OSError:
        beside = [run]
    sessions = sorted((s for path in beside for s in read_sessions(path)), key=lambda s: str(s.get("started")))
    sessions = [session for session in sessions if session.get("cells")]
    if device is None and sessions:
        device = _device(sessions[-1])
    records: dict[Key, list[tuple[int, float, float]]] = {}
    for session in sessions:
        if _device(session) != device:
            continue
        for entry in session["cells"].values():
            key = (str(entry["model"]), int(entry["batch_size"]))
            records.setdefault(key, []).append((entry["samples"], entry["evaluations"], entry["seconds"]))
    return Rates({key: fitted(entries) for key, entries in records.items()}, device, "earlier runs")


def fitted(records: Sequence[tuple[int, float, float]]) -> Rate:
    """The rate that explains records of (samples, evaluations in all, seconds) best, by relative least squares.

    Neither part is negative; where all records have one number of evaluations a sample, it all goes to them.
    """
    table = np.array([record for record in records if record[2] > 0], dtype=np.float64).reshape(-1, 3)
    if not len(table):
        return Rate(0.0, 0.0)
    weighted = table[:, :2] / table[:, 2:]
    if len({round(ratio, 6) for ratio in (table[:, 1] / table[:, 0]).tolist()}) > 1:
        solution = np.linalg.lstsq(weighted, np.ones(len(table)), rcond=None)[0]
        if (solution >= 0).all():
            return Rate(float(solution[0]), float(solution[1]))
    column = 1 if table[:, 1].any() else 0
    share = float(weighted[:, column].sum() / (weighted[:, column] ** 2).sum())
    return Rate(0.0, share) if column == 1 else Rate(share, 0.0)


def bytes_of(cell: Cell, images: int) -> int:
    """Disk space of a whole cell: features, logits and x0 in float32, the kept images, and how the first ones form."""
    numbers = 0 if cell.card.extractor is None else numbers_of(cell.card.extractor)
    channels, height, width = cell.card.image_shape
    shards = -(-cell.n // cell.shard)
    numbers += prod(cell.card.sample_shape) if cell.keep_x0 else 0
    shown = min(cell.n, images) + min(cell.keep_trajectories, cell.batch_size, cell.n) * (FRAMES + 1)
    return cell.n * numbers * _FLOAT_BYTES + shown * channels * height * width + shards * _SHARD_BYTES


def _device(session: Mapping[str, Any]) -> str | None:
    name = (session.get("device") or {}).get("name")
    return None if name is None else str(name)
