"""A network that predicts its variance, in a run: one sampler uses it, and all others go past it."""

import pytest
from tiny_model import write_checkpoint
from tiny_run import run, tiny_suite

from diffbench import results


@pytest.fixture
def learned(tmp_path):
    return write_checkpoint(tmp_path / "learned", learned_variance=True)


def test_a_run_samples_with_the_networks_variance_where_there_is_one(learned, checkpoint, tmp_path):
    variances = {"id": "ddpm", "sampler": "ddpm", "sweep": {"variance": ["fixed_small", "fixed_large", "learned"]}}
    models = [{"id": "with", "source": str(learned)}, {"id": "without", "source": str(checkpoint)}]
    run(tiny_suite(learned, models=models, samplers=["ddim", variances], budgets={"nfe": [3]}), tmp_path / "run")
    table = results.read(tmp_path / "run")
    scores = table[table["metric"] == "is"]
    assert scores["status"].tolist() == ["ok"] * 7 + ["skipped"]
    last = scores.iloc[-1]
    assert (last["model"], last["options"]) == ("without", '{"variance": "learned"}')
    assert last["reason"] == "ddpm with variance learned needs a network that predicts it; that of without does not"
    values = scores[(scores["model"] == "with") & (scores["sampler"] == "ddpm")]["value"]
    assert values.nunique() == 3
