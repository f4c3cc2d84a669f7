"""A suite of a tiny network with shards enough to lose some, and what its run folder holds."""

import hashlib
import os

import pytest

from diffbench import results
from diffbench.runner import execute, provenance, references, sampling
from diffbench.runner.engine import execute as run_suite
from diffbench.suite.plan import plan
from diffbench.suite.read import suite_from_objects

SHARDS = 3  # of each of the two cells; the third cell is the second one under another name


def tiny_suite(checkpoint, **changes):
    base = {
        "name": "tiny",
        "samples": {"n": 5, "shard": 2},
        "models": [{"id": "tiny", "source": str(checkpoint)}],
        "samplers": ["ddim", "ddpm", {"id": "noisy", "sampler": "ddim", "eta": 1.0}],
        "budgets": {"nfe": [2]},
        "metrics": ["is"],
        "run": {"batch_size": 2, "device": "cpu", "keep": {"samples": 3}},
        "timing": {"seconds": 0},
    }
    return suite_from_objects({**base, **changes})


def run(suite, folder, **keywords):
    """Run without what takes most of so short a time: durability, git, the scores of real images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(provenance, "code_state", lambda: None)
        patch.setattr(references, "floor", lambda reference, n, draws: (0.0, 0.0))
        return run_suite(suite, folder, **{"quiet": True, **keywords})


def cells(suite):
    """The cells of a suite by sampler (and model, where there are several)."""
    planned = plan(suite)
    several = len({cell.model for cell in planned}) > 1
    return {(cell.model, cell.sampler) if several else cell.sampler: cell for cell in planned}


def tree(folder):
    """Relative path to sha256 of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def shards(folder, cell):
    """Name to content of all files of the shards of a cell."""
    return {path.name: path.read_bytes() for path in sorted((folder / "cells" / cell.id).glob("shard-*"))}


def rows(folder, metric="is"):
    """The rows of one metric by sampler."""
    table = results.read(folder)
    return table[table["metric"] == metric].set_index("sampler")


def count_shards(monkeypatch):
    """The list of (sampler, range) of all shards that are sampled from now on."""
    made = []

    def run_shard(model, cell, shard, *arguments):
        made.append((cell.sampler, shard.first, shard.last))
        return execute.run_shard(model, cell, shard, *arguments)

    monkeypatch.setattr(sampling, "run_shard", run_shard)
    return made
