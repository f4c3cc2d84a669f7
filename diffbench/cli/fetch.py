"""``fetch``: checkpoints of the hub into its cache."""

from __future__ import annotations

from typing import Any

import click

from diffbench.cli.group import as_json as _json
from diffbench.cli.printing import rows_as_json, say
from diffbench.errors import UsageError


@click.command(short_help="Download what hf:// names need, into the hub's cache.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_json
def fetch(names: tuple[str, ...], as_json: bool) -> None:
    """Download checkpoints of the Hugging Face hub: configs and safetensors of every NAME, at one commit.

    NAME is hf://owner/name@revision, a known model, a card, or a suite, of which all models are taken. Files that are
    in the cache stay; no other command downloads anything.
    """
    from diffbench.models.hub import HubName
    from diffbench.models.hub import fetch as download

    wanted = [hub for name in names for hub in _hub_names(name)]
    rows = []
    for hub in dict.fromkeys(wanted):
        parsed = HubName.parse(hub)
        rows.append({"name": str(parsed), "path": str(parsed.snapshot or download(parsed))})
        if not as_json:
            say(f"{parsed}: {rows[-1]['path']}")
    if as_json:
        rows_as_json(rows)


def _hub_names(name: str) -> list[str]:
    """The names of the hub that a name stands for."""
    from diffbench.document.source import read_document
    from diffbench.models.find import known_models
    from diffbench.models.hub import PREFIX
    from diffbench.suite.extends import extended
    from diffbench.suite.find import find_suite

    if name.startswith(PREFIX):
        return [name]
    if name in known_models():
        found = _of_card(name)
    else:
        path = find_suite(name)
        value = extended(read_document(path), path.parent, (path,)).value
        if not isinstance(value, dict):
            raise UsageError(f"{name}: no suite and no card that can be read")
        models = value.get("models")
        listed = models if isinstance(models, list) else []
        found = (
            [hub for model in listed for hub in _of_model(model, path.parent)] if "models" in value else _of_card(path)
        )
    if not found:
        raise UsageError(f"{name}: names nothing of the hub")
    return found


def _of_model(model: Any, folder: Any) -> list[str]:
    """The hub's name behind an entry of a suite's models."""
    from diffbench.models.find import looks_like_path
    from diffbench.models.hub import PREFIX

    name = (
        model
        if isinstance(model, str)
        else (model.get("source") or model.get("name"))
        if isinstance(model, dict)
        else ""
    )
    if not isinstance(name, str) or name.startswith(PREFIX):
        return [name] if isinstance(name, str) else []
    return _of_card(folder / name if looks_like_path(name) else name)


def _of_card(source: Any) -> list[str]:
    from diffbench.errors import CardError
    from diffbench.models.find import load_card
    from diffbench.models.hub import PREFIX

    try:
        checkpoint = load_card(source).checkpoint
    except CardError:  # validate says what is wrong with it
        return []
    known = checkpoint is not None and checkpoint.source is not None and checkpoint.source.startswith(PREFIX)
    return [checkpoint.source] if known and checkpoint is not None and checkpoint.source is not None else []
