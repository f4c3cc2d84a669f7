"""What all tests share: one thread each, the command line as a function, and figures that a test run ends with."""

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

torch.set_num_threads(1)  # the networks of the tests are too small to share, and tests may run beside other work


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


@pytest.fixture
def told(record_property):
    """A function of one text, which stands at the end of the test run, whichever process ran the test."""
    return lambda text: record_property("told", text)


def pytest_terminal_summary(terminalreporter):
    """What the tests that passed have counted."""
    passed = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    lines = [text for report in passed for name, text in report.user_properties if name == "told"]
    if lines:
        terminalreporter.section("counted")
    for line in lines:
        terminalreporter.write_line(line)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """As many processes as cores, up to eight: every one imports torch."""
    return min(os.cpu_count() or 1, 8)
