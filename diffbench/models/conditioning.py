"""From labels and prompts to what a conditional network is given beside x and t."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from diffbench.errors import CardError
from diffbench.models.card_parts import Labels
from diffbench.models.condition import Condition


class Conditioner(Protocol):
    """Makes a network's further arguments, tensors of a row a sample on the network's device, by their names."""

    def prepared(self, condition: Condition) -> Self:
        """The conditioner of this condition: what costs much is done once here. CardError for one it can't take."""
        ...

    @property
    def has_none(self) -> bool:
        """Whether there is a way to tell the network nothing."""
        ...

    def given(self, indices: range, seed: int) -> dict[str, Tensor]:
        """Arguments for the samples ``indices`` of a cell with this seed."""
        ...

    def none(self, count: int) -> dict[str, Tensor]:
        """Arguments that tell the network nothing, ``count`` rows."""
        ...


@dataclass(frozen=True, eq=False)
class LabelConditioner:
    """Class labels as int64 (B,), the argument ``class_labels``."""

    labels: Labels
    device: torch.device
    condition: Condition | None = None

    def prepared(self, condition: Condition) -> LabelConditioner:
        """With the condition's policy."""
        if condition.labels is None:
            raise CardError("a network of class labels needs labels: balanced, uniform or a list")
        return replace(self, condition=condition)

    @property
    def has_none(self) -> bool:
        """Whether a label stands for none."""
        return self.labels.unconditional is not None

    def given(self, indices: range, seed: int) -> dict[str, Tensor]:
        """The labels of the samples."""
        assert self.condition is not None
        return self._rows(self.condition.labels_of(indices, self.labels.classes, seed))

    def none(self, count: int) -> dict[str, Tensor]:
        """The label that stands for none."""
        assert self.labels.unconditional is not None
        return self._rows([self.labels.unconditional] * count)

    def _rows(self, labels: list[int]) -> dict[str, Tensor]:
        return {"class_labels": torch.tensor(labels, dtype=torch.int64, device=self.device)}


@dataclass(frozen=True, eq=False)
class PromptConditioner:
    """Prompts as what their encoders make of them, such as ``encoder_hidden_states`` (B, tokens, width).

    ``encode`` maps texts (P) to the network's arguments, of P rows each; every prompt is encoded once.
    """

    encode: Callable[[Sequence[str]], dict[str, Tensor]]
    condition: Condition | None = None
    prompts: Mapping[str, Tensor] = field(default_factory=dict)
    nothing: Mapping[str, Tensor] | None = None
    has_none: bool = True

    def prepared(self, condition: Condition) -> PromptConditioner:
        """With the condition's prompts encoded; none is its ``negative_prompt``, by default the empty text."""
        if condition.prompts is None:
            raise CardError("a network of prompts needs prompts")
        different = list(dict.fromkeys(condition.prompts))
        encoded = self.encode(different)
        place = {prompt: index for index, prompt in enumerate(different)}
        rows = [place[prompt] for prompt in condition.prompts]
        prompts = {name: values[torch.tensor(rows, device=values.device)] for name, values in encoded.items()}
        return replace(self, condition=condition, prompts=prompts, nothing=self.encode([condition.negative_prompt]))

    def given(self, indices: range, seed: int) -> dict[str, Tensor]:
        """The samples' prompts, which do not depend on the seed."""
        assert self.condition is not None
        rows = self.condition.prompts_of(indices)
        return {name: values[torch.tensor(rows, device=values.device)] for name, values in self.prompts.items()}

    def none(self, count: int) -> dict[str, Tensor]:
        """The empty prompt, or the negative one."""
        nothing = self.encode([""]) if self.nothing is None else self.nothing
        return {name: values.expand(count, *values.shape[1:]) for name, values in nothing.items()}
