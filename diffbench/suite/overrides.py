"""``--set dotted.key=YAML`` on a suite's document, with problems that point at the option instead of the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from diffbench.document.tree import Document, Path, Problem, Unreadable, parse
from diffbench.document.words import key_path, shown


@dataclass(frozen=True)
class Overridden:
    """Where values came from ``--set``, and what was wrong with the options themselves."""

    paths: tuple[Path, ...]
    problems: tuple[str, ...]

    def covers(self, path: Path) -> bool:
        """Whether the value at ``path`` came from ``--set``."""
        return any(path[: len(own)] == own for own in self.paths)


def apply(document: Document, overrides: Sequence[str]) -> Overridden:
    """Put every ``key=value`` into the document's value, in order."""
    paths: list[Path] = []
    problems: list[str] = []
    for override in overrides:
        key, equals, text = override.partition("=")
        path = tuple(int(part) if part.isascii() and part.isdigit() else part for part in key.strip().split("."))
        if not equals or "" in path:
            problems.append(f"--set {shown(override)[1:-1]}: expected KEY=VALUE, as in budgets.nfe=[5,10]")
            continue
        value = parse(text)
        trouble = [problem.message for problem in value.problems]
        if not trouble and (blocked := _put(document.value, path, value.value)):
            trouble = [blocked]
        problems += [f"--set {key_path(path)}: {message}" for message in trouble]
        if not trouble:
            paths.append(path)
    return Overridden(tuple(paths), tuple(problems))


def _put(value: Any, path: Path, new: Any) -> str | None:
    """Set the value at ``path``, making mappings on the way; what stands in the way, in words, or None."""
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        where = key_path(path[:depth]) or "the suite"
        if isinstance(value, list):
            if not isinstance(part, int) or part >= len(value):
                return f"{where} is a list of {len(value)}; expected an index from 0 to {len(value) - 1}"
            if not last and value[part] is None:
                value[part] = {}
        elif isinstance(value, dict):
            part = str(part)
            if not last and value.get(part) is None:
                value[part] = {}
        else:
            said = "not readable" if isinstance(value, Unreadable) else shown(value)
            return f"{where} is {said}, which has no key {shown(str(part))}"
        if last:
            value[part] = new
        else:
            value = value[part]
    return None


def as_option(problem: Problem, overridden: Overridden) -> str | None:
    """The problem as text if it lies in an overridden value."""
    if not overridden.covers(problem.path):
        return None
    return f"--set {key_path(problem.path)}: {problem.message}"
