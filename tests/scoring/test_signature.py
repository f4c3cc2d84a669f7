from __future__ import annotations

import json

import pytest

from diffbench.errors import ScoringError
from diffbench.scoring.signature import signature

BASE = {
    "metric": "fid",
    "n": 2000,
    "extractor_name": "mnist-features",
    "extractor_sha256": "ab",
    "reference_name": "mnist",
    "reference_sha256": "cd",
    "quantiser": "round",
    "resize": "none",
    "options": {},
}


def test_exact_text():
    text = signature(**{**BASE, "metric": "is", "options": {"splits": 10, "seed": 2020}})
    assert text == (
        '{"comparable":{"extractor":"mnist-features","extractor_sha256":"ab","metric":"is","n":2000,'
        '"quantiser":"round","reference":"mnist","reference_sha256":"cd","resize":"none","splits":10},'
        '"other":{"seed":2020}}'
    )


@pytest.mark.parametrize("key", [key for key in BASE if key != "options"])
def test_every_argument_decides_comparability(key):
    changed = signature(**{**BASE, key: 1 if key == "n" else "other"})
    assert json.loads(changed)["comparable"] != json.loads(signature(**BASE))["comparable"]


def test_options_decide_comparability_and_seeds_do_not():
    def comparable(**options):
        return json.loads(signature(**{**BASE, "options": options}))["comparable"]

    assert comparable(splits=1, seed=1) == comparable(splits=1, seed=2, shuffle_seed=3)
    assert comparable(splits=1) != comparable(splits=2)


def test_refusals():
    with pytest.raises(ScoringError, match="fixed key"):
        signature(**{**BASE, "options": {"n": 3}})
    for value in (float("nan"), object()):
        with pytest.raises(ScoringError, match="JSON"):
            signature(**{**BASE, "options": {"x": value}})
