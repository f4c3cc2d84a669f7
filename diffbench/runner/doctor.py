"""What this machine offers to diffbench, and what it lacks: packages, devices, models, extractors, references, disk."""

from __future__ import annotations

import os
import platform
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from diffbench import __version__, shipped
from diffbench.document.words import counted
from diffbench.errors import DiffbenchError, WeightsError, one_line
from diffbench.models.card import Card
from diffbench.models.find import load_card
from diffbench.runner.machine import Gpu, cores, cpu_name, gpus, memory
from diffbench.scoring.known import BACKBONES, EMBEDDED, find_backbone, installed
from diffbench.scoring.weights import FILES, base_name, find_weights, folders, hash_of
from diffbench.status.cost import bytes_of
from diffbench.status.show import size
from diffbench.suite.plan import Cell, plan
from diffbench.suite.spec import Suite

LEAST_DISK = 10**9
"""Bytes that have to be free, if the suite does not need more."""

_AGAIN = "install diffbench again"

State = Literal["ok", "absent", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        group: ``packages``, ``devices``, ``models``, ``extractors``, ``references`` or ``disk``.
        name: what it is.
        state: ``ok``; ``absent``: not here, which only some work needs; ``wrong``: to be mended first.
        detail: what was found, in words.
        advice: what to do about it; empty if nothing.
        sha256: of its file, where it has one.
    """

    group: str
    name: str
    state: State
    detail: str
    advice: str = ""
    sha256: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """One row of JSON."""
        return asdict(self)


def examine(suite: Suite | None = None, folder: Path = Path("runs")) -> list[Finding]:
    """Look at everything; with a suite, what it needs is needed, and its models are looked at instead of the shipped.

    ``folder``: where runs are written. Nothing is changed or downloaded.
    """
    cells = [] if suite is None else [cell for cell in plan(suite) if cell.skip is None]
    cards = {str(cell.card.directory): cell.card for cell in cells}
    names = [] if suite is not None else shipped.model_names()
    found = [*_packages(), *_devices(suite.run.device if suite is not None else "auto")]
    ids = {where: dict.fromkeys(cell.model for cell in cells if str(cell.card.directory) == where) for where in cards}
    named = {", ".join(ids[where]): card for where, card in cards.items()}
    found += [*_models(names, named), *_extractors({card.extractor for card in cards.values()})]
    return [*found, *_references(cards.values()), _disk(folder, cells, suite)]


def _packages() -> Iterator[Finding]:
    yield Finding("packages", "diffbench", "ok", __version__)
    yield Finding("packages", "python", "ok", platform.python_version())
    try:
        stated = [Requirement(line) for line in metadata.requires("diffbench") or ()]
    except metadata.PackageNotFoundError:
        yield Finding("packages", "requirements", "absent", "diffbench is not installed", "pip install diffbench")
        return
    seen: set[str] = set()
    for extra in ("", "hub", "gpu", "train"):
        for one in stated:
            if one.name not in seen and (one.marker is None or one.marker.evaluate({"extra": extra})):
                seen.add(one.name)
                yield _package(one, extra)


def _package(requirement: Requirement, extra: str) -> Finding:
    """A package against what diffbench says that it needs; one of an ``extra`` may be absent."""
    name, without = requirement.name, f"for diffbench[{extra}]"
    advice = f"pip install {f'{chr(39)}diffbench[{extra}]{chr(39)}' if extra else f'{chr(39)}{requirement}{chr(39)}'}"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding("packages", name, "absent" if extra else "wrong", without if extra else "not installed", advice)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding("packages", name, "wrong", f"{version}, but diffbench needs {requirement.specifier}", advice)
    return Finding("packages", name, "ok", version)


def _devices(wanted: str) -> Iterator[Finding]:
    yield Finding("devices", "cpu", "ok", _cpu())
    driver = gpus()
    needed: State = "wrong" if wanted.startswith("cuda") else "absent"
    try:
        import torch
    except Exception as error:  # a broken installation fails in many ways
        yield Finding("devices", "torch", "wrong", f"can't be imported: {one_line(error)}", "pip install torch")
        return
    with warnings.catch_warnings(record=True) as told:  # that a driver is too old, for one
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        reason = "; ".join(" ".join(str(one.message).split()) for one in told) or _why_no_gpu(torch, driver)
        advice = "install a torch that is built for the driver" if driver else ""
        yield Finding("devices", "cuda", needed, reason, advice)
    for index in range(count):
        yield _cuda(torch, index, driver)
    if count and driver is None:
        yield Finding("devices", "other users", "absent", "not known", "pip install 'diffbench[gpu]'")
    if wanted.startswith("cuda:") and int(wanted.partition(":")[2]) >= count > 0:
        yield Finding("devices", wanted, "wrong", f"the suite wants it, but there are {count}")


def _why_no_gpu(torch: Any, driver: Iterable[Gpu] | None) -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        there = f", though there is {next(iter(driver)).name}" if driver else ""
        return f"torch {torch.__version__} is built for CPUs alone{there}"
    return f"torch {torch.__version__} sees no GPU" + (", though its driver does" if driver else "")


def _cuda(torch: Any, index: int, driver: Any) -> Finding:
    free, total = torch.cuda.mem_get_info(index)
    major, minor = torch.cuda.get_device_capability(index)
    detail = f"{torch.cuda.get_device_name(index)}, {size(free)} of {size(total)} free, capability {major}.{minor}"
    # The driver counts all devices, torch those of CUDA_VISIBLE_DEVICES: only where both are the same can they be told.
    users = driver[index].users if driver is not None and len(driver) == torch.cuda.device_count() else ()
    others = [f"{one.name} ({one.pid}{'' if one.memory is None else f', {size(one.memory)}'})" for one in users]
    if others:
        return Finding("devices", f"cuda:{index}", "ok", f"{detail}; also used by {', '.join(others[:5])}",
                       "times are not to be trusted while others use it")  # fmt: skip
    return Finding("devices", f"cuda:{index}", "ok", detail)


def _cpu() -> str:
    known = memory()
    told = "" if known is None else f", {size(known[1])} of {size(known[0])} memory free"
    return f"{cpu_name()}, {counted(cores(), 'core')}{told}"


def _models(names: Iterable[str], cards: Mapping[str, Card]) -> Iterator[Finding]:
    for name in names:
        yield _attempt("models", name, partial(_shipped, name), _AGAIN)
    for ids, card in cards.items():
        yield _attempt("models", ids, partial(_model, card), "")


def _shipped(name: str) -> tuple[str, str]:
    return _model(load_card(name))


def _model(card: Card) -> tuple[str, str]:
    """Check every file's sha256. Raises WeightsError, also where the files are not here: with what to get."""
    if card.missing is not None:
        raise WeightsError(card.missing)
    total = 0
    for name, stated in card.sha256.items():
        path = card.directory / name
        if (found := hash_of(path)) != stated:
            raise WeightsError(f"{path}: sha256 is {found}, but the card says {stated}")
        total += path.stat().st_size
    exact = "known exactly, no files" if card.analytic is not None else "no files"
    what = f"{counted(len(card.sha256), 'file')}, {size(total)}" if card.sha256 else exact
    return what, card.weights_sha256


def _extractors(needed: Iterable[str | None]) -> Iterator[Finding]:
    wanted = {base_name(name) for name in needed if name is not None}
    for name in EMBEDDED:
        yield _attempt("extractors", name, partial(_embedded, name), _AGAIN)
    for name in (*FILES, *BACKBONES):
        yield _outside(name, name in wanted)
    for name, point in installed().items():
        of = point.dist.name if point.dist is not None else "another package"
        yield Finding("extractors", name, "ok", f"of {of}")


def _embedded(name: str) -> tuple[str, str]:
    path = shipped.reference_models() / name / "model.safetensors"
    found, stated = hash_of(path), shipped.extractor_config(name).get("sha256")
    if found != stated:
        raise WeightsError(f"{path}: sha256 is {found}, but config.json says {stated}")
    return f"in the package, {size(path.stat().st_size)}", found


def _outside(name: str, needed: bool) -> Finding:
    """Weights that don't come with diffbench; their error says which file, where it is looked for, and its hash."""
    try:
        if name in FILES:
            path, sha256 = find_weights(name)
        else:
            path = find_backbone(name)
            sha256 = hash_of(path / "model.safetensors")
    except WeightsError as error:
        there = name in FILES and any((place / FILES[name].name).is_file() for place in folders())
        state: State = "wrong" if needed or there else "absent"
        return Finding("extractors", name, state, "not the file it should be" if there else "not here", str(error))
    return Finding("extractors", name, "ok", str(path), sha256=sha256)


def _references(cards: Iterable[Card]) -> Iterator[Finding]:
    ours = [*shipped.references().values()]
    named = ((card.home, card.reference) for card in cards)
    own = {directory / name for directory, name in named if name is not None and name.endswith(".json")}
    for path in (*ours, *sorted(own)):
        advice = _AGAIN if path in ours else "diffbench reference build makes it"
        yield _attempt("references", path.stem, partial(_reference, path), advice)


def _reference(path: Path) -> tuple[str, str]:
    from diffbench.scoring.reference import read_reference

    found = read_reference(path)
    return f"{found.n:,} images, in the eyes of {found.extractor}", found.sha256


def _disk(folder: Path, cells: Iterable[Cell], suite: Suite | None) -> Finding:
    """Free space where runs are written, against what the suite will take."""
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    images = 0 if suite is None else suite.run.keep.samples
    needed = sum(bytes_of(cell, images) for cell in cells if cell.same_as is None)
    detail = f"{size(free)} free in {place}" + (f"; the suite takes {size(needed)}" if needed else "")
    if not os.access(place, os.W_OK):
        return Finding("disk", "run folders", "wrong", f"{place} can't be written", "give run another --out")
    short = free < max(LEAST_DISK, needed)
    return Finding("disk", "run folders", "wrong" if short else "ok", detail, "free some space" if short else "")


def _attempt(group: str, name: str, look: Callable[[], tuple[str, str]], advice: str) -> Finding:
    try:
        detail, sha256 = look()
    except DiffbenchError as error:
        return Finding(group, name, "wrong", one_line(error), advice)
    return Finding(group, name, "ok", detail, sha256=sha256)
