import json
import re

import pytest

from diffbench.store import sessions
from diffbench.store.sealed import read_sealed, write_sealed
from diffbench.store.sessions import drift, new_path, read_sessions, write_provenance


def session(started="2030-01-02T03:04:05+00:00", **changes):
    base = {
        "format": sessions.FORMAT,
        "started": started,
        "finished": started,
        "diffbench": "0.1.0",
        "code": "ab" * 32,
        "python": "3.12",
        "platform": "linux",
        "packages": {"torch": "2.9.0", "numpy": "2.0"},
        "device": {"type": "cpu", "name": "a processor", "threads": 1},
        "cells": {"c0ffee": {"samples": 4}},
    }
    return {**base, **changes}


def store(run, content):
    write_sealed(new_path(run, content["started"]), content)


def test_names_sort_by_time_and_never_clash(tmp_path):
    times = ["2030-01-02T03:04:05+00:00", "2030-01-02T03:04:06+00:00", "2030-11-02T00:00:00+00:00"]
    names = [new_path(tmp_path, time).name for time in times]
    assert sorted(names) == names and names[0].startswith("20300102T030405-")
    assert len({new_path(tmp_path, times[0]) for _ in range(50)}) == 50
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", sessions.now())


def test_sessions_are_read_oldest_first_and_damaged_or_foreign_ones_are_left_out(tmp_path):
    assert read_sessions(tmp_path) == []
    for started in ("2031-01-01T00:00:00+00:00", "2030-01-01T00:00:00+00:00"):
        store(tmp_path, session(started))
    store(tmp_path, session("2029-01-01T00:00:00+00:00", format=99))
    folder = tmp_path / sessions.FOLDER
    (folder / "20300601T000000-00000000.json").write_bytes(b'{"started": "2030"}')
    (folder / ".20300601T000000-00000001.json.x.tmp").write_bytes(b"")
    assert [s["started"][:4] for s in read_sessions(tmp_path)] == ["2030", "2031"]


def test_equal_conditions_are_no_drift():
    assert drift([]) == [] and drift([session()]) == [] and drift([session(), session("2031")]) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"diffbench": "0.2.0"}, "diffbench: 0.1.0, then 0.2.0"),
        ({"python": "3.13"}, "Python: 3.12, then 3.13"),
        ({"platform": "mac"}, "platform: linux, then mac"),
        ({"code": "cd" * 32}, f"diffbench's sampling code: {'ab' * 6}, then {'cd' * 6}"),
        ({"device": {"name": "a card", "threads": 1}}, "device: a processor, then a card"),
        ({"packages": {"torch": "2.10.0", "numpy": "2.0"}}, "torch: 2.9.0, then 2.10.0"),
    ],
)
def test_each_condition_that_changed_is_told_once_in_order(changes, said):
    assert drift([session(), session(), session(**changes), session()]) == [said]


def test_another_command_or_index_of_a_device_is_no_drift_but_other_threads_are():
    device = {"type": "cuda:1", "name": "a processor", "threads": 1}
    assert drift([session(), session(device=device, command=["x"], git={"dirty": True})]) == []
    assert drift([session(), session(device={**device, "threads": 8})]) == ["threads: 1, then 8"]


def test_provenance_names_who_made_the_samples_not_who_looked_at_them(tmp_path):
    store(tmp_path, session("2030-01-01T00:00:00+00:00"))
    store(tmp_path, session("2031-01-01T00:00:00+00:00", python="3.13", cells={}))
    write_provenance(tmp_path)
    assert read_sealed(tmp_path / sessions.PROVENANCE)["python"] == "3.12"


def test_sessions_that_made_no_samples_do_not_count():
    assert drift([session(), session(python="3.13", cells={})]) == []


def test_provenance_is_the_latest_finished_session_with_all_of_them_and_the_drift(tmp_path):
    write_provenance(tmp_path)
    assert not (tmp_path / sessions.PROVENANCE).exists()
    store(tmp_path, session("2030-01-01T00:00:00+00:00", python="3.11"))
    store(tmp_path, session("2031-01-01T00:00:00+00:00"))
    store(tmp_path, session("2032-01-01T00:00:00+00:00", finished=None))
    write_provenance(tmp_path)
    content = read_sealed(tmp_path / sessions.PROVENANCE)
    assert content["started"].startswith("2031") and content["python"] == "3.12"
    assert content["drift"] == ["Python: 3.11, then 3.12"]
    assert [s["started"][:4] for s in content["sessions"]] == ["2030", "2031", "2032"]
    assert all("cells" not in s for s in [content, *content["sessions"]])


def test_provenance_of_killed_sessions_alone_is_the_last_one(tmp_path):
    for year in (2030, 2031):
        store(tmp_path, session(f"{year}-01-01T00:00:00+00:00", finished=None))
    write_provenance(tmp_path)
    assert json.loads((tmp_path / sessions.PROVENANCE).read_text())["started"].startswith("2031")
