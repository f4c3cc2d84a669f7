"""``draw``: a run folder to its figures, tables and pages, from its files alone and without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffbench.document.words import counted, slug
from diffbench.report import convergence, figures
from diffbench.report.answers import curves, untimed
from diffbench.report.content import Content, Picture, content, marks
from diffbench.report.folder import RunFolder, open_run
from diffbench.report.frame import main_metric, models, title
from diffbench.report.grids import TILE, grids
from diffbench.report.html import render_html, render_markdown
from diffbench.report.iso_figure import iso_quality
from diffbench.report.iso_figure import stem as iso_stem
from diffbench.report.page_data import page_data
from diffbench.report.pareto import pareto
from diffbench.report.tables import Table, latex, markdown
from diffbench.report.themes import style
from diffbench.results import csv_bytes
from diffbench.store.atomic import write_atomically


def draw(run: Path) -> list[Path]:
    """Draw ``figures/``, ``tables/``, ``report.md`` and ``report.html`` into the run folder; returns the files.

    Raises:
        StoreError: the folder holds no results, or one of its files is corrupt; names the file.
    """
    return draw_into(open_run(run), run)


def draw_into(run: RunFolder, out: Path, theme: str = "paper") -> list[Path]:
    """The same of a run, or of several seen as one, into any folder. Raises StoreError, and UsageError for a theme."""
    drawn = _figures(run, out / "figures", theme)
    page = content(run, _pictures(run, {path.name for path in drawn}))
    metric = main_metric(run.cells)
    data = page_data(run, curves(run, metric) if metric else [])
    tables = _tables(page, out / "tables")
    written = {"report.md": render_markdown(page), "report.html": render_html(page, out / "figures", data)}
    for name, text in written.items():
        write_atomically(out / name, text.encode())
    return [out / "report.html", out / "report.md", *drawn, *tables]


def _figures(run: RunFolder, folder: Path, theme: str) -> list[Path]:
    metric = main_metric(run.cells)
    with style(theme):
        if metric is None:
            return grids(run, None, folder)
        evaluations = "evaluations per sample (NFE)"
        solved = [path for m in convergence.solver_errors(run) for path in convergence.convergence(run, m, folder)]
        if metric in convergence.solver_errors(run):  # alone: its one figure says what the others would
            return [*solved, *iso_quality(run, metric, curves(run, metric), folder), *grids(run, metric, folder)]
        return [
            *solved,
            *figures.quality_against(run, metric, figures.evaluations, f"{slug(metric)}_vs_nfe", evaluations, folder),
            *figures.quality_against(
                run, metric, figures.seconds, f"{slug(metric)}_vs_seconds", "seconds per image", folder
            ),
            *pareto(run, metric, folder),
            *iso_quality(run, metric, curves(run, metric), folder),
            *grids(run, metric, folder),
        ]


def _pictures(run: RunFolder, files: set[str]) -> list[Picture]:
    """The figures that were drawn, in the page's order, with their captions."""
    metric = main_metric(run.cells) or ""
    name, bars = title(metric), marks(run, [metric])
    left = len(untimed(run.cells, metric))
    out = f" {counted(left, 'scored cell')} without a time {'is' if left == 1 else 'are'} left out." if left else ""
    wanted = [
        (
            f"{slug(metric)}_vs_nfe",
            f"{name} against evaluations per sample. {bars}",
            f"{name} against NFE, one panel a model",
        ),
        (
            f"{slug(metric)}_vs_seconds",
            f"{name} against seconds per image. {bars}",
            f"{name} against seconds per image, one panel a model",
        ),
        (
            "pareto",
            f"{name} against seconds per image, all models. The line is the front: no cell of this run is both as fast "
            f"and as good as one on it, by point values; pale cells are dominated.{out}",
            f"{name} against seconds per image, with the front",
        ),
        (
            iso_stem(metric),
            f"Evaluations per sample at which a sampler first reaches a given {name}; between two measured budgets its "
            "curve is taken as straight in log cost and log score. Bands are where the curves of the better and the "
            "worse ends of the 95% intervals reach it, cut off at the measured budgets. "
            "An axis ends at the worst score that two samplers reach so.",
            f"Evaluations needed against the {name} to reach, one panel a model",
        ),
    ]
    for metric in convergence.solver_errors(run):
        wanted.append(
            (convergence.stem(metric), convergence.caption(run, metric), f"{title(metric)} against NFE, log-log")
        )
    static = [convergence.stem(metric) for metric in convergence.solver_errors(run)]
    for model in models(run.cells):
        tiles = f"{model}: samples 0 to {TILE[0] * TILE[1] - 1} of every cell; all tiles start from the same noise."
        best = f"{model}: samples of its best cell."
        wanted += [
            (f"grids_{slug(model)}", tiles, f"Samples of {model}, samplers by budgets"),
            (f"best_{slug(model)}", best, f"Samples of the best cell of {model}"),
        ]
    return [
        Picture(stem, caption, alt, f"{stem}.csv" in files, stem in static)
        for stem, caption, alt in wanted
        if f"{stem}.png" in files
    ]


def _tables(page: Content, folder: Path) -> list[Path]:
    written: list[Path] = []
    expected = None if page.expectations is None else page.expectations.table
    for name, table in (
        ("results", page.results),
        ("best", page.best),
        ("iso", page.iso),
        ("front", page.front),
        ("orders", page.orders),
        ("gaps", page.gaps),
        ("expectations", expected),
    ):
        if table is None:
            continue
        comments = page.table_notes if name == "results" else ()
        files = {"md": markdown(table).encode(), "tex": latex(table, comments).encode(), "csv": _csv(table)}
        for ending, data in files.items():
            path = folder / f"{name}.{ending}"
            write_atomically(path, data)
            written.append(path)
    return written


def _csv(table: Table) -> bytes:
    rows: list[Sequence[str]] = [[entry.text for entry in row] for row in table.rows]
    return csv_bytes(table.columns, rows)
