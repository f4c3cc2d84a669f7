"""Tables for a terminal of any width: where it is too narrow, names lose their middle, and numbers nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from diffbench.terminal import cut, cut_apart

_GAP = 2
_NARROWEST = 6


@dataclass(frozen=True)
class Columns:
    """Rows of text, drawn to the width that there is; an empty row separates groups.

    ``numbers``: columns set flush right. ``whole``: those that are never cut; the numbers, and such as a state.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[Text]]
    numbers: Collection[int] = ()
    whole: Collection[int] = ()

    def widths(self, room: int) -> list[int]:
        """Columns of the terminal for each column: the longest entry, and where that is too much, less for names."""
        lines = [[cell_len(name) for name in self.names], *([cell_len(one.plain) for one in row] for row in self.rows)]
        found = [max(column) for column in zip(*(line for line in lines if line), strict=True)]
        names = [place for place in range(len(found)) if place not in self.numbers and place not in self.whole]
        room -= _GAP * (len(found) - 1)
        while names and sum(found) > room:
            widest = max(names, key=lambda place: found[place])
            if found[widest] <= _NARROWEST:
                break
            found[widest] -= 1
        return found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table."""
        widths = self.widths(options.max_width)
        drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
        for place, (name, width) in enumerate(zip(self.names, widths, strict=True)):
            right = place in self.numbers
            drawn.add_column(cut(name, width), justify="right" if right else "left", no_wrap=True, min_width=width)
        columns = [[row[place].plain for row in self.rows if row] for place in range(len(widths))]
        texts = [cut_apart(column, width) for column, width in zip(columns, widths, strict=True)]
        for row in self.rows:
            drawn.add_row(*(Text(cuts[one.plain], one.style) for one, cuts in zip(row, texts, strict=False)))
        yield drawn
