"""YAML text to plain values, with the line and column of every key and value, and all problems at once.

Built on the event stream, not on nodes: no recursion, and explicit tags, aliases and further documents are seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml import events

from diffbench.document.scalars import FORBIDDEN, plain_value
from diffbench.document.words import key_path, shown

Path = tuple[str | int, ...]
Position = tuple[int, int]

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 50_000
_START: Position = (1, 1)


class Unreadable:
    """Stands for a value whose problem has been reported already."""


UNREADABLE = Unreadable()


@dataclass(frozen=True)
class Problem:
    """What is wrong with the value at ``path`` (with its key, if ``at_key``); ``position`` where it is known.

    ``file`` is where the position is, if that is not the document's own file.
    """

    path: Path
    message: str
    position: Position | None = None
    at_key: bool = False
    file: str = ""


@dataclass
class Document:
    """A document's plain value (dict, list and scalars), where its keys and values begin, and its problems.

    ``files`` says of values that come from another file, which one.
    """

    value: Any = None
    values: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    files: dict[Path, str] = field(default_factory=dict)

    def place(self, path: Path, at_key: bool = False) -> tuple[str, Position]:
        """File (or "") with line and column, from 1, of the value (or key) at ``path``, or of the closest around it."""
        if at_key and path in self.keys:
            return self.files.get(path, ""), self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.files.get(path, ""), self.values.get(path, _START)


@dataclass
class _Frame:
    """An open list or mapping; ``key`` is the key that waits for its value."""

    container: dict[str, Any] | list[Any]
    path: Path
    key: str | Unreadable | None = None


class _Stop(Exception):
    """Nothing after this point is worth reading."""


def parse(text: str) -> Document:
    """Read one YAML document; never raises: what is wrong stands in ``problems``."""
    document = Document()
    if found := FORBIDDEN.search(text):
        before = text[: found.start()]
        position = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"the character U+{ord(found.group()):04X} is not allowed"
        return Document(UNREADABLE, problems=[Problem((), message, position)])
    try:
        _Builder(document).build(_events(text))
    except _Stop:
        document.value = UNREADABLE
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = (mark.line + 1, mark.column + 1) if mark else _START
        reason = " ".join(part for part in (error.context, error.problem) if part)
        document.problems.append(Problem((), f"not valid YAML: {reason}", position))
        document.value = UNREADABLE
    return document


def _events(text: str) -> Iterator[events.Event]:
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_event():
            yield loader.get_event()  # type: ignore[no-untyped-call]
    except (ValueError, OverflowError):  # "\U00110000" and the like
        mark = loader.get_mark()
        raise yaml.MarkedYAMLError(problem="an escaped character that does not exist", problem_mark=mark) from None
    finally:
        loader.dispose()


class _Builder:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.stack: list[_Frame] = []
        self.documents = 0
        self.count = 0

    def build(self, stream: Iterator[events.Event]) -> None:
        for event in stream:
            mark = event.start_mark
            position = (mark.line + 1, mark.column + 1) if mark else _START
            if isinstance(event, events.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self.report((), "a second document begins here; one file holds one document", position)
                    return
            elif isinstance(event, events.CollectionEndEvent):
                self.stack.pop()
            elif isinstance(event, events.NodeEvent):
                self.node(event, position)

    def report(self, path: Path, message: str, position: Position, at_key: bool = False) -> None:
        self.document.problems.append(Problem(path, message, position, at_key))

    def node(self, event: events.NodeEvent, position: Position) -> None:
        path = self.child_path()
        self.count += 1
        if self.count > MAX_VALUES:
            self.report((), f"more than {MAX_VALUES} values in one file", position)
            raise _Stop
        value = self.value_of(event, path, position)
        awaiting_key = bool(self.stack) and isinstance(self.stack[-1].container, dict) and self.stack[-1].key is None
        if awaiting_key:
            self.take_key(value, position)
        else:
            self.place(value, path, position)
        if isinstance(event, events.CollectionStartEvent):
            if len(self.stack) >= MAX_DEPTH:
                self.report((), f"nested more than {MAX_DEPTH} levels deep", position)
                raise _Stop
            container = value if isinstance(value, dict | list) else ([] if _is_sequence(event) else {})
            self.stack.append(_Frame(container, (*path, "?") if awaiting_key else path))

    def child_path(self) -> Path:
        if not self.stack:
            return ()
        frame = self.stack[-1]
        if isinstance(frame.container, list):
            return (*frame.path, len(frame.container))
        return frame.path if frame.key is None else (*frame.path, frame.key if isinstance(frame.key, str) else "?")

    def value_of(self, event: events.NodeEvent, path: Path, position: Position) -> Any:
        if isinstance(event, events.AliasEvent):
            self.report(path, f"the alias *{shown(event.anchor)[1:-1]} is not allowed; write the value out", position)
            return UNREADABLE
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            self.report(path, f"the tag {shown(tag)} is not allowed; write the plain value", position)
            return UNREADABLE
        if isinstance(event, events.CollectionStartEvent):
            return [] if _is_sequence(event) else {}
        assert isinstance(event, events.ScalarEvent)
        try:
            value = event.value if event.style or tag == "!" else plain_value(event.value)
        except ValueError as problem:
            self.report(path, f"{shown(event.value)[1:-1]} {problem}", position)
            return UNREADABLE
        if isinstance(value, str) and (found := FORBIDDEN.search(value)):
            self.report(path, f"the character U+{ord(found.group()):04X} is not allowed", position)
            return UNREADABLE
        return value

    def take_key(self, key: Any, position: Position) -> None:
        frame = self.stack[-1]
        assert isinstance(frame.container, dict)
        frame.key = UNREADABLE
        if isinstance(key, Unreadable):
            return
        if not isinstance(key, str):
            self.report(frame.path, f"{shown(key)} can't be a key; keys are text", position)
        elif key == "<<":
            self.report(frame.path, "merge keys (<<) are not allowed; write the values out", position)
        elif key in frame.container:
            first = self.document.keys[(*frame.path, key)][0]
            self.report((*frame.path, key), f"the key {shown(key)} is given twice (first in line {first})", position)
        else:
            frame.key = key
            self.document.keys[(*frame.path, key)] = position

    def place(self, value: Any, path: Path, position: Position) -> None:
        if not self.stack:
            self.document.value = value
            self.document.values[path] = position
            return
        frame = self.stack[-1]
        if isinstance(frame.container, list):
            frame.container.append(value)
            self.document.values[path] = position
        elif isinstance(frame.key, str):
            frame.container[frame.key] = value
            self.document.values[path] = position
        frame.key = None


def _is_sequence(event: events.NodeEvent) -> bool:
    return isinstance(event, events.SequenceStartEvent)


def at(path: Path) -> str:
    """``path`` as the beginning of a message: ``samplers[0].eta: `` or nothing for the root."""
    return f"{key_path(path)}: " if path else ""
