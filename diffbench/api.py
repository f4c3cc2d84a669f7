"""The Python API: run a suite, open a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffbench import results
from diffbench.catalog import SAMPLERS, SamplerEntry
from diffbench.errors import UsageError
from diffbench.suite.read import find_suite, read_suite, suite_from_objects

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Results:
    """A finished run: its folder and its table.

    ``frame`` has one row a cell and metric, with pandas' nullable dtypes; a missing value is null with a ``reason``.
    """

    folder: Path
    frame: pd.DataFrame

    def report(self) -> Path:
        """Draw figures, tables and pages into the run folder; returns the path of ``report.html``."""
        from diffbench.report.page import draw
        from diffbench.store.manifest import write_manifest

        drawn = draw(self.folder)
        write_manifest(self.folder, only=[path.relative_to(self.folder).as_posix() for path in drawn])
        return self.folder / "report.html"


def run(
    suite: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    device: str | None = None,
    only: str | None = None,
    samplers: Iterable[SamplerEntry] = (),
    force: bool = False,
    quiet: bool = False,
) -> Results:
    """Run a suite; what its run folder holds already is not sampled again.

    Args:
        suite: path of a YAML file, name of a shipped suite, or the suite itself as a mapping.
        out: run folder; default ``runs/<suite name>``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``; default: the suite's.
        only: selection of cells, such as ``model=ddpm-mnist,nfe<=20``.
        samplers: catalog entries of your own; the suite may name them.
        force: make the samples again, whatever is stored and whatever code made it.
        quiet: no progress on stderr.

    Raises:
        DiffbenchError: its subclass says what; see :mod:`diffbench.errors`.
    """
    from diffbench.runner.engine import execute

    with SAMPLERS.using(samplers):
        if isinstance(suite, Mapping):
            spec = suite_from_objects(dict(suite))
        elif isinstance(suite, (str, Path)):
            spec = read_suite(find_suite(suite))
        else:
            raise UsageError(f"a suite is a path, a name or a mapping, not {type(suite).__name__}")
        summary = execute(spec, Path(out) if out else None, device, only, quiet, force=force)
    return read(summary.folder)


def read(folder: str | Path) -> Results:
    """Open a run folder. Raises StoreError if it holds no results that this version can read."""
    return Results(Path(folder), results.read(Path(folder)))
