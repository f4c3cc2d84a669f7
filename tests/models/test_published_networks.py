"""What the cards say that an evaluation costs, counted again on networks of that size."""

import pytest
import torch
from diffusers import UNet2DModel
from published_flops import CARDS, PARAMETERS, PUBLISHED, STAND_INS, flops, network, parameters

from diffbench.models.find import load_card, shipped_models
from diffbench.suite.identity import of_model

FOLDERS = sorted(path.parent.name for path in PUBLISHED.glob("*/card.yaml"))


def test_every_card_has_a_network_to_count():
    assert set(CARDS) <= set(FOLDERS) and set(STAND_INS) <= set(CARDS.values()) <= set(STAND_INS) | set(FOLDERS)
    for name in FOLDERS:
        has_key_map = load_card(PUBLISHED / name).network.key_map is not None
        assert has_key_map or name in CARDS or (PUBLISHED / name / "unet" / "config.json").is_file(), name


@pytest.mark.parametrize("name", [name for name in shipped_models() if load_card(name).network is not None])
def test_the_cards_of_the_package_say_what_an_evaluation_costs(name):
    card = load_card(name)
    with torch.device("meta"):
        built = UNet2DModel.from_config(UNet2DModel.load_config(card.directory / card.network.path)).eval()
    assert card.flops == pytest.approx(flops(built), rel=1e-5)
    told = {key: of_model(card.model_copy(update={"flops": key})) for key in (None, card.flops)}
    assert told[None] == told[card.flops], "no part of a cell's id"


@pytest.mark.slow
@pytest.mark.parametrize("counted", sorted({CARDS.get(name, name) for name in FOLDERS}))
def test_flops_are_those_of_the_network(counted):
    """Exactly, where the network is one of diffusers; within 8%, as the sizes, where another stands in for it."""
    built, within = network(counted), {"rel": 0.08 if counted in STAND_INS else 1e-5}
    found = flops(built)
    for name in FOLDERS:
        if CARDS.get(name, name) == counted:
            card = load_card(PUBLISHED / name)
            assert card.flops == pytest.approx(found, **within), name
            assert (built.config.in_channels, built.config.sample_size) == card.sample_shape[:2]
    if counted in PARAMETERS:
        rounded = {"abs": 0.05} if counted not in STAND_INS else {"rel": 0.1}
        assert parameters(built) == pytest.approx(PARAMETERS[counted], **rounded)
