"""What every command line waits for: nothing heavy is imported before it is needed."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers", "matplotlib", "pandas", "scipy")
SLOW = ("numpy", "pydantic", "rich")


def imported(call, tmp_path):
    """The modules that a command imports, run in a process of its own."""
    code = (
        "import contextlib, io, json, sys\n"
        "from diffbench.cli import main\n"
        f"sys.argv = ['diffbench', *{call.split()!r}]\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    try:\n        main()\n    except SystemExit as leave:\n        assert not leave.code, leave.code\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


LISTS = [f"list {what}" for what in ("models", "samplers", "metrics", "grids", "suites", "extractors")]


@pytest.mark.parametrize(
    "call", [*LISTS, *(f"show {what}" for what in ("ddim", "fid", "ddpm-mnist", "quickstart")), "validate quickstart"]
)
def test_no_list_imports_anything_heavy(call, tmp_path):
    assert not imported(call, tmp_path) & {*HEAVY}


@pytest.mark.parametrize(("call", "needed"), [("--help", ()), ("run --help", ()), ("list models", ("rich",)),
                                              ("list suites --json", ())])  # fmt: skip
def test_help_and_short_lists_import_next_to_nothing(call, needed, tmp_path):
    assert imported(call, tmp_path) & {*HEAVY, *SLOW} == {*needed}
