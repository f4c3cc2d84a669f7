"""From what a suite names, a folder, a file, a shipped or installed model, or a name of the hub, to its card."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from diffbench import shipped
from diffbench.document.source import located, read_document, spec_of
from diffbench.document.spec import tuples
from diffbench.document.tree import Document, Problem
from diffbench.document.words import LONGEST_SHOWN, listed, shown, unknown
from diffbench.errors import CardError, WeightsError
from diffbench.models.card import Card
from diffbench.models.card_files import hashes
from diffbench.models.card_parts import Labels, Text
from diffbench.models.hub import PREFIX, HubName
from diffbench.models.pipeline_card import INDEX, Derived, derive

FILE = shipped.CARD
_PARTS = ("data", "network", "codec", "text", "labels", "scheduler", "config")


def shipped_models() -> tuple[str, ...]:
    """Names of the models whose files come with diffbench."""
    return tuple(shipped.model_names())


def installed_models() -> Mapping[str, Path]:
    """Cards of installed packages, by the name of their entry point in the group ``diffbench.models``.

    Its value is the dotted path of a folder of the package that holds a ``card.yaml``; nothing of it is imported.
    """
    found: dict[str, Path] = {}
    for point in entry_points(group="diffbench.models"):
        top, *below = point.module.split(".")
        spec = find_spec(top)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            found[point.name] = Path(place, *below, FILE)
    return found


def known_models() -> tuple[str, ...]:
    """Every name that a suite can give without a path."""
    return (*shipped.card_paths(), *sorted(installed_models()))


def looks_like_path(name: str) -> bool:
    """Whether ``name`` says where a card lies, rather than being the name of a shipped model."""
    return "/" in name or "\\" in name or name.startswith((".", "~")) or name.endswith((".yaml", ".yml"))


def load_card(source: str | Path, given: Mapping[str, Any] | None = None) -> Card:
    """Read a card; ``given`` are keys of it that a suite says, which go before those of files.

    ``source``: a known name (which goes first), a card file, a folder with ``card.yaml`` or with a pipeline of
    diffusers (``model_index.json``), or ``hf://owner/name@revision``. What a card leaves out is taken from the configs
    of a pipeline, if its files are one and say it.

    CardError where there is none, or with one line for each of its problems: file, line, column, key, allowed values.
    """
    name = str(source)
    if name.startswith(PREFIX):
        return _from_hub(HubName.parse(name), given or {})
    path = _path_of(name, source)
    if path.is_file():
        return _card(path.parent, str(path), read_document(path), given or {})
    if (path.parent / INDEX).is_file():
        return _card(path.parent, str(path.parent / INDEX), Document({"name": _as_name(path.parent.name)}), given or {})
    raise CardError(_nothing_at(name, path))


def _path_of(name: str, source: str | Path) -> Path:
    if not looks_like_path(name):
        if (path := shipped.card_paths().get(name) or installed_models().get(name)) is not None:
            return path
    path = Path(source)
    try:
        return path / FILE if path.is_dir() else path
    except (OSError, ValueError):  # too long, or with NUL
        raise CardError(_nothing_at(name, Path("\0"))) from None


def _from_hub(name: HubName, given: Mapping[str, Any]) -> Card:
    folder = name.snapshot
    if folder is None:
        raise CardError(name.advice)
    card = folder / FILE
    document = read_document(card) if card.is_file() else Document({"name": _as_name(name.repository)})
    return _card(folder, str(name.pinned()), document, given)


def _card(home: Path, where: str, document: Document, given: Mapping[str, Any]) -> Card:
    """Bring together what the suite, the card and the checkpoint's configs say, in this order."""
    value = document.value if isinstance(document.value, dict) else None
    said = value if value is None else _merged(value, given)
    folder, absent = _files(home, said or {})
    derived = Derived()
    try:
        said, derived = _completed(said, folder, absent, where)
    except WeightsError as error:
        raise CardError(str(error)) from None
    whole = Document(document.value if said is None else said, document.values, document.keys, document.problems)
    card, problems = spec_of(Card, whole)
    if card is None:
        raise CardError("\n".join(_lines(where, whole, problems, derived)), _partial(said or {}))
    card._directory, card._home, card._missing = folder or home, home, absent
    return card


