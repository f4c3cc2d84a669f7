"""The root command, and the options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from diffbench import __version__
from diffbench.cli import completion
from diffbench.errors import UsageError
from diffbench.models.consent import Consent

Command = TypeVar("Command", bound=Callable[..., Any])


def options(*chosen: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Several options as one decorator; help lists them in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(chosen):
            command = option(command)
        return command

    return decorate


suite_argument = click.argument("suite", shell_complete=completion.suites)
run_argument = click.argument(
    "run_folder", metavar="RUN", type=click.Path(path_type=Path), shell_complete=completion.runs
)
only = click.option("--only", metavar="RULE", help="Cells to take, as in 'model=ddpm-mnist,sampler=ddim,nfe<=20'.")
overrides = click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change a value of the suite.")


ema_option = click.option(
    "--ema/--no-ema",
    default=None,
    help="Whether a pipeline's weights are the moving average, which its configs do not say.",
)


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
data_option = options(
    click.option(
        "--data", default="digits", show_default=True, help="digits, a folder of PNG or JPEG, or an .npz or .npy."
    ),
    values_option,
)
network_options = options(
    click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True,
                 help="Images in a call of the network."),
    click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32",
                 show_default=True),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:<index>."),
    click.option("--quiet", is_flag=True, help="No progress."),
)  # fmt: skip


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


class _InOrder(click.Group):
    """Lists its commands in the order in which one needs them, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """As they were added."""
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="diffbench")
def cli() -> None:
    """Benchmark diffusion samplers: quality against cost, with intervals."""
