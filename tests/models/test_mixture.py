"""Models that are known exactly, from their cards."""

import numpy as np
import pytest
import torch
import yaml
from torch import tensor

from diffbench import shipped
from diffbench.errors import CardError
from diffbench.models.analytic_model import analytic_model
from diffbench.models.find import load_card
from diffbench.suite.identity import model_key, of_model

CPU = torch.device("cpu")
CARD = {
    "version": 1,
    "name": "two-points",
    "family": "score-sde",
    "prediction": "sample",
    "schedule": {"kind": "ve", "sigma_min": 0.02, "sigma_max": 20.0},
    "time": {"input": "sigma"},
    "data": {"range": [-1, 1], "shape": [1, 1, 2], "dataset": "none"},
    "clip": None,
    "network": None,
    "analytic": {
        "kind": "gaussian-mixture", "weights": [3, 1], "means": [[0.5, -0.5], [-1, 0.25]], "scales": [0.3, 0.2],
    },
    "codec": None,
    "ema": False,
    "reference": None,
    "extractor": None,
    "sha256": {},
    "source": "set by hand",
    "license": "Apache-2.0",
}  # fmt: skip


def card(folder, **changes):
    (folder / "card.yaml").write_text(yaml.safe_dump({**CARD, **changes}))
    return load_card(folder)


def analytic(**changes):
    return {**CARD["analytic"], **changes}


def test_the_denoiser_is_the_posterior_mean_of_the_cards_distribution(tmp_path):
    """E[x0 | x] by weighing a million draws of the mixture, for x at sigma 0.8."""
    rng = np.random.default_rng(0)
    component = (rng.random(1_000_000) < 0.25).astype(int)
    means, scales = np.array(CARD["analytic"]["means"]), np.array(CARD["analytic"]["scales"])
    x0 = means[component] + scales[component, None] * rng.standard_normal((1_000_000, 2))
    x, sigma = np.array([0.2, -0.4]), 0.8
    weight = np.exp(-((x - x0) ** 2).sum(1) / (2 * sigma**2))
    expected = (weight[:, None] * x0).sum(0) / weight.sum()
    model = analytic_model(card(tmp_path), CPU)
    found = model.denoiser(tensor(x).view(1, 1, 1, 2), tensor([sigma], dtype=torch.float64)).x0
    np.testing.assert_allclose(found.numpy().ravel(), expected, atol=3e-3)


def test_its_network_is_the_same_on_the_familys_own_state_and_time(tmp_path):
    vp = {"kind": "vp", "beta_min": 0.1, "beta_max": 20.0}
    model = analytic_model(card(tmp_path, schedule=vp), CPU)
    t, x_hat = np.array([0.3, 0.7]), torch.randn(2, 1, 1, 2, generator=torch.Generator().manual_seed(0))
    scale = torch.from_numpy(model.schedule.scale(t)).float().view(2, 1, 1, 1)
    through = model.network(scale * x_hat, torch.from_numpy(t))
    torch.testing.assert_close(through, model.denoiser(x_hat, torch.from_numpy(model.schedule.sigma(t))).x0)


def test_a_clip_is_applied(tmp_path):
    model = analytic_model(card(tmp_path, clip=[-0.1, 0.1]), CPU)
    x0 = model.denoiser(torch.ones(1, 1, 1, 2), tensor([0.02], dtype=torch.float64)).x0
    assert float(x0.abs().max()) == pytest.approx(0.1)


def test_no_other_dtype_is_taken_and_ignored(tmp_path):
    with pytest.raises(CardError, match="bfloat16"):
        analytic_model(card(tmp_path), CPU, "bfloat16")


def test_every_parameter_decides_the_models_identity(tmp_path):
    changes = [{}, {"weights": [2, 1]}, {"means": [[0.5, -0.5], [-1, 0.26]]}, {"scales": [0.3, 0.21]}]
    keys = {model_key(card(tmp_path, analytic=analytic(**change)), "float32", False) for change in changes}
    assert len(keys) == len(changes)
    assert of_model(card(tmp_path))["analytic"]["scales"] == (0.3, 0.2)


def test_the_identity_of_a_network_says_nothing_of_it():
    assert "analytic" not in of_model(load_card(str(shipped.reference_models() / "ddpm-mnist")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"path": "unet", "class": "UNet2DModel"}}, "network: a mapping is not allowed; an analytic model"),
        ({"prediction": "epsilon"}, 'prediction: "epsilon" is not allowed; an analytic model has "sample"'),
        ({"time": {"input": "scaled", "scale": 999}}, 'an analytic model takes "sigma"'),
        ({"extractor": "mnist-features"}, 'extractor: "mnist-features" is not allowed; an analytic model has null'),
        ({"variance": "learned-range"}, 'variance: "learned-range" is not allowed; an analytic model has "fixed"'),
        ({"sha256": {"a": "a" * 64}}, "sha256: a mapping is not allowed; an analytic model has a mapping"),
        ({"analytic": analytic(weights=[1, 0])}, "analytic.weights[1]: 0 is not allowed"),
        ({"analytic": analytic(weights=[1])}, "analytic.weights: there are 1 for 2 means"),
        ({"analytic": analytic(scales=[1, 1, 1])}, "analytic.scales: there are 3 for 2 means"),
        ({"analytic": analytic(means=[[1, 2], [1]])}, "analytic.means[1]: 1 numbers are not allowed; data of shape"),
        ({"analytic": analytic(kind="uniform")}, 'analytic.kind: "uniform" is not allowed'),
        ({"analytic": None}, "network: null is not allowed; expected a mapping with path and class"),
        ({"analytic": None}, "sha256: a mapping is not allowed; expected a mapping of files to their sha256"),
        ({"analytic": None, "extractor": "mnist-features"}, "reference: null is not allowed; name both"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_named(tmp_path, changes, message):
    with pytest.raises(CardError) as caught:
        card(tmp_path, **changes)
    assert message in str(caught.value), str(caught.value)