def _partial(said: Mapping[str, Any]) -> Card | None:
    """What a malformed card says of conditions and latents; None if that is malformed, too."""
    known: dict[str, Any] = {"name": shown(said.get("name"))[1:-1], "codec": said.get("codec")}
    try:
        for key, kind in (("labels", Labels), ("text", Text)):
            known[key] = None if said.get(key) is None else kind.model_validate(tuples(said[key]))
    except ValidationError:
        return None
    return Card.model_construct(**known)


def _completed(
    said: dict[str, Any] | None, folder: Path | None, absent: str | None, where: str
) -> tuple[dict[str, Any] | None, Derived]:
    """What the card says with what a pipeline's configs say, and the sha256 of its files."""
    if said is None:
        return None, Derived()
    if absent is not None:
        return {"sha256": {}, **said}, Derived()
    assert folder is not None
    derived, pipeline = Derived(), (folder / INDEX).is_file() and said.get("analytic") is None
    if pipeline:
        derived = derive(folder)
        named = {"name": _as_name(folder.name), "source": where, "license": "see the checkpoint"}
        said = _merged({**named, **derived.keys}, said)
    if (pipeline or said.get("checkpoint") is not None) and not said.get("sha256"):
        said = {**said, "sha256": hashes(folder, said)}
    return said, derived


def _files(home: Path, said: Mapping[str, Any]) -> tuple[Path | None, str | None]:
    """The folder of the checkpoint's files, or why there is none."""
    checkpoint = said.get("checkpoint")
    if not isinstance(checkpoint, dict):
        return home, None
    source, origin, files = (checkpoint.get(key) for key in ("source", "from", "files"))
    wanted = f", {listed(map(str, files))}," if isinstance(files, list | tuple) and files else ""
    had = f"; they can be had from {origin}" if isinstance(origin, str) else ""
    if isinstance(source, str) and source.startswith(PREFIX):
        hub = HubName.parse(source)
        return hub.snapshot, None if hub.snapshot else hub.advice
    if isinstance(source, str):
        folder = home / source
    else:
        folder = weights_folder() / str(said.get("name"))
    if folder.is_dir():
        return folder, None
    return None, f"the checkpoint's files{wanted} are not in {folder}{had}"


def weights_folder() -> Path:
    """Where files that a user has to fetch are looked for: ``$DIFFBENCH_WEIGHTS``, or ``~/.cache/diffbench``."""
    return Path(os.path.expanduser(os.environ.get("DIFFBENCH_WEIGHTS") or "~/.cache/diffbench"))


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` before ``below``, key by key also inside the parts of a card; a part that is null stays null."""
    merged = {**below, **above}
    for key in _PARTS:
        low, high = below.get(key), above.get(key)
        if isinstance(low, dict) and isinstance(high, dict):
            merged[key] = _merged(low, high)
    return merged


def _lines(where: str, document: Document, problems: Iterable[Problem], derived: Derived) -> list[str]:
    """Problems as lines; a missing key that the configs should have stated says so."""
    lines = []
    for _, line, column, text in located(problems, document):
        missing = next((key for key in derived.unsaid if f'the key "{key.split(".")[-1]}" is missing' in text), None)
        reason = f"; {derived.unsaid[missing]}: say it in the card, or under card: in the suite" if missing else ""
        place = f"{where}:{line}:{column}" if document.values else where
        lines.append(f"{place}: {text}{reason}")
    return lines


def _as_name(text: str) -> str:
    """A name of a card from that of a folder or repository."""
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-+=") else "-" for letter in text)
    return kept.lstrip(".-+=")[:64] or "model"


def _nothing_at(name: str, path: Path) -> str:
    if not looks_like_path(name):
        return unknown("model", name, known_models())
    name = name if len(name) < LONGEST_SHOWN else "…" + name[4 - LONGEST_SHOWN :]  # the end tells paths apart
    if path.name == FILE:
        return f"{shown(name)}: no {FILE} there, and no {INDEX}"
    return f"{shown(name)}: no such folder or card"
