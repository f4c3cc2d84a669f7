"""Trainings of one recipe with other seeds: their spread beside the sampling error of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import chdtri, stdtrit

from diffbench.catalog import COSTS
from diffbench.comparison.history import History
from diffbench.comparison.join import cell_key, differing_fields
from diffbench.comparison.runs import RunEntry
from diffbench.comparison.side import Row, RunSide, score_of
from diffbench.errors import StoreError, UsageError
from diffbench.scoring.interval import Score
from diffbench.store.sealed import read_sealed
from diffbench.store.shards import Store

INDEPENDENT = "sampling errors taken as independent: no values per sample stored"


@dataclass(frozen=True)
class Spread:
    """What m trainings of a recipe say about it, in the metric's unit.

    Attributes:
        trainings: m.
        mean: of the values; None without any.
        low: lower end of the 95% interval about the mean over all trainings (and samples); None for m < 2.
        high: its upper end.
        sd: standard deviation of the values as they are, m - 1; None for m < 2.
        sd_low: lower end of its 95% interval by chi-square.
        sd_high: upper end.
        between: what of it is due to training: 0 where sampling explains all of it.
        sampling: standard error of one training's value by sampling alone (root mean square); None if unknown.
        apart: standard deviation that sampling alone would give these values, sqrt(v - c): less than ``sampling`` where
            all start from the same noise; None for m < 2.
        reason: why something above is None, or what it rests on.
    """

    trainings: int
    mean: float | None
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    sd_low: float | None = None
    sd_high: float | None = None
    between: float | None = None
    sampling: float | None = None
    apart: float | None = None
    reason: str | None = None


def spread(scores: Sequence[Score]) -> Spread:
    """The spread of the scores of m trainings, each with a value and, to tell sampling apart, a standard error.

    Value k is mu + b_k + e_k: b_k, of variance B, is its training's, e_k its samples'. The e_k have variance v (mean
    of SE^2) and, where all start from the same noise, a covariance c, estimated from the influence values of each pair
    of trainings (0 where these aren't stored, or where it comes out negative). The variance s^2 of the values, m - 1,
    has expectation B + v - c, so that B = max(0, s^2 - v + c). (m - 1) s^2 over its expectation is chi-square with
    m - 1 degrees of freedom if the b_k are normal, which gives the interval of the sd.

    The mean has variance (B + v - c)/m + c: the interval is mean ± sqrt(t^2 s^2/m + u^2 c), t and u being quantiles of
    Student's law with m - 1 and n - 1 degrees of freedom. (One quantile for the sum, with Satterthwaite's degrees of
    freedom, covered 88% with two trainings.) More trainings make it shorter, but never shorter than the sampling error
    that all of them share.
    """
    values = np.array([score.value for score in scores if score.value is not None])
    m = len(values)
    if m == 0:
        return Spread(0, None, reason="no training has a value")
    errors = [score.se for score in scores if score.value is not None]
    known = [error for error in errors if error is not None]
    v = float(np.mean(np.square(known))) if len(known) == m else None
    sampling = None if v is None else math.sqrt(v)
    if m < 2:
        alone = "one training: how far another one would be is not known"
        return Spread(1, float(values[0]), sampling=sampling, reason=alone)
    raw = float(values.var(ddof=1))
    shared = _shared(scores)
    c = max(0.0, shared or 0.0)
    half = math.sqrt(_quantile(m - 1) ** 2 * raw / m + (_quantile(scores[0].n - 1) ** 2 * c if c > 0 else 0.0))
    mean = float(values.mean())
    sd_low, sd_high = (math.sqrt((m - 1) * raw / float(chdtri(m - 1, tail))) for tail in (0.025, 0.975))
    apart = None if v is None else math.sqrt(max(0.0, v - c))
    between = None if apart is None else math.sqrt(max(0.0, raw - apart**2))
    reason = "no standard error: what is due to sampling is not known" if v is None else None
    reason = INDEPENDENT if v is not None and shared is None else reason
    interval = (mean - half, mean + half)
    return Spread(m, mean, *interval, math.sqrt(raw), sd_low, sd_high, between, sampling, apart, reason)


def _quantile(freedom: int) -> float:
    return float(stdtrit(freedom, 0.975))


def _shared(scores: Sequence[Score]) -> float | None:
    """The covariance of two trainings' sampling errors, the mean over all pairs; None if it can't be estimated."""
    found = [score.influence for score in scores if score.value is not None]
    if len({None if one is None else len(one) for one in found}) > 1 or any(one is None for one in found):
        return None
    arrays = [one for one in found if one is not None]
    n = len(arrays[0])
    return float(np.mean([np.cov(one, other)[0, 1] / n for one, other in combinations(arrays, 2)]))


@dataclass(frozen=True)
class Member:
    """One training: the run that it stands in, its place, and its score."""

    run: RunEntry
    place: int
    row: Row

    @property
    def label(self) -> str:
        """Model and run."""
        return f"{self.row['model']} ({self.run.label})"


@dataclass(frozen=True)
class Recipe:
    """One metric of one cell of a recipe.

    Attributes:
        name: what the trainings are called together.
        place: the run (its index) that they stand in; None where runs are the trainings.
        row: a member's row, for what the cell is but for its model.
        members: the trainings, each once.
        spread: what they say.
    """

    name: str
    place: int | None
    row: Row
    members: tuple[Member, ...]
    spread: Spread

    @property
    def key(self) -> tuple[Any, ...]:
        """What the cell means, but for its model."""
        return cell_key(self.row)[1:]

    @property
    def metric(self) -> str:
        """The metric's name."""
        return str(self.row["metric"])


