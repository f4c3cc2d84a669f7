"""Inception: torch-fidelity's features from the same file, resize protocols, and weights that are not what they say."""

import hashlib
import os
import pickle

import numpy as np
import pytest
import torch
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torch_fidelity.utils import create_feature_extractor

from diffbench.errors import ScoringError, UsageError, WeightsError
from diffbench.runner.bench_scoring import random_weights
from diffbench.scoring import extract as extraction
from diffbench.scoring import weights
from diffbench.scoring.extractor import inception_extractor, load_extractor, takes
from diffbench.scoring.known import known_extractors
from diffbench.scoring.resize import clean, legacy, tf1

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (3, 3, 40, 33), generator=GENERATOR, dtype=torch.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    random_weights(path)
    return path


@pytest.fixture(scope="module")
def theirs(file):
    made = create_feature_extractor(
        "inception-v3-compat", ["2048", "logits_unbiased"], cuda=False, verbose=False,
        feature_extractor_weights_path=str(file),
    )  # fmt: skip
    with torch.no_grad():
        return made(IMAGES)


@pytest.fixture(scope="module")
def ours(file):
    return inception_extractor(file, weights.hash_of(file))


def relative(found, known):
    return float((found - known).abs().max() / known.abs().max())


def test_features_and_logits_are_torch_fidelitys_at_any_batch_size(ours, theirs):
    for count in (1, 3):
        found = ours(IMAGES[:count])
        assert relative(found.features, theirs[0][:count]) < 1e-5
        assert relative(found.logits, theirs[1][:count]) < 1e-5
    assert found.features.shape == (3, 2048) and found.logits.shape == (3, 1008)
    assert weights.numbers_of("inception-v3-compat:clean") == found.features.shape[1] + found.logits.shape[1]
    assert float(found.features.std(dim=0).mean()) > 1e-3, "different images are seen differently"
    assert (ours.resize, ours.image_shape, ours.scale) == ("tf1", None, 1.0)


def test_grey_images_are_repeated(ours):
    grey = IMAGES[:2, :1]
    assert torch.equal(ours(grey).features, ours(grey.repeat(1, 3, 1, 1)).features)
    assert (
        takes(ours, (1, 5, 5)) and takes(ours, (3, 300, 7)) and not takes(ours, (2, 5, 5)) and not takes(ours, (3, 5))
    )
    with pytest.raises(ScoringError, match=r"takes images of shape \(1 or 3, H, W\), got \(4, 5, 5\)"):
        ours(torch.zeros(1, 4, 5, 5, dtype=torch.uint8))


@pytest.mark.parametrize("size", [(32, 32), (28, 40), (299, 299), (350, 310), (1, 1)])
def test_tf1_is_torch_fidelitys_to_the_last_bit(size):
    images = torch.randint(0, 256, (2, 3, *size), generator=GENERATOR).float()
    known = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    assert torch.equal(tf1(images, 299), known)


def test_clean_is_clean_fids():
    from cleanfid.resize import make_resizer

    resizer = make_resizer("PIL", False, "bicubic", (299, 299))
    for size in ((32, 32), (400, 310)):
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        known = resizer(image).transpose(2, 0, 1)
        found = clean(torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float(), 299)[0].numpy()
        np.testing.assert_allclose(found, known, atol=1e-5)
        assert found.min() >= 0 and found.max() <= 255


@pytest.mark.parametrize("size", [(40, 33), (400, 350)])
def test_legacy_is_clean_fids_legacy(size):
    from cleanfid.resize import make_resizer

    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    known = make_resizer("PyTorch", False, "bilinear", (299, 299))(image)
    found = legacy(torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float(), 299)[0].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(found, known, atol=1e-4)


def test_pytorch_fids_features_are_its_own_scaling_included(file, monkeypatch):
    from pytorch_fid import inception

    monkeypatch.setattr(
        inception, "load_state_dict_from_url", lambda *_, **__: torch.load(file, map_location="cpu", weights_only=True)
    )
    network = inception.InceptionV3([3]).eval()
    with torch.no_grad():
        known = network(IMAGES.float() / 255)[0].flatten(1)
    sha256 = weights.hash_of(file)
    found = inception_extractor(file, sha256, "inception-v3-compat:pytorch-fid")
    assert found.resize == "pytorch-fid" and relative(found(IMAGES).features, known) < 1e-5
    other = inception_extractor(file, sha256, "inception-v3-compat:legacy")
    assert 1e-3 < relative(other(IMAGES).features, known) < 1e-2


def test_a_row_depends_on_its_own_image_alone(ours, monkeypatch):
    """In a batch of fixed size, here 4 to be quick: what makes a part of the images see the whole's features."""
    monkeypatch.setattr(extraction, "BATCH", 4)
    images = torch.randint(0, 256, (7, 3, 8, 9), generator=GENERATOR, dtype=torch.uint8)
    (first, second) = extraction.extract(ours, [images])
    for start, stop, whole in ((1, 3, first.features), (4, 5, second.features), (6, 7, second.features)):
        (part,) = extraction.extract(ours, [images[start:stop]], start)
        assert torch.equal(part.features, whole[start % 4 : start % 4 + stop - start]), (start, stop)


def test_protocols_differ_and_are_named(file):
    sha256 = weights.hash_of(file)
    named = [inception_extractor(file, sha256, f"inception-v3-compat{end}") for end in ("", ":clean", ":legacy")]
    assert [one.resize for one in named] == ["tf1", "clean", "legacy"] and len({one.sha256 for one in named}) == 1
    features = [one(IMAGES[:1]).features for one in named]
    assert relative(features[0], features[1]) > 1e-3 and relative(features[0], features[2]) > 1e-3
    assert {one.name for one in named} <= set(known_extractors())


def test_weights_are_found_by_name_and_checked(file, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFBENCH_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(WeightsError) as missing:
        load_extractor("inception-v3-compat")
    said = str(missing.value)
    for part in (
        "weights-inception-2015-12-05-6726825d.pth",
        "6726825d…",
        str(tmp_path / "own"),
        "https://github.com/",
    ):
        assert part in said and "\n" not in said
    assert weights.weights_sha256("inception-v3-compat:clean") is None
    (tmp_path / "own").mkdir()
    place = tmp_path / "own" / "weights-inception-2015-12-05-6726825d.pth"
    place.write_bytes(file.read_bytes())
    with pytest.raises(WeightsError, match="but .* has one that begins with 6726825d"):
        load_extractor("inception-v3-compat")
    own = weights.WeightsFile(place.name, weights.hash_of(file)[:8], "here", 3056)
    monkeypatch.setitem(weights.FILES, "inception-v3-compat", own)
    assert load_extractor("inception-v3-compat:legacy").sha256 == weights.hash_of(file)
    assert weights.weights_sha256("inception-v3-compat") == weights.hash_of(file)
    with pytest.raises(UsageError, match="no extractor 'inception-v3-compat:bicubic'"):
        load_extractor("inception-v3-compat:bicubic")


class Touch:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def test_weights_that_run_code_are_refused(tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "evil.pth"
    for content in (pickle.dumps(Touch(canary)), b"hello", b""):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="no weights of this Inception network"):
            inception_extractor(path, hashlib.sha256(content).hexdigest())
    torch.save({"fc.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="no weights of this Inception network"):
        inception_extractor(path, weights.hash_of(path))
    torch.save({"fc.weight": 3}, path)
    with pytest.raises(WeightsError, match="no dictionary of tensors"):
        inception_extractor(path, weights.hash_of(path))
    with pytest.raises(WeightsError, match="sha256 is"):
        inception_extractor(path, "0" * 64)
    assert not canary.exists()
