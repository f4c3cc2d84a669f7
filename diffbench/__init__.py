"""diffbench: evaluation and benchmarking of diffusion samplers.

``diffbench.run(suite)`` runs a suite and returns its results; ``diffbench.read(folder)`` opens a finished run,
``diffbench.compare(base, new)`` holds one to another, ``diffbench.history(folders)`` joins many,
``diffbench.score(images)`` scores what something else made, ``diffbench.likelihood(model)`` gives a model's bits/dim,
``diffbench.check(model)`` tells whether it is read as it was trained.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffbench.api import Collected, compare, history, open_reference, read, run, score
    from diffbench.callback import Callback, Evaluation
    from diffbench.catalog import SamplerEntry
    from diffbench.errors import DiffbenchError
    from diffbench.finished import Results
    from diffbench.models.own_model import OwnModel
    from diffbench.runner.check import check
    from diffbench.runner.likelihood import likelihood

__version__ = "0.1.0"

__all__ = [
    "Callback",
    "Collected",
    "DiffbenchError",
    "Evaluation",
    "OwnModel",
    "Results",
    "SamplerEntry",
    "__version__",
    "compare",
    "history",
    "check",
    "likelihood",
    "open_reference",
    "read",
    "run",
    "score",
]

_HOMES = {
    "Callback": "diffbench.callback",
    "Evaluation": "diffbench.callback",
    "run": "diffbench.api",
    "read": "diffbench.api",
    "score": "diffbench.api",
    "compare": "diffbench.api",
    "history": "diffbench.api",
    "Collected": "diffbench.api",
    "open_reference": "diffbench.api",
    "check": "diffbench.runner.check",
    "likelihood": "diffbench.runner.likelihood",
    "OwnModel": "diffbench.models.own_model",
    "Results": "diffbench.finished",
    "SamplerEntry": "diffbench.catalog",
    "DiffbenchError": "diffbench.errors",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: the command line must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'diffbench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
