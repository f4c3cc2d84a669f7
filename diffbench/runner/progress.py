"""What the user sees while a run goes on: a live line in a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import os
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from diffbench.inert import printable


class _Console(Console):
    """Stderr that nobody reads any more is no reason to stop."""

    def on_broken_pipe(self) -> None:
        """Print to nowhere from now on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


class Progress:
    """Phases of a run, each with a total in units of its own (evaluations, seconds, cells) and a count of cells.

    Off a terminal a line is printed at most every ``every`` seconds.
    """

    def __init__(self, quiet: bool = False, every: float = 20.0) -> None:
        self._quiet, self._every = quiet, every
        self._console = _Console(stderr=True)
        self._live: RichProgress | None = None
        self._task: TaskID | None = None
        self._phase, self._detail, self._total, self._done = "", "", 0.0, 0.0
        self._begin = self._last = time.monotonic()

    def __enter__(self) -> Progress:
        if not self._quiet and self._console.is_terminal:
            self._live = RichProgress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[cells]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def begin(self, phase: str, total: float) -> None:
        """Start a phase; a phase with nothing to do is not shown."""
        self._phase, self._detail, self._total, self._done = phase, "", total, 0.0
        self._begin = self._last = time.monotonic()
        if self._live is not None:
            if self._task is not None:
                self._live.remove_task(self._task)
            self._task = self._live.add_task(phase, total=max(total, 1e-9), cells="") if total else None

    def describe(self, detail: str, counter: str = "") -> None:
        """Say what is being worked on, and how far along it stands (such as ``7/48 cells``)."""
        self._detail = detail
        if self._live is not None and self._task is not None:
            self._live.update(self._task, description=printable(f"{self._phase} {detail}"), cells=counter)
        elif not self._quiet and counter and time.monotonic() - self._last >= self._every:
            self._plain(f"{counter} · {detail}")

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
        left = f", {spent * (self._total / self._done - 1):.0f} s left" if self._done else ""
        share = 100 * self._done / self._total if self._total else 100
        self.note(f"{self._phase} {share:3.0f}% ({spent:.0f} s{left}) {detail}".rstrip())
