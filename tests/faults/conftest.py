import os
import shutil
import tempfile
from pathlib import Path

import pytest
from faults.sandbox import COUNTS, SHARDS, Box
from tiny_model import write_checkpoint


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def memory():
    """A folder in memory, where there is one: a kill is none of the disk's business, and thousands of runs are."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def whole(tiny, memory):
    """A run that nothing disturbed."""
    box = Box(memory / "whole", tiny)
    outcome = box.sample()
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert box.shards_begun() == SHARDS
    box.seconds = outcome.seconds
    return box


@pytest.fixture
def room(memory):
    """A folder of the test's own."""
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def box(tiny, room):
    return Box(room / "box", tiny)


def pytest_terminal_summary(terminalreporter):
    if COUNTS:
        terminalreporter.section("fault tests")
        for name, count in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{count:6d} {name}")
