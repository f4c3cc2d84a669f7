"""What a run, or a score of given images, leaves in Python: its table, its figures, and both in other formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from diffbench import results
from diffbench.document.words import counted, unknown
from diffbench.errors import UsageError
from diffbench.store.atomic import write_atomically

if TYPE_CHECKING:
    import pandas as pd

    from diffbench.report.folder import RunFolder
    from diffbench.report.plots import Plots
    from diffbench.report.tables import Table


@dataclass(frozen=True)
class Results:
    """A finished run: its folder and its table; in a notebook, the table and its first figure.

    ``frame`` has one row a cell and metric, with pandas' nullable dtypes; a missing value is null with a ``reason``.
    """

    folder: Path
    frame: pd.DataFrame

    def report(self) -> Path:
        """Draw figures, tables and pages into the run folder; returns the path of ``report.html``.

        Raises UsageError for scores that were written nowhere: ``score(..., out=...)`` writes them.
        """
        if self.folder == Path():
            raise UsageError("these scores were written nowhere; score(..., out=FOLDER) writes them, with their report")
        from diffbench.report.page import draw
        from diffbench.store.manifest import write_manifest

        drawn = draw(self.folder)
        write_manifest(self.folder, only=[path.relative_to(self.folder).as_posix() for path in drawn])
        return self.folder / "report.html"

    @property
    def plot(self) -> Plots:
        """The figures as matplotlib objects: ``results.plot.pareto()``, ``.fid_vs_nfe()``, ``.grid()``."""
        from diffbench.report.plots import Plots

        return Plots(self._view)

    def to_pandas(self) -> pd.DataFrame:
        """A copy of ``frame``, to change at will."""
        return self.frame.copy()

    def to_parquet(self, path: str | Path) -> Path:
        """Write the table to a file that ``diffbench report`` and pandas read; returns its path. Raises StoreError."""
        write_atomically(Path(path), results.parquet_bytes(self.frame))
        return Path(path)

    def to_csv(self, path: str | Path) -> Path:
        """Write the table as CSV in which no cell can act as a formula; returns its path. Raises StoreError."""
        write_atomically(Path(path), results.table_csv(self.frame))
        return Path(path)

    def to_latex(self, metrics: Sequence[str] | None = None) -> str:
        """A ``tabular`` for booktabs: a row a cell, scores ± half of their 95% interval.

        The best of every model and budget is bold, those not told apart from it (by paired tests where values per
        sample are stored, else by their intervals) have a dagger, both by the first metric shown; comments say so.
        ``metrics``: those to show, in order; None: all of quality, the main one first.
        """
        from diffbench.report.content import table_notes
        from diffbench.report.findings import asked_once, best_per_budget
        from diffbench.report.tables import latex, marked_metric

        table, run = self._table(metrics), self._view
        by = marked_metric(run.cells, metrics)
        found = best_per_budget(run.cells, by, asked_once(run.worse)) if by else []
        return latex(table, table_notes(run, found, by))

    def to_markdown(self, metrics: Sequence[str] | None = None) -> str:
        """The table of :meth:`to_latex` as a pipe table."""
        from diffbench.report.tables import markdown

        return markdown(self._table(metrics))

    @cached_property
    def _view(self) -> RunFolder:
        """The run as reports see it; of scores that were written nowhere, their table alone."""
        from diffbench.report.folder import RunFolder, open_run
        from diffbench.report.frame import cells

        if self.folder != Path() and (self.folder / results.PARQUET).is_file():
            return open_run(self.folder)
        return RunFolder(path=self.folder, cells=cells(self.frame), table=self.frame)

    def _table(self, metrics: Sequence[str] | None) -> Table:
        from diffbench.report.tables import results_table

        known = list(dict.fromkeys(self.frame["metric"]))
        for metric in metrics or ():
            if metric not in known:
                raise UsageError(unknown("metric of these results", metric, known))
        return results_table(self._view.cells, metrics, self._view.worse)

    def _repr_html_(self) -> str:
        from diffbench.report.notebook import as_html

        return as_html(self._view)

    def __repr__(self) -> str:
        cells = self.frame[["model", "sampler", "options", "budget_kind", "budget"]].drop_duplicates()
        where = "" if self.folder == Path() else f" in {str(self.folder)!r}"
        return f"<Results of {counted(len(cells), 'cell')}{where}>"
