"""A changed or missing byte in any file of a run is found, named, and never becomes a number."""

import random
import shutil

import pytest
from faults.sandbox import COUNTS, Box

from diffbench import results
from diffbench.errors import StoreError
from diffbench.store.manifest import damage

KINDS = {
    "features of a shard": "cells/*/shard-*.mnist-features.safetensors",
    "images of a shard": "cells/*/shard-*.images.safetensors",
    "manifest of a shard": "cells/*/shard-*.json",
    "description of a cell": "cells/*/cell.json",
    "sampler's probe": "cells/*/probe.json",
    "model's probe": "probes/*.json",
    "scores": "cells/*/scores.json",
    "influence values": "cells/*/scores.safetensors",
    "session": "sessions/*.json",
    "results.parquet": "results.parquet",
    "results.csv": "results.csv",
    "references": "references.json",
    "timing": "timing.json",
    "provenance": "provenance.json",
    "suite": "suite.yaml",
    "manifest of the run": "manifest.json",
    "page": "report.html",
    "figure": "figures/*.png",
}
REPORT_KINDS = ("page", "figure")


@pytest.fixture(scope="module")
def reported(tiny, memory):
    """A run with its timing and its report."""
    box = Box(memory / "reported", tiny)
    box.suite.write_text(box.suite.read_text().replace("seconds: 0", "seconds: 1"))
    outcome = box.call("run", box.suite, "--out", box.run, "--quiet")
    assert outcome.code == 0, outcome
    assert list(damage(box.run)) == []
    return box


def flips_and_cuts(data, flips, cuts, seed):
    chosen = random.Random(seed)
    for _ in range(flips):
        position = chosen.randrange(len(data))
        yield "flips", data[:position] + bytes([data[position] ^ chosen.randrange(1, 256)]) + data[position + 1 :]
    for _ in range(cuts):
        yield "truncations", data[: chosen.randrange(len(data))]


def all_found(reported, kind, flips, cuts):
    path = sorted(reported.run.glob(KINDS[kind]))[0]
    whole = path.read_bytes()
    table = results.read(reported.run)
    try:
        for what, changed in flips_and_cuts(whole, flips, cuts, kind):
            path.write_bytes(changed)
            told = list(damage(reported.run))
            assert any(path.name in line for line in told), (kind, what, told)
            COUNTS[f"{what} found"] += 1
            if path.name == results.PARQUET:
                never_another_number(reported.run, table)
    finally:
        path.write_bytes(whole)


def never_another_number(run, table):
    try:
        read = results.read(run)
    except StoreError:
        return
    assert read.equals(table)


@pytest.mark.parametrize("kind", KINDS)
def test_some_changes_are_found(reported, kind):
    all_found(reported, kind, flips=15, cuts=3)


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
def test_five_hundred_flips_and_a_hundred_cuts_are_found(reported, kind):
    all_found(reported, kind, flips=500, cuts=100)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("timing", *REPORT_KINDS)])
@pytest.mark.parametrize("cut", [False, True])
def test_the_same_command_mends_it(whole, box, kind, cut):
    shutil.copytree(whole.run, box.run)
    found = sorted(box.run.glob(KINDS[kind]))
    path = found[len(found) // 2]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if cut else data[:-5] + bytes([data[-5] ^ 4]) + data[-4:])
    outcome = box.sample()
    assert outcome.code == 0, outcome
    assert box.artefacts() == whole.artefacts()
    assert box.shards_begun() == (1 if kind.endswith("of a shard") else 0)
    COUNTS["damaged files mended"] += 1


@pytest.mark.parametrize("kind", ["features of a shard", "images of a shard", "manifest of a shard"])
def test_the_damaged_shard_is_named(whole, box, kind):
    shutil.copytree(whole.run, box.run)
    path = sorted(box.run.glob(KINDS[kind]))[1]
    path.write_bytes(path.read_bytes()[:-1])
    outcome = box.call("run", box.suite, "--out", box.run)
    assert outcome.code == 0 and path.name in outcome.err and "made again" in outcome.err, outcome


def test_a_file_that_is_gone_is_named(reported, room):
    run = shutil.copytree(reported.run, room / "run")
    (run / "results.csv").unlink()
    next(run.glob("cells/*/shard-*.mnist-features.safetensors")).unlink()
    told = "\n".join(damage(run))
    assert "results.csv: missing" in told and "mnist-features.safetensors: No such file" in told