def replicates(found: History, models: Sequence[str] = (), runs: Sequence[str] = ()) -> list[Recipe]:
    """Group the trainings of a history.

    Args:
        found: the history.
        models: patterns such as ``ours-seed*``: within each run, the models whose id matches one are trainings of one
            recipe, which is called by the pattern.
        runs: the same for names of runs: the same model in those runs is trained anew in each; with ``models``, too,
            all matching models of all matching runs are trainings of one recipe.

    A model whose weights are another member's as well is no training of its own and counts once.

    Raises:
        UsageError: a pattern that matches nothing, or two patterns that match the same.
    """
    ids = list(dict.fromkeys(str(series.row["model"]) for series in found.series))
    labels = [run.label for run in found.runs]
    by_model, by_run = _assigned(models, ids, "model"), _assigned(runs, labels, "run")
    groups: dict[tuple[Any, ...], list[Member]] = {}
    for series in found.series:
        model = str(series.row["model"])
        if series.metric in COSTS or (models and model not in by_model):
            continue
        for place, (run, point) in enumerate(zip(found.runs, series.points, strict=True)):
            if point.row is None or (runs and run.label not in by_run) or not (models or runs):
                continue
            where: int | str = by_run[run.label] if runs else place
            key = (by_model.get(model, model), where, cell_key(series.row)[1:], series.metric)
            groups.setdefault(key, []).append(Member(run, place, point.row))
    return [_recipe(key[0], key[1], members) for key, members in groups.items()]


def _assigned(patterns: Sequence[str], names: Sequence[str], what: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pattern in patterns:
        matched = [name for name in names if fnmatchcase(name, pattern)]
        if not matched:
            raise UsageError(f"no {what} matches {pattern!r}; they are {', '.join(names)}")
        for name in matched:
            if name in found:
                raise UsageError(f"{what} {name} matches both {found[name]!r} and {pattern!r}")
            found[name] = pattern
    return found


def _recipe(name: str, where: int | str, members: Sequence[Member]) -> Recipe:
    once: dict[str, Member] = {}
    for member in members:
        if member.row["value"] is not None:
            once.setdefault(_weights(member), member)
    own = tuple(once.values())
    called = f"{name} in {where}" if isinstance(where, str) else name
    place = None if isinstance(where, str) else where
    row = own[0].row if own else members[0].row
    told = next((fields for member in own if (fields := differing_fields(row, member.row))), None)
    if told:
        field, one, other = told[0]
        reason = f"trainings are scored differently: {field} is {one} and {other}"
        return Recipe(called, place, row, own, Spread(len(own), None, reason=reason))
    found = spread([score_of(RunSide(member.run.side.path, []), member.row) for member in own])
    return Recipe(called, place, row, own, found)


def _weights(member: Member) -> str:
    """What tells a training apart: its weights, where the run has stored them; else the cell, else where it stands."""
    cell = str(member.row["cell"])
    try:
        identity = read_sealed(Store(member.run.side.path).folder(cell) / "cell.json")["identity"]
        return str(identity["model"]["weights"])
    except (StoreError, KeyError, TypeError):
        return cell
