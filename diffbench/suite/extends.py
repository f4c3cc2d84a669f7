"""``extends:`` in a suite: another suite that this one changes, as by JSON Merge Patch (RFC 7396).

Mappings are merged key by key, at any depth; every other value, lists among them, replaces that of the base; null takes
a key of the base out. Relative paths mean what they mean in the file where they stand. The base's ``name`` is not
inherited, for it names the run folder. A base may extend another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffbench.document.source import read_document
from diffbench.document.tree import UNREADABLE, Document, Problem
from diffbench.document.tree import Path as KeyPath
from diffbench.document.words import shown
from diffbench.errors import UsageError
from diffbench.suite.find import find_suite
from diffbench.suite.gates import Comparing
from diffbench.suite.model_choice import ModelChoice

KEY = "extends"
MAX_FILES = 8

# What an unreadable base may have said: not missing, but not known.
_UNKNOWN = dict.fromkeys(("models", "samplers", "budgets"), UNREADABLE)


def extended(document: Document, directory: Path, chain: tuple[Path, ...]) -> Document:
    """The document with its base below it, if it names one; what is wrong with that is among its problems.

    ``chain`` are the files that led here, this one last.
    """
    given = document.value.get(KEY) if isinstance(document.value, dict) else None
    if not isinstance(given, str):
        return document
    own = {key: value for key, value in document.value.items() if key != KEY}
    found = _base(given, directory, chain)
    if isinstance(found, str):
        problem = Problem((), f"{KEY}: {found}", document.values.get((KEY,)))
        return replace(document, value={**_UNKNOWN, **own}, problems=[*document.problems, problem])
    path, base = found
    if not isinstance(base.value, dict):
        if not base.problems:
            base.problems.append(Problem((), "expected a mapping of keys to values", (1, 1)))
        base.value = dict(_UNKNOWN)
    base.value.pop("name", None)
    return _merged(replace(document, value=own), base, path, directory)


def _base(given: str, directory: Path, chain: tuple[Path, ...]) -> tuple[Path, Document] | str:
    """The base and where it lies, its own base below it; or why there is none, in words."""
    try:
        path = find_suite(given, directory)
    except UsageError as error:
        return str(error)
    if any(_same(path, earlier) for earlier in chain):
        names = " extends ".join(shown(str(one))[1:-1] for one in (*chain, path))
        return f"{shown(given)} goes round in a circle: {names}"
    if len(chain) >= MAX_FILES:
        return f"{shown(given)}: more than {MAX_FILES} files that extend each other"
    document = read_document(path)
    if not document.values and document.problems and not _is_file(path):
        return f"{shown(given)}: {document.problems[0].message}"
    return path, extended(document, path.parent, (*chain, path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with NUL
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve()
    except (OSError, ValueError, RuntimeError):
        return False


def _merged(own: Document, base: Document, path: Path, directory: Path) -> Document:
    kept: set[KeyPath] = set()
    below = _anchored(base.value, path.parent) if path.parent != directory else base.value
    value = _patched(below, own.value, (), kept)
    result = Document(value, dict(own.values), dict(own.keys), list(own.problems), dict(own.files))
    for mine, theirs in ((result.values, base.values), (result.keys, base.keys)):
        for place, position in theirs.items():
            if any(place[:depth] in kept for depth in range(1, len(place) + 1)):
                mine[place] = position
                result.files[place] = base.files.get(place, str(path))
    for problem in base.problems:
        file, position = (
            base.place(problem.path, problem.at_key) if problem.position is None else ("", problem.position)
        )
        result.problems.append(replace(problem, position=position, file=problem.file or file or str(path)))
    return result


def _patched(base: Any, own: Any, path: KeyPath, kept: set[KeyPath]) -> Any:
    """``own`` laid over ``base``; ``kept`` gets the paths of what stays of the base."""
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    result: dict[str, Any] = {}
    for key in (*base, *(key for key in own if key not in base)):
        if key not in own:
            result[key] = base[key]
            kept.add((*path, key))
        elif own[key] is not None or key not in base:
            result[key] = _patched(base.get(key), own[key], (*path, key), kept)
    return result


def _anchored(suite: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The suite with its relative paths made absolute."""
    anchored = dict(suite)
    if isinstance(models := suite.get("models"), list):
        anchored["models"] = [ModelChoice.anchored(model, directory) for model in models]
    if isinstance(compare := suite.get("compare"), dict):
        anchored["compare"] = Comparing.anchored(compare, directory)
    return anchored
