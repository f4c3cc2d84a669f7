"""What ``diffbench init`` writes runs with ``--smoke``, as it says."""

import pytest
from tiny_model import write_checkpoint

from diffbench import results


@pytest.mark.parametrize("what", ["./checkpoint", "score-sde"])
def test_a_starter_runs_in_small(diffbench, tmp_path, what):
    write_checkpoint(tmp_path / "checkpoint")
    code, out, err = diffbench("init", what)
    assert code == 0, err
    assert out.splitlines()[-1] == "diffbench run my-suite.yaml --smoke tries it"
    rule = "nfe=5" if what == "./checkpoint" else "nfe=5,sampler=ddim|pc"
    code, out, err = diffbench("run", "my-suite.yaml", "--smoke", "--only", rule, "--device", "cpu", "--quiet")
    assert code == 0, err
    table = results.read(tmp_path / "runs" / "my-suite-smoke")
    known = table[(table["metric"] == "fid") & (table["status"] == "ok")]
    assert len(known) == (4 if what == "./checkpoint" else 2) and set(known["n"]) == {16}
