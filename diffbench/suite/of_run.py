"""The suite of a run folder, which may name objects that only a script has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffbench.errors import StoreError, SuiteError, UsageError
from diffbench.suite.read import read_suite
from diffbench.suite.spec import Suite

FILE = "suite.yaml"


def suite_file(run: Path) -> Path:
    """Where a run folder has its suite. Raises StoreError: it has none, so it is no run folder."""
    path = run / FILE
    if not path.is_file():
        raise StoreError(f"{run}: no {FILE} here; not a run folder")
    return path


def suite_of_run(run: Path, overrides: Sequence[str] = ()) -> Suite:
    """Read the suite of a run folder; ``overrides`` are ``dotted.key=YAML``.

    Raises:
        StoreError: it is no run folder.
        UsageError: the suite names what is not here, such as a model or sampler that a script passed to
            ``diffbench.run``; or an override is wrong.
    """
    path = suite_file(run)
    try:
        return read_suite(path, overrides)
    except SuiteError as error:
        raise UsageError(
            f"{error}\nIf this run is of a script's own objects, it goes on in that script; "
            "diffbench report, compare, export and show need none of them"
        ) from None
