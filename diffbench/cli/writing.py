"""``init`` and ``schema``: help for whoever writes a suite."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbench.cli.group import as_json as _json
from diffbench.cli.group import ema_option
from diffbench.cli.printing import rows_as_json, say
from diffbench.errors import UsageError
from diffbench.inert import printable

if TYPE_CHECKING:
    from diffbench.models.card import Card

_OF_FAMILY = {"ddpm": "ddpm-mnist", "latent": "ldm-mnist", "score-sde": "score-vp-mnist"}


@click.command(short_help="Write a commented suite to edit.")
@click.argument("model", metavar="[FAMILY|MODEL]", default="ddpm")
@click.option("--out", default="my-suite.yaml", show_default=True, metavar="FILE", help="The file; - prints it.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@ema_option
@_json
def init(model: str, out: str, force: bool, ema: bool | None, as_json: bool) -> None:
    """Write a commented suite to edit, for a FAMILY (ddpm, latent, score-sde), a shipped model, or a model's folder.

    The schema that editors complete keys by is put beside it (diffbench schema).
    """
    from diffbench.store.atomic import write_atomically
    from diffbench.suite.starter import SCHEMA_FILE, starter

    printed, path = out == "-", Path(out)
    card, source = _model(model, Path() if printed else path.parent, ema)
    text = starter(card, source, "./my-suite.yaml" if printed else _as_argument(path), ema)
    if printed:
        rows_as_json([{"model": card.name, "text": text}]) if as_json else say(text.rstrip("\n"))
        return
    if path.exists() and not force:
        raise UsageError(f"{path}: exists; give --force to replace it, or another --out")
    write_atomically(path, text.encode())
    schema = path.parent / SCHEMA_FILE
    if force or not schema.exists():
        write_atomically(schema, _schema(card=False).encode())
    if as_json:
        rows_as_json([{"model": card.name, "suite": str(path), "schema": str(schema)}])
        return
    say(f"{path}: a suite for {card.name}, to edit; {schema.name} beside it is for your editor")
    say(f"diffbench run {_as_argument(path)} --smoke tries it")


@click.command(short_help="Print the JSON Schema of suites, for editors.")
@click.option("--card", is_flag=True, help="That of model cards.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to a file instead.")
@_json
def schema(card: bool, out: Path | None, as_json: bool) -> None:
    """Print the JSON Schema of suites, with the samplers, metrics and models that are installed here.

    An editor with a YAML language server completes and checks a suite that begins with the line
    `# yaml-language-server: $schema=diffbench.schema.json`.
    """
    from diffbench.store.atomic import write_atomically

    text = _schema(card)
    if out is not None:
        write_atomically(out, text.encode())
    row = {"schema": json.loads(text)} if out is None else {"path": str(out)}
    if as_json:
        rows_as_json([row])
    else:
        say(text.rstrip("\n") if out is None else f"{out}: written")


def _schema(card: bool) -> str:
    from diffbench.models.schema import card_schema
    from diffbench.suite.schema import suite_schema

    return json.dumps(card_schema() if card else suite_schema(), indent=1, ensure_ascii=False) + "\n"


def _model(given: str, directory: Path, ema: bool | None) -> tuple[Card, str | None]:
    """The card of what is given, and the path of its folder from ``directory``; None for a shipped model."""
    from diffbench.document.scalars import FORBIDDEN
    from diffbench.document.words import shown, unknown
    from diffbench.models.find import load_card, looks_like_path, shipped_models

    name = _OF_FAMILY.get(given, given)
    if name in shipped_models() and not looks_like_path(given):
        return load_card(name), None
    if not looks_like_path(given) and not Path(given).exists():
        raise UsageError(unknown("family or model", given, (*_OF_FAMILY, *shipped_models())))
    card = load_card(Path(given), {} if ema is None else {"ema": ema})
    way = Path(os.path.relpath(card.home.resolve(), directory.resolve())).as_posix()
    if FORBIDDEN.search(way):
        raise UsageError(f"{shown(way)}: no suite can hold this path; rename the folder")
    return card, way if way.startswith(".") else f"./{way}"


def _as_argument(path: Path) -> str:
    """The path as a shell's ``run`` takes it: never like an option or the name of a shipped suite."""
    text = str(path)
    if text.startswith("-") or not ("/" in text or text.endswith((".yaml", ".yml"))):
        text = f"./{text}"
    return shlex.quote(printable(text))
