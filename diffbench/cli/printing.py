"""Printing that outlives its reader: what ``head`` no longer reads is dropped, and the command goes on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from diffbench.terminal import lively


def say(line: object, err: bool = False) -> None:
    """Print one line."""
    stream = sys.stderr if err else sys.stdout
    try:
        click.echo(str(line), file=stream)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def draw(renderable: Any) -> None:
    """Print a rich table at the terminal's width; elsewhere with 100 columns, and without escape codes."""
    import shutil
    from io import StringIO

    from rich.console import Console

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    text = StringIO()
    console = Console(file=text, width=width, markup=False, highlight=False, force_terminal=lively(sys.stdout))
    console.print(renderable)
    say("\n".join(line.rstrip() for line in text.getvalue().rstrip("\n").splitlines()))


def rows_as_json(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as one JSON array."""
    say(json.dumps(list(rows), allow_nan=False))


def show(rows: Sequence[Mapping[str, Any]], as_json: bool, columns: Sequence[str]) -> None:
    """Print rows as JSON, or some of their columns as a table."""
    if as_json:
        rows_as_json(rows)
        return
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    draw(table)
