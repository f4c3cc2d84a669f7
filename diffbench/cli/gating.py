"""A comparison's outcome: what is printed and written of it, and the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from diffbench.cli.printing import draw, rows_as_json, say
from diffbench.errors import IncompleteRun, Inconclusive, Regression

if TYPE_CHECKING:
    from diffbench.comparison.compare import Comparison
    from diffbench.comparison.side import Side
    from diffbench.suite.gates import Comparing, FailOn


@dataclass(frozen=True)
class Outputs:
    """Where a comparison goes: the terminal, as JSON or a table (of ``everything``, or of what differs), and files."""

    everything: bool = False
    as_json: bool = False
    markdown: Path | None = None
    html: Path | None = None
    junit: Path | None = None


def conclude(found: Comparison, sides: tuple[Side, Side], outputs: Outputs, fail_on: FailOn) -> None:
    """Write and print a comparison.

    Raises:
        Regression: a gated score is worse, unless ``fail_on`` is ``nothing``.
        IncompleteRun: something is missing on either side, unless ``fail_on`` is ``nothing``.
        Inconclusive: a gate could not be told, if ``fail_on`` is ``inconclusive``.
        StoreError: a file can't be written.
    """
    from diffbench.comparison.rows import as_rows
    from diffbench.report.comparison import as_junit, as_markdown
    from diffbench.report.pairs import comparison_page
    from diffbench.store.atomic import write_atomically

    if outputs.markdown is not None:
        write_atomically(outputs.markdown, as_markdown(found).encode())
    if outputs.html is not None:
        write_atomically(outputs.html, comparison_page(found, *sides).encode())
    if outputs.junit is not None:
        write_atomically(outputs.junit, as_junit(found))
    if outputs.as_json:
        rows_as_json(as_rows(found))
    else:
        tell(found, outputs.everything)
    end(found, fail_on)


def hold(run: Path, comparing: Comparing) -> Comparison:
    """Compare a run with its suite's baseline; writes ``comparison.md`` and ``comparison.html`` into the run folder.

    Raises StoreError, or UsageError where the scores can't be compared.
    """
    from diffbench.comparison.baseline import open_side
    from diffbench.comparison.compare import compare
    from diffbench.comparison.side import RunSide
    from diffbench.report.comparison import as_markdown
    from diffbench.report.pairs import comparison_page
    from diffbench.store.atomic import write_atomically
    from diffbench.store.manifest import write_manifest

    sides = open_side(near(comparing.baseline)), RunSide.open(run)
    found = compare(*sides, comparing.margins, comparing.alpha, comparing.adjust)
    write_atomically(run / "comparison.md", as_markdown(found).encode())
    write_atomically(run / "comparison.html", comparison_page(found, *sides).encode())
    write_manifest(run, only=["comparison.md", "comparison.html"])
    return found


def near(path: str) -> Path:
    """A path as one would type it: relative to the working folder, if it lies inside."""
    try:
        return Path(path).relative_to(Path.cwd())
    except ValueError:
        return Path(path)


def tell(found: Comparison, everything: bool = False) -> None:
    """Print a comparison as a table with its notes."""
    from diffbench.report.comparison import comparison_table, headline, notes
    from diffbench.report.tables import wrapped_table

    content = comparison_table(found, everything)
    if content.rows:
        draw(wrapped_table(content, widest=40))
    say(headline(found))
    for note in notes(found):
        say(f"- {note}")


def end(found: Comparison, fail_on: FailOn) -> None:
    """The exception that a comparison ends with, if any: see :func:`conclude`."""
    from diffbench.document.words import counted

    outcome = found.outcome(fail_on)
    if outcome == "worse":
        raise Regression(f"{found.new} is worse than {found.base} in {counted(found.count('WORSE'), 'gated score')}")
    if outcome == "missing":
        more = f" and {len(found.gaps) - 1} more" if len(found.gaps) > 1 else ""
        raise IncompleteRun(f"no verdict, for something is missing: {found.gaps[0]}{more}")
    if outcome == "inconclusive":
        raise Inconclusive(f"not every gated score of {found.new} could be told from {found.base}")
