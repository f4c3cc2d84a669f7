"""What the shell completes: names of suites, models and extractors, run folders; click writes the scripts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from diffbench import shipped


def suites(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shipped suites, and files."""
    return _beside("file", shipped.suite_names(), incomplete)


def models(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shipped models, and folders."""
    return _beside("dir", shipped.model_names(), incomplete)


def extractors(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Extractors."""
    from diffbench.scoring.known import known_extractors

    return _begun(known_extractors(), incomplete)


def runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Run folders under ``runs`` and beside what was typed, and any other folder."""
    return _beside("dir", _run_folders(incomplete), incomplete)


def named(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Everything that ``show`` knows, and files."""
    from diffbench.catalog import METRICS, SAMPLERS

    names = [*shipped.suite_names(), *shipped.card_paths(), *SAMPLERS, *METRICS, *_run_folders(incomplete)]
    return _beside("file", names, incomplete)


def _run_folders(incomplete: str) -> list[str]:
    parent = incomplete.rpartition("/")[0]
    try:
        found = {path.parent for place in {Path("runs"), Path(parent)} for path in place.glob("*/suite.yaml")}
    except (OSError, ValueError):
        return []
    return sorted(str(path) for path in found)


def _beside(kind: str, names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Names, after what lets the shell complete paths where no name fits."""
    return [CompletionItem(incomplete, type=kind), *_begun(names, incomplete)]


def _begun(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
