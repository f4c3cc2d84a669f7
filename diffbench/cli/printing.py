"""Printing that outlives its reader: what ``head`` no longer reads is dropped, and the command goes on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from diffbench.inert import printable, terminal_lines
from diffbench.terminal import lively


def say(line: object, err: bool = False) -> None:
    """Print one line, or several; names in it can't act on the terminal."""
    _print(terminal_lines(line), err)


def _print(text: str, err: bool = False) -> None:
    stream = sys.stderr if err else sys.stdout
    try:
        click.echo(text, file=stream)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def draw(renderable: Any) -> None:
    """Print a rich table, of texts that are printable, at the terminal's width; elsewhere plain, in 100 columns."""
    import shutil
    from io import StringIO

    from rich.console import Console

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    text = StringIO()
    console = Console(file=text, width=width, markup=False, highlight=False, force_terminal=lively(sys.stdout))
    console.print(renderable)
    _print("\n".join(line.rstrip() for line in text.getvalue().rstrip("\n").splitlines()))


def rows_as_json(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as one JSON array."""
    say(json.dumps(list(rows), allow_nan=False))


def show(rows: Sequence[Mapping[str, Any]], as_json: bool, columns: Sequence[str]) -> None:
    """Print rows as JSON, or some of their columns as a table."""
    if as_json:
        rows_as_json(rows)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text(printable(row[column])) for column in columns))
    draw(table)


def show_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print labels with their texts, which wrap beside them."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in pairs:
        table.add_row(label, printable(text))
    draw(table)
