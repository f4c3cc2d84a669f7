"""A finished run of a tiny network, and copies of it to work in."""

import shutil

import pytest
from tiny_model import write_checkpoint
from tiny_run import run

from diffbench.suite.read import read_suite

SUITE = """\
# The tiny network with three samplers.
name: tiny
models: [{{id: tiny, source: "{checkpoint}"}}]
samplers: [ddim, ddpm, {{id: noisy, sampler: ddim, eta: 1.0}}, euler-maruyama]
budgets: {{nfe: [2, 3]}}
samples: {{n: 12, shard: 6}}
metrics: [is, kid]
run: {{device: cpu, batch_size: 6, keep: {{samples: 3}}}}
timing: {{seconds: 0}}
"""


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder with ``suite.yaml`` and its run under ``runs/tiny``, without a report."""
    folder = tmp_path_factory.mktemp("cli")
    checkpoint = write_checkpoint(folder / "checkpoint")
    (folder / "suite.yaml").write_text(SUITE.format(checkpoint=checkpoint))
    run(read_suite(folder / "suite.yaml"), folder / "runs" / "tiny")
    return folder


@pytest.fixture
def here(finished, diffbench, tmp_path):
    """A copy of it as the working folder."""
    shutil.copy(finished / "suite.yaml", tmp_path)
    shutil.copytree(finished / "checkpoint", tmp_path / "checkpoint")
    shutil.copytree(finished / "runs", tmp_path / "runs")
    return tmp_path
