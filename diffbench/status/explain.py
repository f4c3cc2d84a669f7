"""Why a cell's samples are, or are not, in a run folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from diffbench.document.words import did_you_mean
from diffbench.errors import DiffbenchError, StoreError, UsageError
from diffbench.status.code import sampling_code
from diffbench.status.stored import CellState, state_of, stored_probe
from diffbench.store.sealed import read_sealed
from diffbench.store.shards import Store
from diffbench.suite.of_run import suite_of_run
from diffbench.suite.plan import Cell, plan
from diffbench.suite.solution import solutions_of

_MISSING = object()
_MOST_SHARDS = 8


def explain(name: str, run: Path | None = None) -> list[str]:
    """Lines about the cell of that id (or its beginning) or name, in ``run`` or in the run folders under ``runs``.

    Raises UsageError if no run has such a cell, or several cells begin with the id; StoreError if ``run`` is no run.
    """
    runs = [run] if run is not None else sorted(path.parent for path in Path("runs").glob("*/suite.yaml"))
    names: list[str] = []
    for folder in runs:
        cells = _planned(folder, required=run is not None)
        names += [cell.key for cell in cells]
        found = [cell for cell in cells if cell.key == name] or [cell for cell in cells if cell.id.startswith(name)]
        if len({cell.id for cell in found}) > 1:
            raise UsageError(f"{name!r} begins {len(found)} cells of {folder}: {', '.join(c.id for c in found[:5])} …")
        if found:
            return list(_about(folder, found[0]))
        stored = [path for path in folder.glob("cells/*") if path.name.startswith(name)]
        if len(stored) == 1:
            return _orphan(folder, stored[0].name)
    where = run if run is not None else "the folders under runs/"
    raise UsageError(f"no cell {name!r} in {where}{did_you_mean(name, names)}")


def _planned(run: Path, required: bool) -> list[Cell]:
    try:
        cells = plan(suite_of_run(run))
        return [*cells, *solutions_of(cells)]
    except DiffbenchError:
        if required:
            raise
        return []


def _about(run: Path, cell: Cell) -> Iterator[str]:
    yield f"{cell.key} in {run}: id {cell.id}"
    if cell.same_as is not None:
        yield f"shares its samples with {cell.same_as}, which comes first in the suite"
    if cell.skip is not None:
        yield f"skipped: {cell.skip}"
        return
    images = suite_of_run(run).run.keep.samples
    state = state_of(run, cell, images, verify=True)
    yield f"{state.done} of {state.total} shards are there and whole"
    yield from _flaws(state)
    yield from _makers(run, cell)
    if state.flaws and not state.done:
        yield from _closest(run, cell)


def _flaws(state: CellState) -> Iterator[str]:
    if state.failed is not None:
        yield f"the last attempt failed: {state.failed}"
    for shard, flaw in list(state.flaws.items())[:_MOST_SHARDS]:
        yield f"samples {shard.first} to {shard.last - 1}, {flaw.kind}: {flaw.reason}"
    if len(state.flaws) > _MOST_SHARDS:
        yield f"… and {len(state.flaws) - _MOST_SHARDS} more"


def _makers(run: Path, cell: Cell) -> Iterator[str]:
    store = Store(run)
    made: dict[tuple[str, str, str], int] = {}
    for shard in store.ranges(cell.id):
        try:
            manifest = store.manifest(cell.id, shard)
        except StoreError:
            continue
        key = (str(manifest["code"])[:12], str(manifest["device"]), str(manifest["probe"]))
        made[key] = made.get(key, 0) + 1
    now = stored_probe(run, cell)
    for (code, device, probe), count in made.items():
        if now is None:
            agrees = "the run's answers to the probe can't be read"
        else:
            agrees = f"the run's stored answers are {'still' if probe == now else 'no longer'} those"
        agrees += "" if sampling_code().startswith(code) else f"; today's code is {sampling_code()[:12]}"
        yield f"{count} stored shards: sampling code {code}, device {device}; {agrees}"


def _closest(run: Path, cell: Cell) -> Iterator[str]:
    """The stored cell whose identity differs least from this one's, and in what."""
    own = _flat(cell.identity)
    candidates = []
    for path in sorted(run.glob("cells/*/cell.json")):
        try:
            identity = read_sealed(path)["identity"]
        except (StoreError, KeyError):
            continue
        if path.parent.name != cell.id and Store(run).ranges(path.parent.name):  # described cells may have no samples
            candidates.append((_differing(_flat(identity), own), path.parent.name))
    if not candidates:
        yield f"no other cell is stored in {run}"
        return
    differing, other = min(candidates, key=lambda item: (len(item[0]), item[1]))
    yield f"the closest stored cell, {other}, differs in:"
    yield from (f"  {line}" for line in differing)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: item for name, inner in value.items() for key, item in _flat(inner, f"{path}.{name}").items()}
    return {path.lstrip("."): value}


def _differing(old: dict[str, Any], new: dict[str, Any]) -> Sequence[str]:
    names = sorted(old.keys() | new.keys())
    pairs = [(name, old.get(name, _MISSING), new.get(name, _MISSING)) for name in names]
    return [f"{n}: {_brief(a)} there, {_brief(b)} here" for n, a, b in pairs if _plain(a) != _plain(b)]


def _plain(value: Any) -> Any:
    return value if value is _MISSING else json.dumps(value)


def _brief(value: Any) -> str:
    if value is _MISSING:
        return "nothing"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:50]} … ({len(value)} values)" if isinstance(value, list) else text[:60]


def _orphan(run: Path, cell: str) -> list[str]:
    ranges = Store(run).ranges(cell)
    return [
        f"cell {cell} in {run}: {len(ranges)} shards are stored, but the suite there has no such cell",
        "it was made by an earlier version of the suite; diffbench cache gc --orphans frees it",
    ]
