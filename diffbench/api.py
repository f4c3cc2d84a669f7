"""The Python API: run a suite, open a run, compare two, score images."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from diffbench import results
from diffbench.catalog import METRICS, SamplerEntry
from diffbench.errors import UsageError
from diffbench.finished import Results as Results
from diffbench.suite.read import find_suite, read_suite, suite_from_objects

if TYPE_CHECKING:
    import pandas as pd

    from diffbench.comparison.compare import Comparison
    from diffbench.comparison.history import History
    from diffbench.comparison.replicates import Recipe
    from diffbench.scoring.reference import Reference


def run(
    suite: str | Path | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    *,
    models: Mapping[str, Any] | Iterable[str | Mapping[str, Any]] | None = None,
    samplers: Mapping[str, Any] | Iterable[str | Mapping[str, Any] | SamplerEntry] = (),
    budgets: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
    samples: int | Mapping[str, Any] | None = None,
    metrics: Sequence[str | Mapping[str, Any]] | None = None,
    timing: float | Mapping[str, Any] | None = None,
    device: str | None = None,
    only: str | None = None,
    force: bool = False,
    quiet: bool = False,
    allow_code: bool = False,
    allow_pickle: bool = False,
) -> Results:
    """Run a suite; what its run folder holds already is not sampled again.

    Objects serve as well as names: ``run(models={"mine": OwnModel(...)}, samplers={"x": fn, "ddim": "ddim"},
    budgets=[5, 10])``. A sampler function is ``fn(denoise, x, sigmas, noise) -> x`` with a plain loop (see
    :mod:`diffbench.samplers.function`). An object's cells are known by a hash of its code, of what it refers to and of
    its weights, and are resumed like any other's. One whose hash can't be worked out is said to be unidentified, and
    sampled anew in every run.

    Args:
        suite: path of a YAML file, name of a shipped suite, or the suite itself as a mapping; with objects a mapping
            of what else it says, or None.
        out: run folder; default ``runs/<suite name>``, ``runs/objects`` without a name.
        models: id to :class:`~diffbench.OwnModel`, to a denoiser with attributes ``schedule`` and ``sample_shape``, or
            to what a suite says of a model; or a list as in a suite: ``["ldm-mnist"]``.
        samplers: id to a function or to what a suite says of a sampler; or a list as in a suite, in which catalog
            entries may stand: ``["ddim", "heun", entry]``; or such entries alone that the suite names.
        budgets: evaluations per sample, or a mapping of ``nfe`` or ``steps``.
        samples: per cell, or as in a suite: ``{"n": 2000, "shard": 250}``.
        metrics: as in a suite.
        timing: seconds of the timing pass, 0: none; or as in a suite: ``{"seconds": 30, "batch_size": 8}``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``; default: the suite's, or that of the objects' networks.
        only: selection of cells, such as ``model=ddpm-mnist,nfe<=20``.
        force: make the samples again, whatever is stored and whatever code made it.
        quiet: no progress on stderr.
        allow_code: a card's factory or exported program may run.
        allow_pickle: checkpoints that are pickles may be read, their tensors alone.

    Raises:
        DiffbenchError: its subclass says what; see :mod:`diffbench.errors`.
    """
    from diffbench.models.consent import Consent
    from diffbench.objects import objects
    from diffbench.runner.engine import execute

    if not isinstance(budgets, Mapping | Sequence | None) or isinstance(budgets, str):
        raise UsageError(f"budgets are numbers of evaluations, such as [5, 10], or a mapping, not {budgets!r}")
    plain = isinstance(budgets, Mapping) or budgets is None
    settings = {
        "budgets": budgets if plain else {"nfe": list(budgets or ())}, "samples": samples, "metrics": metrics,
        "timing": timing if timing is None or isinstance(timing, Mapping) else {"seconds": timing},
    }  # fmt: skip
    named = isinstance(suite, (str, Path))
    samplers = samplers if isinstance(samplers, Mapping | str) else list(samplers)
    own = models or isinstance(samplers, Mapping | str) or any(not isinstance(one, SamplerEntry) for one in samplers)
    if named and (own or any(value is not None for value in settings.values())):
        raise UsageError("a suite that is read from a file or by name takes no objects; give it as a mapping")
    if suite is not None and not named and not isinstance(suite, Mapping):
        raise UsageError(f"a suite is a path, a name or a mapping, not {type(suite).__name__}")
    made = objects(None if isinstance(suite, (str, Path)) else suite, models, samplers, settings)
    if not quiet:
        for told in made.unidentified:
            print(f"unidentified, sampled anew in every run: {told}", file=sys.stderr)
    folder, consent = Path(out) if out else None, Consent(allow_code, allow_pickle)
    with made.lent():
        spec = read_suite(find_suite(suite)) if isinstance(suite, (str, Path)) else suite_from_objects(made.suite)
        summary = execute(spec, folder, device or made.device, only, quiet, force=force, consent=consent)
    return read(summary.folder)


def read(folder: str | Path) -> Results:
    """Open a run folder. Raises StoreError if it holds no results that this version can read."""
    return Results(Path(folder), results.read(Path(folder)))


def compare(
    base: str | Path | Results,
    new: str | Path | Results,
    *,
    gates: Mapping[str, str | float] | None = None,
    alpha: float = 0.01,
    adjust: Literal["holm", "bh"] = "holm",
) -> Comparison:
    """Compare two runs cell by cell and sample by sample.

    Args:
        base: what is expected: a run, its folder, or a baseline file.
        new: what is judged: a run or its folder.
        gates: margin of each metric that decides, such as ``{"fid": "2%", "kid": 0.001, "nfe": "exact"}``; None: every
            quality metric but IS and memorisation with 1%, and evaluations exactly.
        alpha: false alarms of the whole table, in (0, 0.5).
        adjust: ``holm`` bounds the chance of one, ``bh`` their share among all alarms.

    Returns:
        ``gate`` is ``pass``, ``fail`` or ``inconclusive``, ``gaps`` says what is missing, ``frame`` has all rows.

    Raises:
        UsageError, SuiteError: scores of different things, or gates that mean nothing.
        StoreError: a run or baseline is missing, damaged, or newer.
    """
    from diffbench.comparison.baseline import open_side
    from diffbench.comparison.compare import compare as compare_sides
    from diffbench.comparison.side import RunSide
    from diffbench.suite.gates import read_gates

    places = [Path(one.folder if isinstance(one, Results) else one) for one in (base, new)]
    margins = read_gates(gates, alpha, adjust)
    return compare_sides(open_side(places[0]), RunSide.open(places[1]), margins, alpha, adjust)


@dataclass(frozen=True)
class Collected:
    """Many runs: ``frame`` has a row a run, cell and metric, with the step that led to it.

    ``replicates`` has a row for each cell and metric of a recipe; None where no trainings were grouped. Both have
    pandas' nullable dtypes; a missing value is null with a ``reason``.
    """

    frame: pd.DataFrame
    replicates: pd.DataFrame | None
    _history: History
    _recipes: Sequence[Recipe]

    def write(self, folder: str | Path) -> list[Path]:
        """Write tables, figures and a page into ``folder``; returns the files."""
        from diffbench.report.history_page import write_history

        return write_history(self._history, self._recipes, Path(folder))


def history(
    runs: Sequence[str | Path],
    *,
    metrics: Sequence[str] = (),
    only: str | None = None,
    sort: Literal["given", "time"] = "given",
    replicates: Sequence[str] = (),
    replicate_runs: Sequence[str] = (),
    alpha: float = 0.01,
) -> Collected:
    """Join run folders by what their cells mean, and follow every score from run to run.

    Args:
        runs: run folders, in order.
        metrics: those to take; default: all of quality, and seconds per image.
        only: selection of cells, such as ``model=ddpm-mnist,nfe<=20``.
        sort: ``given``, or by ``time`` of sampling.
        replicates: patterns of model ids (``ours-seed*``), each of whose models are trainings of one recipe.
        replicate_runs: patterns of run names: the same model in each such run is another training.
        alpha: chance of one false alarm among all steps.

    Raises:
        UsageError: an unknown metric, a rule or pattern that nothing matches, a run given twice.
        StoreError: a folder holds no results that this version can read.
    """
    from diffbench.comparison.history import history as collect
    from diffbench.comparison.history_rows import COLUMNS, SPREAD, as_rows, frame_of, spread_rows
    from diffbench.comparison.replicates import replicates as group
    from diffbench.comparison.runs import open_runs

    found = collect(open_runs([Path(run) for run in runs], sort), metrics, only, alpha)
    recipes = group(found, replicates, replicate_runs)
    spreads = frame_of(spread_rows(found, recipes), SPREAD) if recipes else None
    return Collected(frame_of(as_rows(found), COLUMNS), spreads, found, recipes)


def score(
    images: str | Path | Any,
    *,
    reference: str | Path | Reference | None = None,
    extractor: str = "mnist-features",
    metrics: Iterable[str | Mapping[str, Any]] = ("fid", "is", "kid"),
    name: str | None = None,
    values: tuple[float, float] | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    labels: Sequence[int] | None = None,
    reference_labels: Sequence[int] | None = None,
    prompts: Sequence[str] | None = None,
) -> Results:
    """Score images that something else made, as a run scores its samples.

    Args:
        images: a folder of PNG or JPEG, an ``.npz`` or ``.npy`` of uint8 (N,H,W,C) or (N,C,H,W), or a torch dataset of
            uint8 tensors (C,H,W).
        reference: the real data: a shipped name, a reference file, an ``.npz`` of mu and sigma, images, or a
            ``Reference``. None where no metric compares with any.
        extractor: in whose eyes.
        metrics: as in a suite: names, or mappings with options.
        name: what the images are called in the table.
        values: black and white of float arrays.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        out: a folder for table and report; None: nothing is written, and ``folder`` of the result is the working one.
        labels: a class for each image; adds a FID for each class.
        reference_labels: a class for each real image.
        prompts: what each image should show; adds the CLIP score, for an extractor that reads text.

    Raises:
        DiffbenchError: its subclass says what; see :mod:`diffbench.errors`.
    """
    import numpy as np

    from diffbench.runner.devices import pick_device
    from diffbench.runner.external import GIVEN, Conditions, require_own_folder, score_images, write_scored
    from diffbench.scoring.extractor import load_extractor
    from diffbench.scoring.pictures import DatasetPictures, open_pictures

    if out is not None:
        require_own_folder(Path(out))
    is_path = isinstance(images, (str, Path))
    if values is not None and not is_path:
        raise UsageError("a range is for files of floats; a dataset's images are uint8")
    pictures = open_pictures(Path(images), values) if is_path else DatasetPictures(images)
    eyes = load_extractor(extractor, pick_device(device))
    real = reference
    if isinstance(real, (str, Path)):
        real = open_reference(real, extractor, device)
    called = name or (Path(images).stem if is_path else "dataset")
    own, known = (None if given is None else np.asarray(given) for given in (labels, reference_labels))
    conditions = Conditions(own, known, prompts)
    quantiser = "round" if values else GIVEN
    found = score_images(pictures, eyes, real, _metrics(metrics), called, quantiser, conditions)
    if out is None:
        return Results(Path(), results.frame(found.rows))
    write_scored(found, Path(out))
    made = Results(Path(out), results.read(Path(out)))
    made.report()
    return made


def open_reference(
    source: str | Path,
    extractor: str = "mnist-features",
    device: str = "auto",
    values: tuple[float, float] | None = None,
) -> Reference:
    """Open a reference: a shipped name, a reference file (``.json``), an ``.npz`` of mu and sigma, or real images.

    ``values`` are black and white of images that are floats.

    Raises ReferenceDataError, ImagesError.
    """
    from diffbench.runner.devices import pick_device
    from diffbench.runner.external import reference_of
    from diffbench.scoring.extractor import load_extractor
    from diffbench.scoring.pictures import open_pictures
    from diffbench.scoring.reference import load_reference, read_reference
    from diffbench.scoring.reference_file import has_moments, read_moments

    path = Path(source)
    if path.suffix == ".json":
        return read_reference(path)
    if path.suffix == ".npz" and has_moments(path):
        return read_moments(path, extractor, {"extractor_stated": False})
    if path.exists():
        return reference_of(open_pictures(path, values), load_extractor(extractor, pick_device(device)), path.stem)
    return load_reference(str(source))


def _metrics(given: Iterable[str | Mapping[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Metrics with all their options, checked as those of a suite. Raises SuiteError."""
    around = {"name": "score", "models": ["ddpm-mnist"], "samplers": ["ddim"], "budgets": {"nfe": [1]}}
    chosen = suite_from_objects({**around, "metrics": list(given)}).metrics
    for one in chosen:
        if METRICS[one.name].needs_solution:
            raise UsageError(f"{one.name} needs solutions from the samples' own noise, which only a run makes")
    return [(one.name, dict(one.options)) for one in chosen]
