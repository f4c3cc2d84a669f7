from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from diffbench.scoring.reference import Reference


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small only suffer from threads that wait for each other on a busy machine."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def make_reference():
    def make(features, logits=None, name="toy"):
        features = np.asarray(features)
        logits = np.zeros((len(features), 2), np.float32) if logits is None else logits
        return Reference.of(name, features, logits, "toy-extractor", (1, 2, 2))

    return make
