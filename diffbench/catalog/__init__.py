"""What can be named in a suite: data only, importable without torch.

A sampler is one ``SamplerEntry`` here and one class in ``diffbench/samplers``; a metric is one ``MetricEntry`` here
and one file in ``diffbench/scoring``; a grid is one option model here and one formula in ``diffbench/diffusion``.
"""

from diffbench.catalog.adaptive import TOLERANCES
from diffbench.catalog.entries import Final, MetricEntry, NoOptions, Options, SamplerEntry, load
from diffbench.catalog.grids import GRIDS, PRESETS
from diffbench.catalog.likelihood import LIKELIHOOD, LikelihoodOptions, ModelMetric
from diffbench.catalog.metrics import COSTS, METRICS
from diffbench.catalog.samplers import SAMPLERS, Samplers

__all__ = [
    "COSTS",
    "GRIDS",
    "LIKELIHOOD",
    "METRICS",
    "PRESETS",
    "SAMPLERS",
    "TOLERANCES",
    "Final",
    "LikelihoodOptions",
    "MetricEntry",
    "ModelMetric",
    "NoOptions",
    "Options",
    "SamplerEntry",
    "Samplers",
    "load",
]
