"""Where the suites and reference models that come with diffbench lie: inside the wheel, or beside the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CARD = "card.yaml"
_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    inside_wheel = _PACKAGE / "data" / name
    return inside_wheel if inside_wheel.is_dir() else _PACKAGE.parent / name


def suites() -> Path:
    """Folder of the shipped suites (``quickstart.yaml`` …)."""
    return _folder("suites")


def reference_models() -> Path:
    """Folder of the shipped models, the embedded extractor and the references."""
    return _folder("reference_models")


def suite_names() -> list[str]:
    """Names of the shipped suites."""
    return sorted(path.stem for path in suites().glob("*.yaml"))


def model_names() -> list[str]:
    """Names of the shipped models: folders that have a card."""
    return sorted(path.parent.name for path in reference_models().glob(f"*/{CARD}"))


def cards() -> dict[str, dict[str, Any]]:
    """What the cards of the shipped models say, by name, unchecked: fast, for lists."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {name: yaml.load((reference_models() / name / CARD).read_bytes(), loader) for name in model_names()}


def extractor_config(name: str) -> dict[str, Any]:
    """What ``config.json`` of an embedded extractor says: ``sha256``, ``feature_dim``, ``classes``; {} if unknown."""
    try:
        content = json.loads((reference_models() / name / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
