"""Where the suites and reference models that come with diffbench lie: inside the wheel, or beside the package."""

from __future__ import annotations

from pathlib import Path

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
