"""A checkpoint ready to sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diffbench.diffusion.denoiser import Clipped, Denoiser, NetworkDenoiser
from diffbench.diffusion.guidance import Guided
from diffbench.diffusion.schedule import NoiseSchedule
from diffbench.errors import CardError
from diffbench.models.card import Card
from diffbench.models.codec import Codec
from diffbench.models.condition import Condition
from diffbench.models.conditioning import Conditioner


@dataclass(frozen=True, eq=False)
class Model:
    """A checkpoint: its denoiser on x_hat, the schedule behind it, and the way to images.

    ``unclipped`` is the denoiser before clip and condition; ``network(x, t, **given)`` the bare network, whose output
    it is made of, where ``given`` are the tensors of the ``conditioner``, if the network takes any.
    """

    card: Card
    unclipped: Denoiser
    schedule: NoiseSchedule
    codec: Codec
    network: Callable[..., Tensor]
    device: torch.device
    dtype: torch.dtype
    conditioner: Conditioner | None = None
    condition: Condition | None = None

    def read_as(self, card: Card, condition: Condition | None) -> Model:
        """The same networks with the clip of another card and another condition, which may raise CardError."""
        if self.conditioner is None:
            return replace(self, card=card)
        if condition is None:
            return replace(self, card=card, condition=None)
        return replace(self, card=card, condition=condition, conditioner=self.conditioner.prepared(condition))

    @property
    def denoiser(self) -> Denoiser:
        """D of a model without a condition, or of none where the network can be told so. CardError elsewhere."""
        if self.conditioner is None:
            return self._clipped(self.unclipped)
        if not self.conditioner.has_none:
            raise CardError(f"{self.card.name}: has no label that stands for none; this needs a model without labels")
        conditioner = self.conditioner

        def network(x: Tensor, t: Tensor) -> Tensor:
            return self.network(x, t, **conditioner.none(len(x)))

        return self._clipped(self._calling(network))

    def denoiser_of(self, indices: range, seed: int) -> Denoiser:
        """D for a batch that holds the samples ``indices``, with their labels or prompts, guided as the condition says.

        CardError for a conditional model without a condition.
        """
        if self.conditioner is None:
            return self._clipped(self.unclipped)
        if self.condition is None:
            raise CardError(f"{self.card.name}: is conditional; say labels or prompts")
        given = self.conditioner.given(indices, seed)
        conditional, guidance = self._told(given), self.condition.guidance
        if not guidance.guides:
            return self._clipped(conditional)
        none = self.conditioner.none(len(indices))
        both = self._told({name: torch.cat([none[name], given[name]]) for name in given})
        return self._clipped(Guided(conditional, both, guidance.scale, guidance.interval))

    def _told(self, given: dict[str, Tensor]) -> Denoiser:
        return self._calling(lambda x, t: self.network(x, t, **given))

    def _calling(self, network: Callable[[Tensor, Tensor], Tensor]) -> Denoiser:
        assert isinstance(self.unclipped, NetworkDenoiser)
        return self.unclipped.calling(network)

    def _clipped(self, denoiser: Denoiser) -> Denoiser:
        return denoiser if self.card.clip is None else Clipped(denoiser, *self.card.clip)
