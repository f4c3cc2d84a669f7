from __future__ import annotations

from collections import Counter

import pytest
from pydantic import ValidationError

from diffbench.models.condition import Condition, Guidance, uniform_label


def test_balanced_labels_go_through_the_classes_whatever_the_batch() -> None:
    condition = Condition(labels="balanced")
    assert condition.labels_of(range(5), 3, seed=1) == [0, 1, 2, 0, 1]
    assert condition.labels_of(range(3, 5), 3, seed=9) == [0, 1]


def test_listed_labels_and_prompts_are_repeated() -> None:
    assert Condition(labels=(7, 2)).labels_of(range(1, 5), 10, seed=0) == [2, 7, 2, 7]
    assert Condition(prompts=("a", "b", "c")).prompts_of(range(2, 6)) == [2, 0, 1, 2]


def test_uniform_labels_depend_on_seed_and_index_alone_and_are_uniform() -> None:
    condition = Condition(labels="uniform")
    drawn = condition.labels_of(range(6000), 6, seed=3)
    assert condition.labels_of(range(4000, 4010), 6, seed=3) == drawn[4000:4010]
    assert condition.labels_of(range(20), 6, seed=4) != drawn[:20]
    counts = Counter(drawn)
    chi2 = sum((counts[label] - 1000) ** 2 / 1000 for label in range(6))
    assert chi2 < 20.5  # 0.1 % of chi-squared with 5 degrees of freedom


def philox4x64(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 (Salmon et al. 2011, section 3.3), written out."""
    mask = 2**64 - 1
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * counter[0], 0xCA5A826395121157 * counter[2]
        counter = [
            (second >> 64) ^ counter[1] ^ key[0], second & mask, (first >> 64) ^ counter[3] ^ key[1], first & mask,
        ]  # fmt: skip
        key = [(key[0] + 0x9E3779B97F4A7C15) & mask, (key[1] + 0xBB67AE8584CAA73B) & mask]
    return counter


def test_uniform_labels_are_the_first_word_of_philox() -> None:
    assert philox4x64([0] * 4, [0, 0])[0] == 0x16554D9ECA36314C  # known answer of Random123
    for seed, index in ((0, 0), (3, 7), (2**32 - 1, 49_999)):
        word = philox4x64([1, 0, 0, 0], [seed, index])[0]
        assert uniform_label(index, 1000, seed) == word * 1000 // 2**64


def test_a_bare_number_is_the_scale_of_guidance() -> None:
    assert Guidance.model_validate(4) == Guidance(scale=4.0)
    assert not Guidance(scale=1.0).guides
    assert Guidance(scale=1.5).guides


@pytest.mark.parametrize("interval", [(2.0, 1.0), (-1.0, 1.0), (1.0, 1.0)])
def test_an_interval_rises(interval: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="0 <= low < high"):
        Guidance.model_validate({"scale": 2.0, "interval": interval})
