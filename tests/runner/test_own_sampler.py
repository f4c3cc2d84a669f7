"""A sampler that does not come with diffbench: named in a suite, known by its code."""

import importlib
import sys

import pytest

import diffbench
from diffbench.catalog import SAMPLERS
from diffbench.errors import SuiteError, UsageError

CODE = """
from diffbench.samplers.linear import LinearPlan, LinearSampler

class Damped(LinearSampler):
    def plan(self, grid, schedule):
        keep = {factor} * grid.sigma[1:] / grid.sigma[:-1]
        return LinearPlan(grid.sigma[:-1], keep, 1 - keep, 0 * keep)
"""

ENTRY = diffbench.SamplerEntry(
    name="damped", target="own_damped:Damped", summary="", source="", order=1, stochastic=lambda options: False
)


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def write(factor):
        (tmp_path / "own_damped.py").write_text(CODE.format(factor=factor))
        sys.modules.pop("own_damped", None)
        importlib.invalidate_caches()

    yield write
    sys.modules.pop("own_damped", None)


def run(checkpoint, out, **changes):
    suite = {
        "name": "own",
        "samples": 6,
        "models": [{"id": "tiny", "source": str(checkpoint)}],
        "samplers": ["ddim", "damped"],
        "budgets": {"nfe": [3]},
        "timing": {"seconds": 0},
        "run": {"device": "cpu", "batch_size": 6},
    }
    return diffbench.run({**suite, **changes}, out, samplers=[ENTRY], quiet=True).frame


def test_it_runs_beside_the_others_and_new_code_means_new_samples(module, checkpoint, tmp_path):
    module("0.9")
    first = run(checkpoint, tmp_path / "run")
    module("0.8")
    second = run(checkpoint, tmp_path / "run")
    assert (first["status"] == "ok").all()

    def of(frame, sampler, column):
        return frame[(frame["sampler"] == sampler) & (frame["metric"] == "kid")][column].item()

    assert of(first, "ddim", "cell") == of(second, "ddim", "cell")
    assert of(first, "damped", "cell") != of(second, "damped", "cell")
    assert of(first, "damped", "value") != of(second, "damped", "value")
    assert "damped" not in SAMPLERS


def test_without_its_entry_it_is_an_unknown_sampler(checkpoint):
    with pytest.raises(SuiteError, match="damped"):
        diffbench.run({"models": [{"id": "t", "source": str(checkpoint)}], "samplers": ["damped"], "name": "x"})


def test_a_built_in_name_cannot_be_taken(module):
    with (
        pytest.raises(UsageError, match="ddim"),
        SAMPLERS.using([diffbench.SamplerEntry(**{**vars(ENTRY), "name": "ddim"})]),
    ):
        pass


def test_a_class_outside_a_file_is_refused(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="own_damped"):
        run(checkpoint, tmp_path / "run")


def test_the_public_names_are_all_there():
    for name in diffbench.__all__:
        assert getattr(diffbench, name) is not None
    with pytest.raises(AttributeError, match="nothing_here"):
        diffbench.nothing_here  # noqa: B018
