"""How the first samples of a cell form: the denoiser's estimates of x0 on the way, made into images for reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffbench.diffusion.denoiser import Denoised, Denoiser
from diffbench.models.codec import Codec
from diffbench.scoring.images import quantise
from diffbench.store.kept import FRAMES
from diffbench.store.shards import TRAJECTORIES, Artefact


@dataclass(frozen=True)
class _Estimate:
    """What the denoiser said of the first samples at its ``call``-th evaluation (from 1); ``sigma`` (k,)."""

    call: int
    x0: Tensor
    sigma: Tensor


class Recorded:
    """Another denoiser, keeping what it says of the first ``samples`` of its batch; it answers with the same bits.

    Of any number of evaluations at most 2 ``FRAMES`` are held, evenly spaced from the first, and the last one. A
    sampler that goes on with a part of its batch (adaptive steps) is followed until then.
    """

    def __init__(self, denoiser: Denoiser, samples: int) -> None:
        self.denoiser = denoiser
        self.samples = samples
        self.calls = 0
        self._batch = 0
        self._stride = 1
        self._held: list[_Estimate] = []
        self._last: _Estimate | None = None

    def __call__(self, x_hat: Tensor, sigma: Tensor) -> Denoised:
        """Denoise a batch."""
        denoised = self.denoiser(x_hat, sigma)
        self.calls += 1
        self._batch = self._batch or len(x_hat)
        if len(x_hat) == self._batch:
            self._note(denoised.x0, sigma)
        else:
            self._batch = -1
        return denoised

    def _note(self, x0: Tensor, sigma: Tensor) -> None:
        now = _Estimate(self.calls, x0[: self.samples].clone(), sigma[: self.samples].clone())
        self._last = now
        if (now.call - 1) % self._stride == 0:
            self._held.append(now)
        if len(self._held) > 2 * FRAMES:
            self._held, self._stride = self._held[::2], 2 * self._stride

    def estimates(self) -> list[_Estimate]:
        """At most ``FRAMES`` of them in order: the first, the last, and what lies evenly between."""
        if self._last is None:
            return []
        known = self._held if self._held[-1].call == self._last.call else [*self._held, self._last]
        if len(known) <= FRAMES:
            return known
        calls = np.array([one.call for one in known])
        wanted = np.linspace(calls[0], calls[-1], FRAMES)
        chosen = {int(np.abs(calls - call).argmin()) for call in wanted}
        return [known[index] for index in sorted(chosen)]


@torch.inference_mode()
def trajectories(recorded: Recorded, codec: Codec, images: Tensor) -> Artefact:
    """The estimates as uint8 images (k, S + 1, C, H, W), the samples' own ``images`` (B, C, H, W) last.

    Beside them ``evaluations`` (S + 1,), how many had been made, and ``sigma`` (k, S + 1), the noise level of each; of
    the samples themselves, all evaluations and 0. What is not finite is drawn as 0, the middle of the range.
    """
    seen = recorded.estimates()
    own = images[: recorded.samples].cpu()
    x0 = torch.stack([one.x0 for one in seen], dim=1)  # (k, S, ...)
    parts = torch.split(x0.flatten(0, 1), len(images))  # a batch is known to fit
    decoded = torch.cat([quantise(torch.nan_to_num(codec.decode(part), 0.0, 0.0, 0.0)).cpu() for part in parts])
    frames = torch.cat([decoded.view(len(own), len(seen), *own.shape[1:]), own[:, None]], dim=1)
    sigma = torch.stack([one.sigma for one in seen] + [torch.zeros(len(own), dtype=torch.float64)], dim=1)
    calls = [one.call for one in seen]
    arrays = {
        TRAJECTORIES: frames.numpy(),
        "sigma": sigma.numpy(),
        "evaluations": np.array([*calls, recorded.calls], dtype=np.int64),
    }
    return Artefact(arrays, {"count": len(own)})
