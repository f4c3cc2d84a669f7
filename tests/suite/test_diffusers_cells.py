"""Cells of ``diffusers:`` samplers: planned without torch, known by class, config, steps and version of diffusers."""

import subprocess
import sys

import pytest

from diffbench.suite import identity
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite

SUITE = """
name: s
models: [ddpm-mnist, score-vp-mnist]
samplers: [{id: a, sampler: "diffusers:%s", config: {%s}}]
budgets: {nfe: [%d]}
samples: {n: 8, shard: 4}
metrics: [is]
"""


def cells(path, scheduler="DPMSolverMultistepScheduler", config="solver_order: 2", nfe=9):
    path.write_text(SUITE % (scheduler, config, nfe))
    return plan(read_suite(path))


@pytest.mark.parametrize(
    ("scheduler", "steps", "nfe"),
    [("DDIMScheduler", 20, 20), ("HeunDiscreteScheduler", 10, 19), ("PNDMScheduler", 11, 20)],
)
def test_steps_and_evaluations(tmp_path, scheduler, steps, nfe):
    for cell in cells(tmp_path / "s.yaml", scheduler, "", 20):
        assert (cell.steps, cell.nfe, cell.skip) == (steps, nfe, None)


def test_what_makes_another_cell(tmp_path, monkeypatch):
    path = tmp_path / "s.yaml"
    ids = [cells(path)[0].id, cells(path, config="solver_order: 3")[0].id, cells(path, nfe=8)[0].id]
    monkeypatch.setattr(identity, "diffusers_version", lambda: "0.0.0")
    ids.append(cells(path)[0].id)
    assert len(set(ids)) == 4


def test_needs_no_torch(tmp_path):
    (tmp_path / "s.yaml").write_text(SUITE % ("DDIMScheduler", "", 5))
    code = (
        "import sys; from diffbench.suite.read import read_suite; from diffbench.suite.plan import plan;"
        "plan(read_suite(sys.argv[1])); sys.exit(any(name in sys.modules for name in ('torch', 'diffusers')))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "s.yaml")], check=False).returncode == 0


def test_swept_configs_are_cells_of_their_own(tmp_path):
    sweep = 'sampler: "diffusers:DDIMScheduler", sweep: {config: [{}, {clip_sample: true}], step: [{}, {eta: 1.0}]}'
    text = SUITE.replace('sampler: "diffusers:%s", config: {%s}', sweep) % 9
    (tmp_path / "s.yaml").write_text(text)
    planned = plan(read_suite(tmp_path / "s.yaml"))
    assert len({cell.key for cell in planned}) == len({cell.id for cell in planned}) == len(planned) == 8
    assert planned[3].key == "ddpm-mnist/a[config={clip_sample: true},step={eta: 1.0}]/nfe=9"
