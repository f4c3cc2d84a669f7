"""The command line: parse, call, print. Modules that need torch are imported by the commands that need them."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from diffbench.cli.benches import bench
from diffbench.cli.cache import cache
from diffbench.cli.check import check
from diffbench.cli.compare import baseline, compare
from diffbench.cli.doctor import doctor
from diffbench.cli.export import export
from diffbench.cli.fetch import fetch
from diffbench.cli.group import cli
from diffbench.cli.history import history
from diffbench.cli.likelihood import likelihood
from diffbench.cli.lists import list_
from diffbench.cli.look import plan, status, validate
from diffbench.cli.printing import say
from diffbench.cli.run import merge, report, run
from diffbench.cli.score import reference, score
from diffbench.cli.show import show
from diffbench.cli.writing import init, schema
from diffbench.errors import DiffbenchError

_RUNS = (run, plan, validate, status, report, compare, baseline, history, merge, export, cache)
_IMAGES_AND_MODELS = (score, reference, likelihood, check, fetch)
for command in (*_RUNS, *_IMAGES_AND_MODELS, list_, show, doctor, init, schema, bench):
    cli.add_command(command)


def main() -> None:
    """Run the command line; every error is one clear line on stderr and an exit code."""
    # Read when torch is first imported. By default, threads that wait spin for milliseconds, which beside another job
    # costs most of the machine: a network's call took 21 ms an image on two cores, 3.4 ms with a short spin, and the
    # same 1.4 ms as by default on a quiet machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _leave("interrupted", 130)
    except click.ClickException as error:
        said = error.format_message()
        help_itself = said.startswith("Usage: ")  # of a group without a command
        say(said if help_itself else f"{_usage(error)}Error: {said}", err=True)
        sys.exit(error.exit_code)
    except DiffbenchError as error:
        _leave(str(error), error.exit_code)
    except KeyboardInterrupt:
        _leave("interrupted", 130)
    except OSError as error:
        _leave(f"{error.filename or 'input or output'}: {error.strerror or error}", 4)
    except Exception as error:
        if os.environ.get("DIFFBENCH_DEBUG"):
            raise
        _leave(f"internal error: {type(error).__name__}: {error} (DIFFBENCH_DEBUG=1 shows where)", 4)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """The first Ctrl-C, or a scheduler's SIGTERM, stops in good order; the next one stops at once: nothing is lost."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _quit)
    raise KeyboardInterrupt


def _quit(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, b"interrupted\n")
    os._exit(130)


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.get_usage()}\n" if context is not None else ""


def _leave(message: str, code: int) -> NoReturn:
    say(message, err=True)
    sys.exit(code)
