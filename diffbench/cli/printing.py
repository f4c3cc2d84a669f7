"""Printing that outlives its reader: what ``head`` no longer reads is dropped, and the command goes on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click


def say(line: object, err: bool = False) -> None:
    """Print one line."""
    stream = sys.stderr if err else sys.stdout
    try:
        click.echo(str(line), file=stream)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def draw(renderable: Any) -> None:
    """Print a rich table at the terminal's width, or 100 columns."""
    from io import StringIO

    from rich.console import Console

    screen = Console()
    text = StringIO()
    width = screen.width if screen.is_terminal else 100
    console = Console(file=text, width=width, markup=False, highlight=False, force_terminal=screen.is_terminal)
    console.print(renderable)
    say(text.getvalue().rstrip("\n"))


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
