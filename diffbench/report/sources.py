"""Several runs and results tables seen as one run: what differs is told apart by the run's name, and said.

A model is drawn as one where its sources have the same network (by the identity stored with their cells, or by cell
ids that both have) and scores of the same things; else its id gets the run's name, and its cells stand apart in every
figure and table. A sampler's id gets it where two sources have the same cell of it, or another method under that id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from diffbench import results
from diffbench.comparison.runs import folder_labels
from diffbench.comparison.side import RunSide, Stored
from diffbench.errors import StoreError, UsageError
from diffbench.report.doubles import without_doubles
from diffbench.report.folder import RunFolder, open_run
from diffbench.report.frame import CellView, cells, models, quality_metrics, scale, title, unique
from diffbench.report.joined import headline, joined_records
from diffbench.report.panels import Scale, differing, stands_beside
from diffbench.store.kept import Images


@dataclass(frozen=True)
class Sources(RunFolder):
    """Runs seen as one; ``parts`` by name, ``origin`` maps a cell's key to its part's name and its view there."""

    parts: Mapping[str, RunFolder] = field(default_factory=dict)
    origin: Mapping[tuple[Any, ...], tuple[str, CellView]] = field(default_factory=dict)

    def _home(self, cell: CellView) -> tuple[RunFolder, CellView]:
        name, own = self.origin[cell.key]
        return self.parts[name], own

    def floor(self, cell: CellView, metric: str) -> tuple[float, float] | None:
        """Of the cell's own run."""
        run, own = self._home(cell)
        return run.floor(own, metric)

    def method(self, cell: CellView) -> tuple[str, Mapping[str, Any]]:
        """Of the cell's own run."""
        run, own = self._home(cell)
        return run.method(own)

    def images(self, cell: CellView, count: int) -> Images:
        """Of the cell's own run."""
        run, own = self._home(cell)
        return run.images(own, count)

    def _scored(self, views: Sequence[CellView], metric: str) -> tuple[RunSide, list[dict[str, Any]]]:
        """Cells named by their run as well; samples that start from other noise are simply not correlated."""
        stored: dict[str, Stored] = {}
        rows = []
        for view in views:
            run, own = self._home(view)
            (row,) = run._scored([own], metric)[1]
            name = f"{view.source}:{own.id}"
            try:
                stored[name] = RunSide(run.path, []).stored(own.id)
            except StoreError:  # a table alone: told as not paired
                row = {**row, "se": None}
            rows.append({**row, "cell": name})
        return RunSide(self.path, [], {}, stored), rows

    @property
    def timings(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The timing pass of every run that has one."""
        return [(name, run.timing) for name, run in self.parts.items() if run.timing]


def open_sources(paths: Sequence[Path]) -> RunFolder:
    """A run folder or results table, or several seen as one.

    Raises:
        UsageError: a source is given twice.
        StoreError: a source holds no results, or one of its files is corrupt; names the file.
    """
    whole = [_whole(path.absolute()) for path in paths]
    if len(set(whole)) < len(whole):
        raise UsageError("every run is drawn once; one is given twice")
    short = [_named(path) for path in whole]
    labels = folder_labels(short if len(set(short)) == len(short) else whole)
    parts, told = without_doubles(dict(zip(labels, map(open_source, paths), strict=True)))
    run = join_sources(parts) if len(parts) > 1 else next(iter(parts.values()))
    return replace(run, told=(*told, *run.told))


def open_source(path: Path) -> RunFolder:
    """A run folder, or the results table in a file, which may lie in one. Raises StoreError."""
    path = _whole(path)
    if not path.exists():
        raise StoreError(f"{path}: no such run folder or results table")
    if not path.is_file():
        return open_run(path)
    table = results.read_file(path)
    names = table["suite"].unique()
    name = str(names[0]) if len(names) else path.stem
    return RunFolder(path=path.parent, cells=cells(table), name=name, table=table)


def report_folder(run: RunFolder, paths: Sequence[Path], out: Path | None) -> Path:
    """Where the report of these sources goes; the table that it is drawn from is written there, if it isn't there.

    Raises UsageError for the folder of another run, whose table would be lost.
    """
    own = len(paths) == 1 and paths[0].is_dir()
    folder = out or (paths[0] if own else Path("report"))
    if own and folder.absolute() == paths[0].absolute():
        return paths[0]
    if folder.exists() and (not folder.is_dir() or (folder / "suite.yaml").exists() or (folder / "cells").exists()):
        raise UsageError(f"{folder}: is a file, or the folder of a run, whose table would be lost; give another --out")
    if run.table is not None:
        results.write(run.table, folder)
    return folder


def _named(path: Path) -> Path:
    """A path whose last part is the source's name."""
    return path.parent if path.name == results.PARQUET else path.with_suffix("") if path.suffix == ".parquet" else path


def _whole(path: Path) -> Path:
    """The run folder, where a path is that of the table in one."""
    return path.parent if path.name == results.PARQUET and (path.parent / "suite.yaml").is_file() else path


def join_sources(parts: Mapping[str, RunFolder]) -> Sources:
    """Runs by name, seen as one; see the module for what is told apart."""
    named, told = _model_names(parts)
    lines, more = _line_names(parts, named)
    views: list[CellView] = []
    origin: dict[tuple[Any, ...], tuple[str, CellView]] = {}
    for part, run in parts.items():
        for own in run.cells:
            sampler = lines.get((part, own.sampler, own.options), own.sampler)
            machine = machine_of(part, run)
            view = replace(own, model=named[part, own.model], sampler=sampler, source=part, machine=machine)
            views.append(view)
            origin[view.key] = part, own
    order = list(models(views))
    views.sort(key=lambda view: order.index(view.model))
    records = joined_records(parts, named, lines)
    told = [*told, *more, *_given_apart(views), *headline(views)]
    return Sources(
        path=Path(), cells=views, name=" and ".join(parts), parts=parts, origin=origin, told=tuple(told),
        table=_joined_table(parts, named, lines), **records,
    )  # fmt: skip


def _joined_table(
    parts: Mapping[str, RunFolder], named: Mapping[tuple[str, str], str], lines: Mapping[tuple[str, str, str], str]
) -> pd.DataFrame:
    """All rows, under the names that models and samplers have now."""
    rows = [
        {
            **row,
            "model": named[part, row["model"]],
            "sampler": lines.get((part, row["sampler"], row["options"]), row["sampler"]),
        }
        for part, run in parts.items()
        if run.table is not None
        for row in results.rows(run.table)
    ]
    return results.frame(rows)


def machine_of(part: str, run: RunFolder) -> str:
    """The device that a run was timed on, as its provenance names it; one of its own where it does not."""
    device = run.provenance.get("device")
    if not isinstance(device, Mapping) or not device.get("name"):
        return f"the unnamed machine of {part}"
    threads = f", {device['threads']} threads" if device.get("threads") else ""
    return f"{device['name']} ({device.get('type', 'device')}{threads})"


@dataclass(frozen=True)
class _Member:
    """A model as one source has it."""

    part: str
    run: RunFolder
    cells: tuple[CellView, ...]

    @property
    def network(self) -> str | None:
        known = (self.run.model_identity(cell) for cell in self.cells)
        return next((one for one in known if one is not None), None)

    def scales(self, metric: str) -> list[Scale]:
        return list(dict.fromkeys(scale(c, metric) for c in self.cells if c.value(metric) is not None))


def _model_names(parts: Mapping[str, RunFolder]) -> tuple[dict[tuple[str, str], str], list[str]]:
    """What each source's models are called, and why some are told apart."""
    named: dict[tuple[str, str], str] = {}
    told: list[str] = []
    for model in unique(cell.model for run in parts.values() for cell in run.cells):
        members = [_Member(part, run, tuple(c for c in run.cells if c.model == model)) for part, run in parts.items()]
        groups: list[list[_Member]] = []
        for member in (one for one in members if one.cells):
            reasons = [next((why for one in group if (why := _other(one, member))), None) for group in groups]
            fitting = next((group for group, why in zip(groups, reasons, strict=True) if why is None), None)
            if fitting is not None:
                fitting.append(member)
                continue
            told += [f"{model} of {group[0].part} and of {member.part} stand apart: {why}." for group, why in
                     zip(groups, reasons, strict=True)]  # fmt: skip
            groups.append([member])
        for group in groups:
            label = model if len(groups) == 1 else f"{model} [{', '.join(member.part for member in group)}]"
            named |= {(member.part, model): label for member in group}
    return named, told


def _other(one: _Member, other: _Member) -> str | None:
    """Why two sources' models of one id are not drawn as one; None if they are."""
    for metric in quality_metrics(one.cells):
        first, second = one.scales(metric), other.scales(metric)
        if first and second and set(first) != set(second):
            said = next((text for a in first for b in second if (text := differing(a, b))), "")
            return f"{title(metric)} differs in {said}"
    if {cell.id for cell in one.cells} & {cell.id for cell in other.cells}:
        return None
    if one.network is None or other.network is None:
        return "no identity of the network is stored with one of them"
    return None if one.network == other.network else "they are different networks, or differ in precision or clipping"


def _line_names(
    parts: Mapping[str, RunFolder], named: Mapping[tuple[str, str], str]
) -> tuple[dict[tuple[str, str, str], str], list[str]]:
    """Other names for the samplers, with their swept options, whose lines would run into another source's."""
    renamed: dict[tuple[str, str, str], str] = {}
    told: list[str] = []
    for first, second in combinations(parts, 2):
        shared = {(sampler, options) for _, sampler, options in _lines(parts[first], first, named)}
        shared &= {(sampler, options) for _, sampler, options in _lines(parts[second], second, named)}
        for sampler, options in sorted(shared):
            why = _clash(parts, (first, second), named, sampler, options)
            if why is not None:
                told.append(f"{sampler} of {first} and of {second} are drawn apart: {why}.")
                renamed |= {(part, sampler, options): f"{sampler} [{part}]" for part in (first, second)}
    return renamed, unique(told)


def _lines(run: RunFolder, part: str, named: Mapping[tuple[str, str], str]) -> set[tuple[str, str, str]]:
    return {(named[part, cell.model], cell.sampler, cell.options) for cell in run.cells if not cell.given}


def _clash(
    parts: Mapping[str, RunFolder], pair: tuple[str, str], named: Mapping[tuple[str, str], str], sampler: str,
    options: str,
) -> str | None:  # fmt: skip
    """Why one sampler's cells of two sources can't be one line of any model that they share; None if they can."""
    sides = [
        [(named[p, c.model], c, parts[p]) for c in parts[p].cells if (c.sampler, c.options) == (sampler, options)]
        for p in pair
    ]
    for model, one, run in sides[0]:
        for other_model, other, other_run in sides[1]:
            if model != other_model:
                continue
            if one.key == other.key:
                return "both have such cells"
            methods = run.method_identity(one), other_run.method_identity(other)
            if one.grid != other.grid or methods[0] != methods[1]:
                return "they are different methods, or use different grids"
    return None


def _given_apart(views: Sequence[CellView]) -> list[str]:
    """What is to be said of images from elsewhere."""
    given = [cell for cell in views if cell.given]
    told = []
    for cell in given:
        for metric in quality_metrics([cell]):
            own, others = scale(cell, metric), unique_scales(views, metric)
            if others and not any(stands_beside(own, other) for other in others):
                why = f"{title(metric)} differs in {differing(own, others[0])}"
                told.append(f"{cell.model} stands beside no sampler: {why}.")
                break
    if given:
        told.append("Images that were given as 8-bit files stand beside samples whatever quantiser made them.")
    return told


def unique_scales(views: Sequence[CellView], metric: str) -> list[Scale]:
    """The scales of a metric among the cells of samplers."""
    return list(dict.fromkeys(scale(c, metric) for c in views if not c.given and c.value(metric) is not None))
