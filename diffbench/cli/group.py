"""The root command, and the options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from diffbench import __version__
from diffbench.errors import UsageError
from diffbench.models.consent import Consent

only = click.option("--only", metavar="RULE", help="Cells to take, as in 'model=ddpm-mnist,sampler=ddim,nfe<=20'.")
overrides = click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change a value of the suite.")


def allowing(command: Callable[..., None]) -> Callable[..., None]:
    """What checkpoints may do, as the argument ``consent``."""
    code = click.option("--allow-code", is_flag=True, help="Let a card's network factory or exported program run.")
    pickles = click.option("--allow-pickle", is_flag=True, help="Read tensors of checkpoints that are pickles.")

    @code
    @pickles
    @wraps(command)
    def consenting(*args: Any, allow_code: bool, allow_pickle: bool, **options: Any) -> None:
        command(*args, consent=Consent(allow_code, allow_pickle), **options)

    return consenting


as_json = click.option("--json", "as_json", is_flag=True, help="Print rows as one JSON array on stdout.")

values_option = click.option(
    "--range", "values", metavar="LOW,HIGH", help="Black and white of float arrays, as in -1,1."
)


def read_range(text: str | None) -> tuple[float, float] | None:
    """What ``--range`` says. Raises UsageError."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*([-+\d.eE]+)\s*,\s*([-+\d.eE]+)\s*", text)
    try:
        if match is not None:
            return float(match[1]), float(match[2])
    except ValueError:
        pass
    raise UsageError(f"--range {text!r}: expected two numbers, as in -1,1")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="diffbench")
def cli() -> None:
    """Benchmark diffusion samplers: quality against cost, with intervals."""
