"""A pytest plugin: the fixture ``diffbench_gate`` runs a suite and fails where it is worse than a baseline.

Loaded by pytest in every project that has diffbench installed, so that nothing heavy is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from diffbench.catalog import SamplerEntry
    from diffbench.comparison.compare import Comparison
    from diffbench.suite.gates import FailOn

_UPDATE = "--diffbench-update"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--diffbench-update``: write baselines instead of comparing with them."""
    parser.getgroup("diffbench").addoption(
        _UPDATE, action="store_true", help="Write the baselines of diffbench_gate instead of comparing with them."
    )


@pytest.fixture
def diffbench_gate(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Comparison]:
    """A function that runs a suite and compares it with a baseline file; see :func:`gate`."""

    def run(suite: str | Path | Mapping[str, Any], baseline: str | Path, **options: Any) -> Comparison:
        update = bool(request.config.getoption(_UPDATE))
        return gate(suite, baseline, **{"out": tmp_path / "run", "update": update, **options})

    return run


def gate(
    suite: str | Path | Mapping[str, Any],
    baseline: str | Path,
    *,
    out: Path,
    gates: Mapping[str, str | float] | None = None,
    alpha: float = 0.01,
    fail_on: FailOn = "worse",
    samplers: Iterable[SamplerEntry] = (),
    device: str | None = None,
    update: bool = False,
) -> Comparison:
    """Run a suite with the code that is under test, and fail the test where it is worse than its baseline.

    Args:
        suite: path, name, or mapping, as :func:`diffbench.run` takes it.
        baseline: a file of ``diffbench baseline`` or of ``--diffbench-update``, or a run folder.
        out: run folder; by default a temporary one, so that nothing of other code is in it.
        gates: margins by metric, such as ``{"fid": "2%", "nfe": "exact"}``; None: as :func:`diffbench.compare`.
        alpha: false alarms of the whole table.
        fail_on: ``worse``, or ``inconclusive`` as well.
        samplers: catalog entries of your own.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        update: write the baseline and skip the test.

    Returns:
        The comparison, where it passes; its page is ``comparison.html`` in the run folder.
    """
    from diffbench.api import compare, run
    from diffbench.comparison.baseline import open_side, write_baseline
    from diffbench.comparison.side import RunSide
    from diffbench.errors import DiffbenchError
    from diffbench.report.pairs import comparison_page
    from diffbench.store.atomic import write_atomically

    if fail_on not in ("worse", "inconclusive"):
        raise ValueError(f"fail_on is {fail_on!r}, not 'worse' or 'inconclusive'")
    try:
        base = None if update else open_side(Path(baseline))  # before anything is sampled
        made = run(suite, out, device=device, samplers=samplers, quiet=True)
        side = RunSide.open(made.folder)
        if base is None:
            write_baseline(side, Path(baseline))
            pytest.skip(f"baseline written: {baseline}")
        found = compare(baseline, made, gates=gates, alpha=alpha)
        write_atomically(made.folder / "comparison.html", comparison_page(found, base, side).encode())
    except DiffbenchError as error:
        pytest.fail(f"diffbench: {error}", pytrace=False)
    failure = _failure(found, fail_on)
    if failure is not None:
        pytest.fail(f"diffbench: {failure}; pairs of images: {made.folder / 'comparison.html'}", pytrace=False)
    return found


_WORDS = {"worse": "a regression", "missing": "something is missing", "inconclusive": "not to be told"}


def _failure(found: Comparison, fail_on: FailOn) -> str | None:
    """Why the test fails, with the table; None if it passes."""
    from diffbench.inert import printable
    from diffbench.report.comparison import comparison_table, headline, notes
    from diffbench.report.tables import markdown

    outcome = found.outcome(fail_on)
    if outcome == "pass":
        return None
    told = map(printable, (*found.gaps, *notes(found)))
    return "\n".join([f"{_WORDS[outcome]}: {headline(found)}", "", markdown(comparison_table(found)), *told])
