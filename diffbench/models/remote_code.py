"""Checkpoints that want code of their own to run: refused. Read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diffbench.document.words import shown
from diffbench.errors import WeightsError
from diffbench.models.checked_file import inside_fault, read_unchecked_json

LIBRARIES = ("diffusers", "transformers")
_CODE_KEYS = ("auto_map", "custom_pipeline")


def refuse_remote_code(model_index: Mapping[str, Any], folder: Path) -> None:
    """Refuse a pipeline that brings code: to be called with its ``model_index.json`` before anything is built.

    Components must be classes of diffusers (also of its own pipelines' modules) or transformers; neither the index nor
    the config of a component may name code (``auto_map``, ``custom_pipeline``), and no Python file may lie in
    ``folder`` or in that of a component. Raises WeightsError.
    """
    index = folder / "model_index.json"
    refuse_code_in_config(model_index, index)
    if not isinstance(model_index.get("_class_name"), str):
        raise WeightsError(f"{index}: _class_name is {shown(model_index.get('_class_name'))}, not a class of diffusers")
    components = {name: value for name, value in model_index.items() if isinstance(value, list | tuple)}
    for name, value in components.items():
        if fault := inside_fault(name):
            raise WeightsError(f"{index}: {fault}")
        if list(value) != [None, None] and not _known(value):
            raise WeightsError(
                f"{index}: {shown(name)} is {shown(value)}, neither of {' nor of '.join(LIBRARIES)}; "
                "a checkpoint's own code is not run"
            )
    for part in ("", *components):
        _refuse_files(folder, part)


def refuse_code_in_config(config: Mapping[str, Any], path: Path) -> None:
    """Refuse a network's config that names code. ``path``: what messages call it. Raises WeightsError."""
    for key in _CODE_KEYS:
        if config.get(key) is not None:
            raise WeightsError(f"{path}: has {shown(key)}, which names code; a checkpoint's own code is not run")


def _known(value: Any) -> bool:
    """Whether a component is ``[library, class]`` of a library that is installed for it, not of the checkpoint."""
    if len(value) != 2 or not all(isinstance(part, str) and part.isidentifier() for part in value):
        return False
    return value[0] in LIBRARIES or value[0] in _pipeline_modules()


def _pipeline_modules() -> set[str]:
    """Modules of diffusers' pipelines, by which an index names what is theirs: stable_diffusion's safety checker."""
    spec = find_spec("diffusers")
    places = (spec.submodule_search_locations if spec else None) or []
    return {path.parent.name for place in places for path in Path(place, "pipelines").glob("*/__init__.py")}


def _refuse_files(folder: Path, part: str) -> None:
    """Refuse Python files and configs that name code, in the folder of one component."""
    for path in sorted((folder / part).glob("*")):
        if path.suffix == ".py":
            raise WeightsError(
                f"{path}: is code, and a checkpoint's own code is not run; remove it if it is not needed"
            )
        if path.name.endswith("config.json"):
            refuse_code_in_config(read_unchecked_json(folder, str(path.relative_to(folder).as_posix())), path)
