"""What is shown while a run goes on: in terminals of any size, and where there is none."""

import io
import sys

import pytest
from rich.cells import cell_len

from diffbench.runner.board import Board
from diffbench.runner.progress import Progress
from diffbench.suite.plan import plan
from diffbench.suite.read import find_suite, read_suite, suite_from_objects


def cells_of(name):
    return plan(read_suite(find_suite(name)))


def board(cells, made=()):
    """A board on which all samples of the cells ``made`` are there, and none of the others."""
    return Board.of(cells, {cell.id: 0 if cell in made else cell.n for cell in cells}, [])


def text(found, width=100, height=40):
    return [line.plain for line in found.lines(width, height)]


def test_states():
    cells = cells_of("quickstart")
    found = board(cells, cells[:4])
    found.failed.add(cells[5].id)
    found.working = cells[6].id
    found.add(cells[6], cells[6].n // 4)
    assert [found.state(cell) for cell in cells[3:8]] == ["done", "waiting", "failed", "working", "waiting"]
    lines = text(found)
    assert lines[0].split() == "nfe 5 nfe 10 nfe 20 nfe 50".split() and len(lines) == 13
    assert lines[1].split() == ["ddpm-mnist", "ddim", *"✓✓✓✓"] and lines[2].split() == ["heun", "·", "✗", "25%", "·"]
    found.add(cells[6], cells[6].n)
    found.working = None
    assert found.state(cells[6]) == "done" and found.shares[cells[6].id] == 1.0


def test_cells_that_share_samples_and_skipped_ones():
    cells = cells_of("families")
    first = next(cell for cell in cells if cell.same_as is not None)
    found = board([cell for cell in cells if cell.id == first.id])
    found.add(first, first.n)
    assert {found.state(cell) for cell in found.cells} == {"done"} and len(found.cells) == 2
    skipped = next(cell for cell in cells if cell.skip is not None)
    assert board(cells).state(skipped) == "skipped"


@pytest.mark.parametrize(("width", "height"), [(100, 26), (100, 5), (60, 10), (40, 10), (30, 3)])
def test_it_fits_any_terminal_and_follows_the_work(width, height):
    cells = cells_of("families")
    found = board(cells)
    rows = len({(cell.model, cell.sampler, str(cell.options)) for cell in cells})
    for cell in (cells[0], cells[len(cells) // 2], cells[-1]):
        found.working = cell.id
        lines = text(found, width, height)
        assert max(map(cell_len, lines)) <= width
        assert len(lines) == height + 2 and lines[-1].startswith(f"and {rows - height} ")
        assert any(sign in line for line in lines[1:-1] for sign in "0%"), "the cell that is worked on is seen"


def test_long_names_keep_their_ends():
    models = [{"id": f"{'a' * 60}-{step}", "name": "ddpm-mnist"} for step in (1, 2)]
    samplers = [{"id": "b" * 60, "sampler": "ddim", "sweep": {"eta": [0.1, 0.2]}}]
    suite = {"name": "s", "models": models, "samplers": samplers, "budgets": {"nfe": [5]}}
    lines = text(board(plan(suite_from_objects(suite))))
    assert [line[:24].strip() for line in lines[1:]] == [f"{'a' * 12}…{'a' * 9}-1", "", f"{'a' * 12}…{'a' * 9}-2", ""]
    assert all("…" in line and line[26:50].endswith(f"eta=0.{1 + place % 2}") for place, line in enumerate(lines[1:]))
    assert max(map(len, lines)) <= 100


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def told(monkeypatch, stream, quiet=False, **environment):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", stream)
    cells = cells_of("quickstart")
    with Progress(quiet, every=0.0) as progress:
        progress.begin("asking", None)
        progress.begin("sampling", 10.0, board(cells))
        progress.describe(cells[0].label, "cell 1/48", cells[0])
        progress.advance(5.0)
        progress.note("a line that stays")
    return stream.getvalue()


def test_only_a_terminal_gets_a_live_screen(monkeypatch):
    live = told(monkeypatch, Terminal())
    assert "\x1b[" in live and "━" in live and "nfe 50" in live and "a line that stays" in live
    for stream, environment in (
        (io.StringIO(), {}),
        (io.StringIO(), {"FORCE_COLOR": "1"}),
        (Terminal(), {"NO_COLOR": "1"}),
        (Terminal(), {"TERM": "dumb"}),
    ):
        plain = told(monkeypatch, stream, **environment)
        assert "\x1b" not in plain and "━" not in plain and "nfe 50" not in plain, environment
        assert (
            "sampling  50% (" in plain and " left) ddpm-mnist · ddim @ nfe 5" in plain and "a line that stays" in plain
        )
    assert told(monkeypatch, Terminal(), quiet=True) == ""
