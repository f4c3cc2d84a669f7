"""Before a run goes on: do its networks, samplers and extractors still answer as when its samples were made?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from diffbench.document.words import counted
from diffbench.errors import CardError, OtherCode, StoreError, WeightsError, one_line
from diffbench.runner.loaded import Loaded
from diffbench.runner.probe import ask_model, ask_sampler
from diffbench.status.stored import cell_probe, model_probe
from diffbench.store.probe import Answers, difference, read_answers, replace_answers, settle, stored_digest
from diffbench.store.shards import Store
from diffbench.suite.plan import Cell


@dataclass
class Probed:
    """The digest that each cell's shards have to carry, and the cells that could not even be asked, with reasons."""

    digests: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def ask(
    run: Path, cells: Sequence[Cell], loaded: Loaded, force: bool = False, advance: Callable[[], None] = lambda: None
) -> Probed:
    """Compare today's answers with the stored ones; store those of models and samplers that are new to the run.

    With ``force`` other answers take the old ones' place, and shards made under those become stale.
    Nothing is written before all answers have been compared. ``advance`` is called as each cell's turn comes.

    Raises OtherCode for the first that differ.
    """
    probed = Probed()
    models: dict[Path, Answers] = {}
    samplers: dict[Path, Answers] = {}
    asked: list[tuple[Cell, Path, Path]] = []
    for cell in cells:
        advance()
        model_path, cell_path = model_probe(run, cell), cell_probe(run, cell)
        try:
            if model_path not in models:
                models[model_path] = ask_model(loaded.model(cell), loaded.extractor(cell), cell.dtype)
            samplers[cell_path] = ask_sampler(loaded.model(cell), cell)
        except (StoreError, WeightsError, CardError, OSError):
            raise
        except torch.cuda.OutOfMemoryError:
            probed.failed[cell.id] = "out of device memory at 8 samples: the device is too small, or in use"
            continue
        except Exception as error:  # a model's or sampler's own; the other cells go on
            probed.failed[cell.id] = one_line(error)
            continue
        asked.append((cell, model_path, cell_path))
    changed = _changed(run, asked, models, samplers)
    if changed and not force:
        raise OtherCode(_refusal(run, changed))
    for path in dict.fromkeys(path for _, path, _ in changed):
        answers = models.get(path) or samplers[path]
        replace_answers(path, answers)
    for cell, _, path in asked:  # a sampler's answers bind nobody where nothing is stored that they belong to
        if not _has_samples(run, cell):
            replace_answers(path, samplers[path])
    digests = {path: settle(path, answers).digest for path, answers in {**models, **samplers}.items()}
    for cell, model_path, cell_path in asked:
        probed.digests[cell.id] = digests[model_path] + digests[cell_path]
    return probed


def answer_alike(run: Path, cells: Sequence[Cell], loaded: Loaded) -> set[str]:
    """Ids of the cells whose networks and samplers answer today as the run has it stored; nothing is written."""
    models: dict[Path, Answers] = {}
    alike: set[str] = set()
    for cell in cells:
        path = model_probe(run, cell)
        try:
            if path not in models:
                models[path] = ask_model(loaded.model(cell), loaded.extractor(cell), cell.dtype)
            sampler = ask_sampler(loaded.model(cell), cell)
            changed = difference(read_answers(path), models[path])
            changed = changed or difference(read_answers(cell_probe(run, cell)), sampler)
        except Exception:  # what can't be asked can't be shown to be of today's code
            continue
        if changed is None:
            alike.add(cell.id)
    return alike


def _changed(
    run: Path, asked: Sequence[tuple[Cell, Path, Path]], models: dict[Path, Answers], samplers: dict[Path, Answers]
) -> list[tuple[Cell, Path, str]]:
    """Cells whose stored answers are others than today's, with the file and the difference in words."""
    found = []
    known: dict[Path, str | None] = {}
    for cell, model_path, cell_path in asked:
        for path, new in ((model_path, models[model_path]), (cell_path, samplers[cell_path])):
            if path not in known:
                try:
                    other = difference(read_answers(path), new)
                except StoreError:  # none, or damaged: settled anew
                    other = None
                known[path] = None if other is None else str(other)
            if (said := known[path]) is not None and (path == model_path or _has_samples(run, cell)):
                found.append((cell, path, said))
    return found


def _has_samples(run: Path, cell: Cell) -> bool:
    """Whether shards are stored that the answers in force of the cell's model do not make stale already."""
    store = Store(run)
    try:
        model = stored_digest(model_probe(run, cell))
        return any(store.manifest(cell.id, shard)["probe"].startswith(model) for shard in store.ranges(cell.id))
    except StoreError:
        return False


def _refusal(run: Path, changed: Sequence[tuple[Cell, Path, str]]) -> str:
    cell, path, said = changed[0]
    count = len({cell.id for cell, _, _ in changed})
    what = f"the sampler of {cell.label}" if path == cell_probe(run, cell) else f"the model {cell.model}"
    return (
        f"{run}: {what} does not answer as it did when its samples were made: {said}; code or packages have changed. "
        f"Run into another --out, or --force to make the samples of {counted(count, 'cell')} again"
    )
