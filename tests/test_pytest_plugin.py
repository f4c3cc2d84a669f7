"""The fixture ``diffbench_gate``, in test sessions of their own."""

import pytest
from tiny_model import write_checkpoint

import diffbench.report.pairs  # noqa: F401  what a session imports first is gone after it: numpy can't be loaded twice
import diffbench.runner.engine  # noqa: F401
from diffbench.runner import provenance, references

pytest_plugins = ["pytester"]

TEST = """
SUITE = {{
    "name": "gated", "samples": {{"n": 60, "shard": 60}}, "models": [{{"id": "tiny", "source": {source!r}}}],
    "samplers": ["ddim"], "budgets": {{"nfe": [2]}}, "metrics": ["kid"],
    "run": {{"batch_size": 60, "device": "cpu"}}, "timing": {{"seconds": 0}},
}}


def test_samples(diffbench_gate):
    found = diffbench_gate({{**SUITE, {changes}}}, {baseline!r}, {more})
    assert found.gate == "pass"
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def gated(pytester, checkpoint, tmp_path, monkeypatch):
    """Runs the test with changes to its suite, in this process; pytest finds the plugin by its entry point."""
    monkeypatch.setattr(provenance, "code_state", lambda: None)
    monkeypatch.setattr(references, "floor", lambda reference, n, draws: (0.0, 0.0))

    def run(*arguments, changes="", more="", baseline=tmp_path / "base.safetensors"):
        source = TEST.format(source=str(checkpoint), changes=changes, baseline=str(baseline), more=more)
        pytester.makepyfile(test_it=source)
        return pytester.runpytest("-q", *arguments)

    return run


def test_a_baseline_is_written_then_held_to(gated, tmp_path):
    result = gated()
    assert result.ret == 1 and "no baseline there; `diffbench baseline RUN --out" in result.stdout.str()
    result = gated("--diffbench-update", "-rs")
    result.assert_outcomes(skipped=1)
    assert "baseline written" in result.stdout.str() and (tmp_path / "base.safetensors").stat().st_size < 200_000
    gated().assert_outcomes(passed=1)
    worse = gated(changes='"models": [{**SUITE["models"][0], "clip": [-0.2, 0.2]}]', more='gates={"kid": 0}')
    better = gated("--diffbench-update", changes='"models": [{**SUITE["models"][0], "clip": [-0.2, 0.2]}]')
    better.assert_outcomes(skipped=1)
    turned = gated(more='gates={"kid": 0}')
    assert sorted([worse.ret, turned.ret]) == [0, 1], "worse one way round, better the other"
    text = (worse if worse.ret else turned).stdout.str()
    assert "a regression: 1 worse" in text and "Traceback" not in text and "comparison.html" in text
    assert "networks that answer other than before: tiny (denoised differs by" in text


def test_what_is_missing_fails(gated):
    gated("--diffbench-update").assert_outcomes(skipped=1)
    result = gated(more='gates={"fid": "1%"}')
    assert result.ret == 1 and "fid: gated, but no cell has it on both sides" in result.stdout.str()
    result = gated(changes='"samples": 70')
    assert result.ret == 1 and "n: 60 in the base, 70 in the new" in result.stdout.str()
    result = gated(more='gates={"fdi": "1%"}')
    assert result.ret == 1 and 'did you mean "fid"?' in result.stdout.str()
