"""Models whose denoiser is known exactly: the parameters of the data's distribution stand in the card."""

from __future__ import annotations

import torch
from torch import Tensor

from diffbench.diffusion.analytic import GaussianMixtureDenoiser
from diffbench.errors import CardError
from diffbench.models.card import Card
from diffbench.models.codec import PixelCodec
from diffbench.models.model import Model


def analytic_model(card: Card, device: torch.device, dtype: str = "float32") -> Model:
    """The exact denoiser of a card's ``analytic`` distribution; D is worked out in float64 whatever x_hat's dtype.

    ``network(x, t)`` is the same on the family's own x_t and t. Raises CardError for a dtype other than float32:
    there is no network whose precision could be lowered.
    """
    assert card.analytic is not None
    if dtype != "float32":
        raise CardError(f"{card.directory}: an analytic model has no network to run in {dtype}; leave the dtype out")
    given = card.analytic
    weights, means, scales = (
        torch.tensor(values, dtype=torch.float64, device=device)
        for values in (given.weights, given.means, given.scales)
    )
    mixture = GaussianMixtureDenoiser(weights, means.view(len(means), *card.data.shape), scales)
    schedule = card.schedule_object()

    def network(x: Tensor, t: Tensor) -> Tensor:
        times = t.double().cpu().numpy()
        scale = torch.from_numpy(schedule.scale(times)).to(x).view(-1, *[1] * (x.ndim - 1))
        return mixture(x / scale, torch.from_numpy(schedule.sigma(times))).x0

    return Model(card, mixture, schedule, PixelCodec(*card.data.range), network, device, torch.float32)
