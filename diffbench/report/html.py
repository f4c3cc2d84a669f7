"""Pages from templates: everything escaped, and for HTML everything inside the one file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from diffbench.inert import markdown_text, printable
from diffbench.report.content import Content
from diffbench.report.page_data import script_text
from diffbench.report.tables import Table, markdown
from diffbench.store.atomic import read_bytes

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_SCRIPT = ("dom", "chart", "figures", "table", "samples")  # samples.js, the last, starts all of them


def _environment(**options: Any) -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **options
    )


def _plain(value: Any) -> Any:
    """Any text without characters that act on the page; markup of ours passes."""
    return value if isinstance(value, Markup) else printable(value)


def _block(text: str) -> Markup:
    """Text of several lines for a ``pre``."""
    return Markup("\n").join(escape(printable(line.expandtabs())) for line in text.splitlines())


def render_html(page: Content, figures: Path, data: Any) -> str:
    """The page as one HTML file that asks for nothing: images, style, script and ``data`` (JSON-able) are inside.

    Raises:
        StoreError: a figure that the page shows can't be read from ``figures``.
    """
    shown = [picture.name for picture in page.pictures if picture.shown]
    images = {name: png(read_bytes(figures / f"{name}.png")) for name in shown}
    parts = "\n".join((_TEMPLATES / "script" / f"{part}.js").read_text(encoding="utf-8") for part in _SCRIPT)
    script = f'(() => {{\n"use strict";\n{parts}}})();\n'
    return render_page(
        "report.html.j2",
        styles=("report.css", "page.css"),
        page=page,
        images=images,
        data=Markup(script_text(data)),
        script=Markup(script),
        script_sha256=_digest(script),
    )


def render_page(template: str, styles: Sequence[str] = ("report.css",), **context: Any) -> str:
    """A template as one HTML file that asks for nothing, in the style of all pages."""
    environment = _environment(autoescape=True, finalize=_plain)
    environment.filters["block"] = _block
    style = "".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in styles)
    return environment.get_template(template).render(style=Markup(style), style_sha256=_digest(style), **context)


def _digest(text: str) -> str:
    """The hash by which a policy allows what is inside of a style or a script element."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def png(data: bytes) -> Markup:
    """A PNG file as an address that holds it."""
    return Markup("data:image/png;base64," + base64.b64encode(data).decode())


def render_markdown(page: Content) -> str:
    """The page as Markdown that points to the figures beside it."""
    environment = _environment(
        autoescape=False, finalize=lambda value: value if isinstance(value, Markup) else markdown_text(value)
    )
    environment.filters["table"] = _markdown_table
    environment.filters["fenced"] = _fenced
    environment.filters["path"] = Markup  # file names of ours (``slug``)
    return environment.get_template("report.md.j2").render(page=page)


def _markdown_table(table: Table) -> Markup:
    return Markup(markdown(table))


def _fenced(text: str) -> Markup:
    """A code block that its own text can't close."""
    lines = [printable(line.expandtabs()) for line in text.splitlines()]
    return Markup("\n".join(["```yaml", *(line.replace("```", "` ` `") for line in lines), "```"]))
