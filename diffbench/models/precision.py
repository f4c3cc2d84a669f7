"""Precisions of a network by the names that suites give them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

DTYPES = ("float32", "bfloat16", "float16", "amp-bfloat16", "amp-float16")
_AUTOCAST = "amp-"
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def weights_dtype(name: str) -> torch.dtype:
    """The dtype of weights and of what a network is given: float32 with ``amp-``, else the one named."""
    return torch.float32 if name.startswith(_AUTOCAST) else _TYPES[name]


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Autocast to the dtype behind ``amp-``; for other names nothing changes."""
    if not name.startswith(_AUTOCAST):
        yield
        return
    with torch.autocast(device.type, dtype=_TYPES[name.removeprefix(_AUTOCAST)]):
        yield
