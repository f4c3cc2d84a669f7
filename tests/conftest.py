"""One thread each: the networks of the tests are too small to share, and tests may run beside other work."""

import os
import sys

import pytest
import torch
from hypothesis import settings

from diffbench.cli import main

# Continuous integration tries the same examples every time; elsewhere new ones are looked for.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

torch.set_num_threads(1)


@pytest.fixture
def diffbench(monkeypatch, capsys, tmp_path):
    """Runs the command line in a folder of its own; returns exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["diffbench", *arguments])
        code = 0
        try:
            main()
        except SystemExit as leave:
            code = leave.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
