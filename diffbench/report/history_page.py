"""A history's files: frames as CSV and parquet, figures, and a page in Markdown."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from diffbench.comparison.history import History
from diffbench.comparison.history_rows import COLUMNS, SPREAD, as_rows, frame_of, spread_rows
from diffbench.comparison.replicates import Recipe
from diffbench.inert import markdown_text
from diffbench.report import history_tables as tables
from diffbench.report.history import draw_history
from diffbench.report.replicates import draw_replicates
from diffbench.report.style import paper_style
from diffbench.report.tables import markdown
from diffbench.results import csv_bytes
from diffbench.store.atomic import write_atomically


def write_history(found: History, recipes: Sequence[Recipe], folder: Path) -> list[Path]:
    """Write ``history.csv``, ``.parquet``, ``.png``, ``.pdf``, ``.svg``, ``.md`` (and those of replicates)."""
    rows = as_rows(found)
    files = {"history.csv": csv_bytes(list(COLUMNS), [list(row.values()) for row in rows])}
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame_of(rows, COLUMNS), preserve_index=False), buffer)
    files["history.parquet"] = buffer.getvalue()
    if recipes:
        spreads = [list(row.values()) for row in spread_rows(found, recipes)]
        files["replicates.csv"] = csv_bytes(list(SPREAD), spreads)
    for name, content in files.items():
        write_atomically(folder / name, content)
    with paper_style():
        trained = {
            str(member.row["model"]) for recipe in recipes if recipe.place is not None for member in recipe.members
        }
        drawn, told = draw_history(found, folder, sorted(trained))
        more, left_out = draw_replicates(found, recipes, folder)
        drawn, told = [*drawn, *more], [*told, *left_out]
    page = folder / "history.md"
    write_atomically(page, _page(found, recipes, [path.stem for path in drawn if path.suffix == ".png"], told).encode())
    return [page, *(folder / name for name in files), *drawn]


_CAPTIONS = {
    "history": "Bars are 95% intervals of each value alone; steps are tested by paired differences, which are finer, "
    "and ringed where they are real. No line goes over a gap, or over a dotted line, where scores are of other things.",
    "replicates": "Trainings of one recipe with other seeds: how far they lie apart, beside how far sampling alone "
    "would move them.",
}


def _page(found: History, recipes: Sequence[Recipe], figures: Sequence[str], told: Sequence[str]) -> str:
    lines = ["# History", "", markdown(tables.runs_table(found))]
    for stem in figures:
        lines += [f"![{stem}]({stem}.png)", "", markdown_text(_CAPTIONS[stem]), ""]
    lines += [f"- {markdown_text(line)}" for line in told]
    lines += ["", "## Scores", "", markdown(tables.history_table(found))]
    lines += [f"- {markdown_text(note)}" for note in tables.notes(found)]
    if recipes:
        lines += ["", "## Replicates", "", markdown(tables.spread_table(found, recipes))]
        lines += [f"- {markdown_text(note)}" for note in tables.spread_notes(recipes)]
    return "\n".join([*lines, ""])
