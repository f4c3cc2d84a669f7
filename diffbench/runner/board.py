"""The state of every cell of a run on one screen: a row for each model and sampler, a column for each budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from diffbench.document.words import swept
from diffbench.suite.plan import Cell
from diffbench.terminal import cut

_AROUND = 4
"""Lines of a terminal that are not the board's: the bar, the heading, what was left out, the prompt."""
_WIDEST_NAME = 24
_GAP = 2

_SIGNS = {"waiting": "·", "done": "✓", "failed": "✗", "skipped": "–", "": " "}
_PLAIN = {"waiting": ".", "done": "*", "failed": "x", "skipped": "-", "": " "}
_STYLES = {"done": "green", "failed": "bold red", "working": "bold", "waiting": "", "skipped": "dim", "": ""}

Row = tuple[str, str]


@dataclass
class Board:
    """Cells in the plan's order; those that share samples are one, in as many places.

    Attributes:
        cells: what is shown; ``shares`` says how much of each is sampled, from 0 to 1.
        failed: ids of cells that could not be sampled.
        working: id of the cell that is being sampled.
    """

    cells: Sequence[Cell]
    shares: dict[str, float]
    failed: set[str] = field(default_factory=set)
    working: str | None = None

    @classmethod
    def of(cls, cells: Sequence[Cell], missing: Mapping[str, int], failed: Iterable[str]) -> Board:
        """``missing``: how many samples of each cell, by id, are to be made; nothing is missing of the others."""
        shares = {cell.id: 1 - missing.get(cell.id, 0) / cell.n for cell in cells}
        return cls(cells, shares, set(failed))

    def add(self, cell: Cell, samples: float) -> None:
        """Note that so many more samples of a cell are there."""
        if cell.id in self.shares:
            self.shares[cell.id] = min(1.0, self.shares[cell.id] + samples / cell.n)

    def state(self, cell: Cell) -> str:
        """``skipped``, ``failed``, ``working``, ``done`` or ``waiting``."""
        if cell.skip is not None:
            return "skipped"
        if cell.id in self.failed:
            return "failed"
        if cell.id == self.working:
            return "working"
        return "done" if self.shares[cell.id] > 1 - 1e-9 else "waiting"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw what fits into the terminal: the rows around the one that is being worked on."""
        signs = _SIGNS if (options.encoding or "").lower().startswith("utf") else _PLAIN
        yield from self.lines(options.max_width, max(3, console.height - _AROUND), signs)

    def lines(self, width: int, height: int, signs: Mapping[str, str] = _SIGNS) -> list[Text]:
        """At most ``height`` rows beside the heading, and a line about the others; at most ``width`` columns."""
        table: dict[Row, dict[str, Cell]] = {}
        for cell in self.cells:
            table.setdefault(_row(cell), {})[_budget(cell)] = cell
        budgets = list(dict.fromkeys(_budget(cell) for cell in self.cells))
        widest = min(_WIDEST_NAME, width // 3)
        names = [min(widest, max(map(cell_len, column))) for column in zip(*table, strict=True)]
        left = width - sum(names) - _GAP * len(names)
        widths = [max(4, len(budget)) + 1 for budget in budgets]
        narrow = sum(widths) > left
        if narrow:  # one sign a cell
            budgets, widths = budgets[: max(0, left)], [1] * len(budgets[: max(0, left)])
        chosen = self._window(list(table), height)
        heading = "" if narrow else "".join(f"{budget:>{size}}" for budget, size in zip(budgets, widths, strict=True))
        lines = [Text(" " * (sum(names) + _GAP * len(names)) + heading, style="dim")]
        before = None
        for row in chosen:
            shown = ("" if row[0] == before else row[0], row[1])
            line = Text("".join(set_cell_size(cut(*one), one[1] + _GAP) for one in zip(shown, names, strict=True)))
            for budget, size in zip(budgets, widths, strict=True):
                line.append(*self._sign(table[row].get(budget), size, narrow, signs))
            lines.append(line)
            before = row[0]
        return lines + self._others(table, chosen, width)

    def _sign(self, cell: Cell | None, size: int, narrow: bool, signs: Mapping[str, str]) -> tuple[str, str]:
        state = "" if cell is None else self.state(cell)
        if cell is None or state != "working":
            return f"{signs[state]:>{size}}", _STYLES[state]
        share = int(100 * self.shares[cell.id])
        return (str(share // 10 % 10) if narrow else f"{share:>{size - 1}}%"), _STYLES[state]

    def _window(self, rows: list[Row], height: int) -> list[Row]:
        """As many rows as fit, with the one that is being worked on as near to their middle as can be."""
        at = next((rows.index(_row(cell)) for cell in self.cells if cell.id == self.working), 0)
        first = min(max(0, at - height // 2), max(0, len(rows) - height))
        return rows[first : first + height]

    def _others(self, table: Mapping[Row, Mapping[str, Cell]], chosen: Sequence[Row], width: int) -> list[Text]:
        hidden = [cell for row, cells in table.items() if row not in chosen for cell in cells.values()]
        counts = Counter(self.state(cell) for cell in hidden)
        told = ", ".join(f"{count} {state}" for state, count in counts.items())
        more = cut(f"and {len(table) - len(chosen)} more rows: {told}", width)
        return [Text(more, style="dim")] if hidden else []


def _row(cell: Cell) -> Row:
    options = ",".join(swept(key, value) for key, value in cell.options.items())
    return cell.model, f"{cell.sampler} {options}".rstrip()


def _budget(cell: Cell) -> str:
    return "own steps" if cell.budget is None else f"{cell.budget_kind} {cell.budget}"
