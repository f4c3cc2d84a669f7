"""Killed at any instant, a run is finished by the same command to the same bytes, and makes one shard twice at most."""

import os
import random
import shutil
import signal
import time

import pytest
from faults.sandbox import COUNTS, SHARDS, Box, Calls, kill, without_report


def finish(box, whole, kills=1):
    outcome = box.sample()
    assert outcome.code == 0, outcome
    assert box.artefacts() == whole.artefacts()
    assert SHARDS <= box.shards_begun() <= SHARDS + kills
    shutil.rmtree(box.folder)


def kill_after(box, seconds):
    child = box.start("run", box.suite, "--out", box.run, "--quiet", before=without_report)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return box.wait(child)


def at_random_instants(tiny, whole, room, wanted, in_a_row, seed):
    """Kill until it has hit ``wanted`` running processes, up to ``in_a_row`` times in one run and its resumptions."""
    instants = random.Random(seed)
    killed = 0
    while killed < wanted:
        box = Box(room / str(killed), tiny)
        hits = 0
        for _ in range(in_a_row):
            hits += kill_after(box, instants.uniform(0, whole.seconds)).code == -signal.SIGKILL
        finish(box, whole, hits)
        killed += hits
    COUNTS["kills at random instants survived"] += killed


def test_random_kills(tiny, whole, room):
    at_random_instants(tiny, whole, room, wanted=5, in_a_row=1, seed=1)


def test_kills_of_resumed_runs(tiny, whole, room):
    at_random_instants(tiny, whole, room, wanted=5, in_a_row=5, seed=2)


@pytest.mark.faults
def test_two_hundred_random_kills(tiny, whole, room):
    at_random_instants(tiny, whole, room, wanted=200, in_a_row=1, seed=3)


@pytest.mark.faults
def test_a_hundred_kills_of_resumed_runs(tiny, whole, room):
    at_random_instants(tiny, whole, room, wanted=100, in_a_row=5, seed=4)


NAMES = ("open", "write", "fsync", "fchmod", "replace", "link", "unlink", "mkdir")


def at_calls(tiny, whole, room, step):
    """Kill at each call that changes the disk: before it, and for a write when half is written."""
    for at in range(1, 10_000, step):
        box = Box(room / str(at), tiny)
        calls = Calls([box.run], at, kill, NAMES)
        outcome = box.sample(before=calls.install)
        if outcome.code == 0:
            assert at > 100 or step > 1
            return
        assert outcome.code == -signal.SIGKILL
        COUNTS["kills at calls that write survived"] += 1
        finish(box, whole)


def test_kills_at_some_calls(tiny, whole, room):
    at_calls(tiny, whole, room, step=29)


@pytest.mark.faults
def test_kills_at_every_call(tiny, whole, room):
    at_calls(tiny, whole, room, step=1)


@pytest.mark.parametrize("seed", range(3))
def test_interrupted_twice(box, whole, seed):
    instants = random.Random(seed)
    child = box.start("run", box.suite, "--out", box.run, "--quiet", before=without_report)
    time.sleep(instants.uniform(0.3, 0.9) * whole.seconds)
    os.kill(child, signal.SIGINT)
    time.sleep(instants.uniform(0, 0.05))
    os.kill(child, signal.SIGINT)
    outcome = box.wait(child)
    assert outcome.code in (130, 0), outcome
    assert "Traceback" not in outcome.err and (outcome.code == 0 or "interrupted" in outcome.err), outcome
    COUNTS["interruptions survived"] += 2
    finish(box, whole)


def test_terminated_by_a_scheduler(box, whole):
    child = box.start("run", box.suite, "--out", box.run, "--quiet", before=without_report)
    time.sleep(0.6 * whole.seconds)
    os.kill(child, signal.SIGTERM)
    outcome = box.wait(child)
    assert outcome.code in (130, 0) and "Traceback" not in outcome.err, outcome
    finish(box, whole)
