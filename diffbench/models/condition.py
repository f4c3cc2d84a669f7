"""What a conditional model is told beside the noise: class labels or prompts, and how strongly they guide it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from pydantic_core import InitErrorDetails

from diffbench.document.spec import Spec, fault
from diffbench.document.words import Says, shown

Label = Annotated[int, Field(ge=0, le=10_000_000)]
Prompt = Annotated[str, Field(max_length=10_000)]
LabelPolicy = Literal["balanced", "uniform"]
LabelList = Annotated[tuple[Label, ...], Field(min_length=1, max_length=1_000_000)]
Prompts = Annotated[tuple[Prompt, ...], Field(min_length=1, max_length=1_000_000)]


class Guidance(Spec):
    """Classifier-free guidance D = D_none + ``scale`` (D_cond - D_none) (Ho & Salimans 2022, Eq. 6, w = scale - 1).

    ``scale`` 1 is the conditional model itself, at one evaluation of the network; any other costs two. Outside
    ``interval``, low < sigma <= high in units of the data, the scale is 1 (Kynkaanniemi et al. 2024, Eq. 5).
    """

    scale: Annotated[float, Field(ge=0.0, le=1000.0)]
    """1 is the conditional model itself; any other takes two evaluations of the network."""
    interval: tuple[float, float] | None = None
    """[low, high]: guided only where low < sigma <= high, in units of the data."""

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """A bare number is the scale."""
        return {"scale": value} if type(value) in (int, float) else value

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """The interval must rise."""
        interval = given.get("interval")
        if isinstance(interval, tuple) and len(interval) == 2 and all(type(end) in (int, float) for end in interval):
            if not 0 <= interval[0] < interval[1]:
                message = f"{shown(interval)} is not allowed; expected two sigmas, 0 <= low < high"
                yield fault(("interval",), message, interval)

    @property
    def guides(self) -> bool:
        """Whether the network is ever evaluated without its condition."""
        return self.scale != 1.0


class Condition(Spec):
    """Labels or prompts of a cell's samples, and the guidance.

    ``labels``: ``balanced`` gives sample i the class i mod K; ``uniform`` draws it from (seed, i) alone; a list is gone
    through again and again, as ``prompts`` are.
    """

    labels: LabelPolicy | LabelList | None = None
    """balanced, uniform or a list of classes."""
    prompts: Prompts | None = None
    """What samples are of, one after the other."""
    negative_prompt: Prompt = ""
    """What guidance leads away from."""
    guidance: Annotated[Guidance, Says("a scale, or a mapping with scale and interval")] = Guidance(scale=1.0)
    """How strongly the condition guides."""

    def labels_of(self, indices: range, classes: int, seed: int) -> list[int]:
        """The label of every sample of ``indices``."""
        if self.labels == "balanced":
            return [index % classes for index in indices]
        if self.labels == "uniform":
            return [uniform_label(index, classes, seed) for index in indices]
        assert isinstance(self.labels, tuple)
        return [self.labels[index % len(self.labels)] for index in indices]

    def prompts_of(self, indices: range) -> list[int]:
        """The position among ``prompts`` of every sample's prompt."""
        assert self.prompts is not None
        return [index % len(self.prompts) for index in indices]


def uniform_label(index: int, classes: int, seed: int) -> int:
    """A class 0 <= y < ``classes`` that depends on (``seed``, ``index``) alone: floor(K u), u of Philox4x64-10."""
    word = int(np.random.Philox(key=np.array([seed, index], dtype=np.uint64)).random_raw())
    return word * classes >> 64
