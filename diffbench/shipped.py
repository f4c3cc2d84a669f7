"""Where the suites and reference models that come with diffbench lie: inside the wheel, or beside the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CARD = "card.yaml"
PUBLISHED = "published"
_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    inside_wheel = _PACKAGE / "data" / name
    return inside_wheel if inside_wheel.is_dir() else _PACKAGE.parent / name


def suites() -> Path:
    """Folder of the shipped suites (``quickstart.yaml`` …)."""
    return _folder("suites")


def suite_names() -> list[str]:
    """Names of the shipped suites: ``quickstart`` …, and ``published/ddpm-cifar10`` … of a folder's."""
    return sorted(path.relative_to(suites()).with_suffix("").as_posix() for path in suites().rglob("*.yaml"))


def reference_models() -> Path:
    """Folder of the shipped models, the embedded extractor and the references."""
    return _folder("reference_models")


def card_paths() -> dict[str, Path]:
    """The shipped cards by the name of their model: those whose files come along, then those of published ones."""
    folder = reference_models()
    found = [*sorted(folder.glob(f"*/{CARD}")), *sorted(folder.glob(f"{PUBLISHED}/*/{CARD}"))]
    return {path.parent.name: path for path in found}


def references() -> dict[str, Path]:
    """The JSON files of the shipped references, by name."""
    return {path.stem: path for path in sorted((reference_models() / "references").glob("*.json"))}


def is_published(card: Path) -> bool:
    """Whether a shipped card is of a published checkpoint, whose files a user has to fetch."""
    return card.parent.parent.name == PUBLISHED


def model_names() -> list[str]:
    """Names of the models whose files come with diffbench."""
    return [name for name, path in card_paths().items() if not is_published(path)]


def cards() -> dict[str, dict[str, Any]]:
    """What the shipped cards say, by the name of their model, unchecked: fast, for lists."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {name: yaml.load(path.read_bytes(), loader) for name, path in card_paths().items()}


def extractor_config(name: str) -> dict[str, Any]:
    """What ``config.json`` of an embedded extractor says: ``sha256``, ``feature_dim``, ``classes``; {} if unknown."""
    try:
        content = json.loads((reference_models() / name / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
