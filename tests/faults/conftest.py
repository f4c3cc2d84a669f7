import pytest
from faults.sandbox import COUNTS, SHARDS, Box
from tiny_model import write_checkpoint


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def whole(tiny, tmp_path_factory):
    """A run that nothing disturbed."""
    box = Box(tmp_path_factory.mktemp("whole"), tiny)
    outcome = box.sample()
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert box.shards_begun() == SHARDS
    box.seconds = outcome.seconds
    return box


@pytest.fixture
def box(tiny, tmp_path):
    return Box(tmp_path / "box", tiny)


def pytest_terminal_summary(terminalreporter):
    if COUNTS:
        terminalreporter.section("fault tests")
        for name, count in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{count:6d} {name}")
