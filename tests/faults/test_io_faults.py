"""Whichever call of the operating system fails: one line, the right exit code, old data intact, then all is well."""

import errno
import os
import shutil
import signal
import subprocess
import sys

import pytest
from faults.sandbox import COUNTS, FAULTS, SHARDS, Box, Calls, fail_with, without_report

from diffbench import results

WRITING = ("write", "fsync", "fchmod", "replace", "link", "unlink", "mkdir")


def check(outcome, name, at):
    where = (name, at, outcome)
    assert outcome.code in (2, 3, 4), where
    lines = outcome.err.splitlines()
    assert lines and "Traceback" not in outcome.err and "internal error" not in outcome.err, where
    assert len(lines) == 1 or "injected" not in outcome.err, where


def every_call(tiny, whole, room, name, step):
    before = whole.artefacts()
    for at in range(1, 10_000, step):
        box = Box(room / str(at), tiny)
        calls = Calls([box.run, tiny], at, fail_with(FAULTS[name]))
        outcome = box.sample(before=calls.install)
        if outcome.code == 0 and at > 300:
            break
        if outcome.code != 0:  # some failures are harmless: a check that is made again, a temporary file that stays
            check(outcome, name, at)
            COUNTS[f"{name} injected, reported in one line"] += 1
        else:
            COUNTS[f"{name} injected, without effect"] += 1
        again = box.sample()
        assert again.code == 0 and box.artefacts() == before, (at, outcome, again)
        assert box.shards_begun() <= SHARDS + 1
        shutil.rmtree(box.folder)
    else:
        pytest.fail("no run ended without a fault")


@pytest.mark.parametrize("name", FAULTS)
def test_some_calls_fail(tiny, whole, room, name):
    every_call(tiny, whole, room, name, step=97)


@pytest.mark.faults
@pytest.mark.parametrize("name", FAULTS)
def test_every_call_fails(tiny, whole, room, name):
    every_call(tiny, whole, room, name, step=1)


def test_a_folder_that_can_only_be_read(box, whole):
    """Nothing is lost, and the whole run can still be looked at."""
    assert box.sample().code == 0
    before, table = box.artefacts(), results.read(box.run)

    class ReadOnly(Calls):
        def _due(self, name):
            return name in WRITING

    calls = ReadOnly([box.run], act=fail_with(errno.EROFS))
    outcome = box.sample("--force", before=calls.install)
    assert outcome.code == 4 and outcome.err.count("\n") == 1 and "Read-only file system" in outcome.err, outcome
    assert box.artefacts() == before == whole.artefacts()
    repeated = box.sample(before=calls.install)
    assert repeated.code == 0 and "nothing was sampled" in repeated.out, repeated
    looked = box.call("status", box.run, before=calls.install)
    assert looked.code == 0, looked
    assert results.read(box.run).equals(table)


def test_a_run_folder_that_is_a_file_is_one_line(box):
    box.run.write_text("")
    outcome = box.sample()
    assert outcome.code == 4 and outcome.err.count("\n") == 1 and str(box.run) in outcome.err, outcome


def closed(descriptor):
    def close():
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, descriptor)

    return close


@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_reader_that_went_away_does_not_stop_a_run(box, whole, descriptor):
    outcome = box.call("run", box.suite, "--out", box.run, before=lambda: (without_report(), closed(descriptor)()))
    assert outcome.code == 0 and "Traceback" not in outcome.err, outcome
    assert box.artefacts() == whole.artefacts()


def test_head_ends_a_listing_quietly():
    code = "import sys; from diffbench.cli import main; sys.argv = ['diffbench', 'list', 'samplers', '--json']; main()"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.returncode != -signal.SIGPIPE
