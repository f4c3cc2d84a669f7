"""A run's results in MLflow or Weights & Biases, through their own clients: a curve over NFE for every series."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbench.errors import StoreError, UsageError, one_line
from diffbench.report.folder import RunFolder, open_run
from diffbench.report.frame import CellView, unique

_ARTEFACTS = ("suite.yaml", "results.parquet", "results.csv", "report.html", "report.md", "provenance.json")
_FOLDERS = ("figures", "tables")
_LONGEST = 6000  # characters that MLflow keeps of a parameter


@dataclass(frozen=True)
class Series:
    """One sampler on one model, its cells by evaluations: what a tracker calls a run."""

    name: str
    params: Mapping[str, str]
    points: Sequence[tuple[int, Mapping[str, float]]]
    """NFE, rounded, to the metrics there, each with ``<metric>_ci_low`` and ``_ci_high``, and ``nfe`` as counted."""


def series(run: RunFolder) -> list[Series]:
    """What a run has to log; cells without evaluations or scores have no point."""
    found = []
    for model in unique(cell.model for cell in run.cells):
        mine = [cell for cell in run.cells if cell.model == model]
        for line in unique(cell.line for cell in mine):
            cells = [cell for cell in mine if cell.line == line]
            found.append(Series(f"{model} / {line}", _params(cells[0]), list(_points(cells))))
    return found


def _params(cell: CellView) -> dict[str, str]:
    named = ("model", "family", "sampler", "grid", "n", "reference", "extractor")
    told = {name: getattr(cell, name) for name in named} | dict(cell.line_options)
    told |= {f"signature.{metric}": said for metric, said in cell.signatures.items()}
    return {name: str(value)[:_LONGEST] for name, value in told.items() if value is not None}


def _points(cells: Sequence[CellView]) -> Iterator[tuple[int, dict[str, float]]]:
    for cell in sorted((cell for cell in cells if cell.nfe is not None), key=lambda cell: cell.nfe or 0.0):
        values: dict[str, float] = {"nfe": float(cell.nfe or 0.0)}
        for metric, score in cell.scores.items():
            ends = {metric: score.value, f"{metric}_ci_low": score.low, f"{metric}_ci_high": score.high}
            values |= {name: float(value) for name, value in ends.items() if value is not None}
        if len(values) > 1:
            yield round(cell.nfe or 0.0), values


def artefacts(path: Path) -> list[tuple[Path, str]]:
    """Files of a run folder that are logged with it, each with the folder it goes to."""
    single = [(path / name, "") for name in _ARTEFACTS if (path / name).is_file()]
    return single + [(file, name) for name in _FOLDERS for file in sorted((path / name).glob("*")) if file.is_file()]


def log_to_mlflow(path: Path, uri: str) -> str:
    """Log a run folder: an experiment named as its suite, a run with its files, and one below it for every series.

    ``uri`` is a tracking server or ``sqlite:///file.db``. Returns the id of the upper run.

    Raises UsageError without mlflow, or for a URI that it can't use; StoreError for no run folder.
    """
    try:
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise UsageError("mlflow is not installed: pip install 'diffbench[mlflow]'") from None
    run = open_run(path)
    try:
        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(run.name)
        experiment = client.create_experiment(run.name) if known is None else known.experiment_id
        upper = client.create_run(experiment, run_name=path.resolve().name, tags=_tags(run)).info.run_id
        for file, folder in artefacts(path):
            client.log_artifact(upper, str(file), folder or None)
        for one in series(run):
            parent = {"mlflow.parentRunId": upper}
            own = client.create_run(experiment, run_name=one.name[:250], tags=parent).info.run_id
            now = int(time.time() * 1000)
            logged = [Metric(k, v, now, step) for step, values in one.points for k, v in values.items()]
            for first in range(0, len(logged), 1000):  # as many as one call takes
                client.log_batch(own, metrics=logged[first : first + 1000])
            client.log_batch(own, params=[Param(name, value) for name, value in one.params.items()])
            client.set_terminated(own)
        client.set_terminated(upper)
    except MlflowException as error:
        raise UsageError(f"MLflow at {uri}: {one_line(error)}") from None
    return str(upper)


def _tags(run: RunFolder) -> dict[str, str]:
    git = run.provenance.get("git")
    commit = git.get("commit") if isinstance(git, Mapping) else None
    told = {"diffbench": run.provenance.get("diffbench"), "commit": commit, "started": run.provenance.get("started")}
    return {name: str(value) for name, value in told.items() if value is not None}


def log_to_wandb(path: Path, folder: Path, project: str | None = None) -> list[str]:
    """Log a run folder with Weights & Biases offline: a run for every series, in one group, and one with its files.

    Nothing is sent: ``wandb sync`` does that, from ``folder``/wandb. Returns the offline runs' folders.

    Raises UsageError without wandb; StoreError for no run folder, or where it can't write.
    """
    try:
        import wandb
    except ImportError:
        raise UsageError("wandb is not installed: pip install 'diffbench[wandb]'") from None
    run = open_run(path)
    folder.mkdir(parents=True, exist_ok=True)
    where: dict[str, Any] = {
        "project": project or run.name, "dir": str(folder), "mode": "offline", "group": path.resolve().name,
        "reinit": "create_new", "settings": wandb.Settings(silent=True, console="off"),
    }  # fmt: skip
    made = []
    try:
        for one in series(run):
            logged = wandb.init(name=one.name[:128], config=dict(one.params), **where)
            logged.define_metric("*", step_metric="nfe")
            for _, values in one.points:
                logged.log({name: value for name, value in values.items() if math.isfinite(value)})
            logged.finish()
            made.append(str(Path(logged.dir).parent))
        logged = wandb.init(name="report", config=_tags(run), **where)
        files = wandb.Artifact("report", type="report")
        for file, inside in artefacts(path):
            files.add_file(str(file), name=f"{inside}/{file.name}" if inside else file.name)
        logged.log_artifact(files)
        logged.finish()
    except (wandb.Error, OSError) as error:
        raise StoreError(f"{folder}: {one_line(error)}") from None
    return [*made, str(Path(logged.dir).parent)]
