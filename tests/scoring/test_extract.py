from types import SimpleNamespace

import pytest
import torch

from diffbench.errors import ScoringError
from diffbench.scoring.extract import BATCH, extract
from diffbench.scoring.extractor import Features, load_extractor


@pytest.fixture(scope="module")
def extractor():
    return load_extractor("mnist-features")


IMAGES = torch.randint(0, 256, (150, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def features(extractor, blocks, first=0):
    found = list(extract(extractor, blocks, first))
    return torch.cat([one.features for one in found]), torch.cat([one.logits for one in found])


def test_features_do_not_depend_on_how_the_images_come(extractor):
    whole = features(extractor, [IMAGES])
    for cuts in ([1] * 150, [7] * 21 + [3], [64, 64, 22], [100, 50], [128, 22], [0, 150]):
        for known, found in zip(whole, features(extractor, torch.split(IMAGES, cuts)), strict=True):
            assert torch.equal(known, found), cuts


def test_a_part_has_the_features_of_the_whole(extractor):
    whole = features(extractor, [IMAGES])
    for first, last in ((0, 1), (10, 20), (60, 70), (64, 128), (63, 150), (149, 150)):
        for known, found in zip(whole, features(extractor, [IMAGES[first:last]], first), strict=True):
            assert torch.equal(known[first:last], found), (first, last)


def test_they_are_the_extractors(extractor):
    direct = extractor(IMAGES[:BATCH])
    found, logits = features(extractor, [IMAGES[:BATCH]])
    assert torch.equal(found, direct.features) and torch.equal(logits, direct.logits)


def test_only_a_batch_is_held_at_a_time(extractor):
    """The next block is asked for only when all of the last one is used up."""
    asked = []

    def blocks():
        for start in range(0, 150, 10):
            asked.append(start)
            yield IMAGES[start : start + 10]

    stream = extract(extractor, blocks())
    assert len(next(stream).features) == BATCH and asked == list(range(0, 70, 10))
    assert [len(one.features) for one in stream] == [64, 22]


def test_nothing_gives_nothing_and_errors_come_through(extractor):
    assert list(extract(extractor, [])) == []
    with pytest.raises(ScoringError, match="takes uint8"):
        list(extract(extractor, [IMAGES.float()]))


def test_every_image_stands_in_the_row_that_its_index_gives_it():
    def rows(images):
        assert len(images) == BATCH
        return Features(torch.arange(BATCH).float()[:, None], images.flatten(1).float())

    for first in (0, 5, 63, 64, 130):
        found = list(extract(rows, [IMAGES[:70]], first))
        places = torch.cat([one.features for one in found]).flatten()
        assert places.tolist() == [(first + i) % BATCH for i in range(70)]
        assert torch.equal(torch.cat([one.logits for one in found]), IMAGES[:70].flatten(1).float())


def spoilt(what, value, place):
    """An extractor that spoils the features or logits of the brightest image, and of all that are black."""

    class Spoilt:
        name = "spoilt"

        def __call__(self, images):
            rows = {"features": images.flatten(1).float(), "logits": images.flatten(1)[:, :5].float()}
            levels = images.flatten(1).float().mean(dim=1)
            rows[what][(levels == 255) | (levels == 0), place] = value
            return Features(**rows)

    return Spoilt()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("what", ["features", "logits"])
def test_what_is_not_finite_is_told_by_the_images_index(what, value):
    images = IMAGES[:80].clone()
    features(spoilt(what, value, 1), [images], 10)  # black rows, which are no images, do not matter
    images[67] = 255
    stream = extract(spoilt(what, value, 1), [images], 10)
    assert len(next(stream).features) == 54
    with pytest.raises(ScoringError, match=f"^extractor spoilt: {what} of sample 77 are not finite"):
        next(stream)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Features(torch.zeros(63, 4), torch.zeros(64, 2)), r"features of 64 images .* got torch.float32 \(63, 4\)"),
        (Features(torch.zeros(64), torch.zeros(64, 2)), r"features .* got torch.float32 \(64,\)"),
        (Features(torch.zeros(64, 4), torch.zeros(64, 2, 1)), r"logits .* got torch.float32 \(64, 2, 1\)"),
        (Features(torch.zeros(64, 4, dtype=torch.int64), torch.zeros(64, 2)), r"features .* got torch.int64"),
    ],
)
def test_rows_that_are_not_one_an_image_are_refused(found, said):
    class Odd(SimpleNamespace):
        def __call__(self, images):
            return found

    with pytest.raises(ScoringError, match=said):
        list(extract(Odd(name="odd"), [IMAGES[:3]]))
