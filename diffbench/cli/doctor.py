"""``doctor``: what is here, and what is missing."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from diffbench.cli import completion
from diffbench.cli.group import as_json as _json
from diffbench.cli.printing import draw, rows_as_json, say
from diffbench.errors import NotReady
from diffbench.inert import printable

if TYPE_CHECKING:
    from diffbench.runner.doctor import Finding

_MARKS = {"ok": ("ok", ""), "absent": ("–", ""), "wrong": ("!!", "bold")}


@click.command(short_help="What is missing here: packages, devices, weights, disk.")
@click.argument("suite", required=False, shell_complete=completion.suites)
@_json
def doctor(suite: str | None, as_json: bool) -> None:
    """Look at what this machine offers: packages, devices and who else uses them, weights and references, disk.

    Every file is hashed. With SUITE, what that suite needs is needed: its models' files, extractors and references,
    its device, and its disk space. Nothing is changed or downloaded.

    Exit codes: 0 fine (what only other work would need may be absent), 3 something that is needed is missing, damaged
    or too old.
    """
    from diffbench.document.words import counted
    from diffbench.runner.doctor import examine
    from diffbench.suite.read import find_suite, read_suite

    found = examine(None if suite is None else read_suite(find_suite(suite)))
    if as_json:
        rows_as_json([one.to_dict() for one in found])
    else:
        _print(found)
    wrong = [one.name for one in found if one.state == "wrong"]
    if wrong:
        raise NotReady(f"{counted(len(wrong), 'thing')} to mend: {', '.join(wrong)}")
    if not as_json:
        say("Fine.")


def _print(found: list[Finding]) -> None:
    """A group a paragraph; packages that are as they should be stand together."""
    from rich.table import Table
    from rich.text import Text

    for group, members in groupby(found, lambda one: one.group):
        table = Table.grid(padding=(0, 2, 0, 0))
        for column in ("mark", "name"):
            table.add_column(column, no_wrap=True)
        table.add_column("detail", overflow="fold")
        shown = list(members)
        if group == "packages":
            whole = [one for one in shown if one.state == "ok"]
            table.add_row("ok", f"{len(whole)} of {len(shown)}", ", ".join(f"{one.name} {one.detail}" for one in whole))
            shown = [one for one in shown if one.state != "ok"]
        for one in shown:
            mark, style = _MARKS[one.state]
            sha256 = f"; sha256 {one.sha256[:12]}…" if one.sha256 else ""
            advice = f"\n→ {printable(one.advice)}" if one.advice else ""
            table.add_row(Text(mark, style), Text(printable(one.name), style), printable(one.detail) + sha256 + advice)
        draw(Text(group, style="bold"))
        draw(table)
        say("")
