"""What the user sees while a run goes on: one live screen in a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from diffbench.inert import printable
from diffbench.runner.board import Board
from diffbench.status.show import duration
from diffbench.suite.plan import Cell
from diffbench.terminal import lively


class _Console(Console):
    """Stderr that nobody reads any more is no reason to stop."""

    def on_broken_pipe(self) -> None:
        """Print to nowhere from now on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


class _Screen(RichProgress):
    """A bar, and below it the board of cells while there is one."""

    board: Board | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar first, so that a window that is too low still shows it."""
        yield from super().get_renderables()
        if self.board is not None:
            yield self.board


class _Left(TimeRemainingColumn):
    """The time left, where it is known."""

    def render(self, task: Task) -> Text:
        """``left 0:01:23``."""
        return Text("") if task.total is None else Text("left ").append_text(super().render(task))


class Progress:
    """Phases of a run, each with a total in units of its own (seconds expected, cells) and a count of cells.

    Off a terminal a line is printed at most every ``every`` seconds.
    """

    def __init__(self, quiet: bool = False, every: float = 20.0) -> None:
        self._quiet, self._every = quiet, every
        self._console = _Console(stderr=True, force_terminal=lively(sys.stderr), highlight=False)
        self._live: _Screen | None = None
        self._task: TaskID | None = None
        self._board: Board | None = None
        self._phase, self._detail, self._total, self._done = "", "", 0.0, 0.0
        self._begin = self._last = time.monotonic()

    def __enter__(self) -> Progress:
        if not self._quiet and self._console.is_terminal:
            self._live = _Screen(
                TextColumn("{task.description}", style="bold", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[cells]}", markup=False),
                TimeElapsedColumn(),
                _Left(),
                console=self._console,
                transient=True,
                refresh_per_second=4,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def begin(self, phase: str, total: float | None, board: Board | None = None) -> None:
        """Start a phase; one with nothing to do is not shown. ``total`` None: nobody knows how long it takes."""
        self._phase, self._detail, self._total, self._done = phase, "", total or 0.0, 0.0
        self._begin = self._last = time.monotonic()
        self._board = board
        if self._live is not None:
            self._live.board = board
            if self._task is not None:
                self._live.remove_task(self._task)
            self._task = None if total == 0 else self._live.add_task(phase, total=total, cells="")

    def describe(self, detail: str, counter: str = "", cell: Cell | None = None) -> None:
        """Say what is being worked on, and how far along it stands (such as ``7/48 cells``)."""
        self._detail = detail
        if self._board is not None:
            self._board.working = None if cell is None else cell.id
        if self._live is not None and self._task is not None:
            shown = self._phase if self._board is not None else f"{self._phase} {detail}"
            self._live.update(self._task, description=printable(shown), cells=counter)
        elif not self._quiet and counter and time.monotonic() - self._last >= self._every:
            self._plain(f"{counter} · {detail}")

    def sampled(self, cell: Cell, samples: float) -> None:
        """Show that so many more samples of a cell are there."""
        if self._board is not None:
            self._board.add(cell, samples)

    def failed(self, cell: Cell) -> None:
        """Show that a cell could not be sampled."""
        if self._board is not None:
            self._board.failed.add(cell.id)

    def advance(self, amount: float) -> None:
        """Add to what is done of the phase."""
        self.reach(self._done + amount)

    def reach(self, done: float) -> None:
        """Set what is done of the phase."""
        self._done = done
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=min(done, self._total))
        elif not self._quiet and self._live is None and time.monotonic() - self._last >= self._every:
            self._plain(self._detail)

    def note(self, line: str) -> None:
        """Print one line that stays."""
        if not self._quiet:
            self._console.print(Text(printable(line)), soft_wrap=True)

    def _plain(self, detail: str) -> None:
        self._last = time.monotonic()
        spent = self._last - self._begin
        left = f", {duration(spent * (self._total / self._done - 1))} left" if self._done else ""
        share = 100 * self._done / self._total if self._total else 100
        self.note(f"{self._phase} {share:3.0f}% ({duration(spent)}{left}) {detail}".rstrip())
