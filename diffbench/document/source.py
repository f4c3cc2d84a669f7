"""A YAML file on disk to a ``Document``, and a document's problems to lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import ValidationError

from diffbench.document.spec import Spec, problems_of, tuples
from diffbench.document.tree import MAX_BYTES, Document, Path, Problem, Unreadable, at, parse
from diffbench.document.words import shown

Located = tuple[str, int, int, str]
T = TypeVar("T", bound=Spec)


def read_document(path: FilePath) -> Document:
    """Read a YAML file; never raises: a file that can't be read is a document with that problem."""
    try:
        if not path.exists():
            return _failed("no such file")
        if not path.is_file():
            return _failed("not a file" if not path.is_dir() else "a folder, not a file")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return _failed(f"can't be read: {getattr(error, 'strerror', None) or error}")
    return parse_bytes(data)


def parse_bytes(data: bytes) -> Document:
    """Parse a file's content, which must be UTF-8 and at most 1 MB; never raises."""
    if len(data) > MAX_BYTES:
        return _failed(f"larger than {MAX_BYTES} bytes")
    try:
        return parse(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        position = before.count("\n") + 1, len(before) - before.rfind("\n")
        hint = "; it looks like UTF-16: save it as UTF-8" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        return _failed(f"not UTF-8: byte 0x{data[error.start]:02X}{hint}", position)


def _failed(message: str, position: tuple[int, int] = (1, 1)) -> Document:
    return Document(Unreadable(), problems=[Problem((), message, position)])


def spec_of(model: type[T], document: Document, context: Any = None) -> tuple[T | None, list[Problem]]:
    """Validate a document; its own problems and the model's come together."""
    if isinstance(document.value, Unreadable):
        return None, document.problems
    if not isinstance(document.value, dict):
        what = "the file is empty" if document.value is None else f"{shown(document.value)} is not allowed"
        return None, [*document.problems, Problem((), f"{what}; expected a mapping of keys to values")]
    try:
        result = model.model_validate(tuples(document.value), context=context)
    except ValidationError as error:
        return None, [*document.problems, *problems_of(error)]
    return (None if document.problems else result), document.problems


def existing(value: Any, path: Path) -> Path:
    """The longest beginning of ``path`` that a document's value has."""
    for depth, part in enumerate(path):
        inside = isinstance(value, dict) and part in value
        inside |= isinstance(value, list | tuple) and isinstance(part, int) and 0 <= part < len(value)
        if not inside:
            return path[:depth]
        value = value[part]
    return path


def located(problems: Iterable[Problem], document: Document) -> list[Located]:
    """Every problem once, as (file, line, column, text), by place; file is "" for the document's own."""
    lines: dict[Located, None] = {}
    for problem in problems:
        path = existing(document.value, problem.path)
        file, position = document.place(path, problem.at_key)
        if problem.position is not None:
            file, position = problem.file, problem.position
        lines[file, *position, at(path) + problem.message] = None
    return sorted(lines, key=lambda one: one[:3])
