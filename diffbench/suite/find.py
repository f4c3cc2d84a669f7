"""Where a suite lies: a path, or the name of one that comes with diffbench."""

from __future__ import annotations

from pathlib import Path

from diffbench import shipped
from diffbench.document.words import unknown
from diffbench.errors import UsageError
from diffbench.models.find import looks_like_path


def find_suite(path_or_name: str | Path, directory: Path = Path()) -> Path:
    """Path of a suite: a file as it is (relative ones from ``directory`` on), or the name of a shipped suite.

    UsageError if there is neither.
    """
    name, path = str(path_or_name), Path(path_or_name)
    known = shipped.suite_names()
    if isinstance(path_or_name, Path) or (looks_like_path(name) and name not in known):
        return directory / path
    if name in known:
        return shipped.suites() / f"{name}.yaml"
    raise UsageError(unknown("suite", name, known) + "; a file is given by its path, such as ./my.yaml")
