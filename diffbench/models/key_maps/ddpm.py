"""The DDPM network as PyTorch has it: ``models/diffusion.py`` of ermongroup/ddim, also in pesser/pytorch_diffusion.

Keys are like ``down.0.block.0.norm1.weight``, ``mid.attn_1.q.weight``, ``temb.dense.0.weight``. The network is that of
Ho et al. (2020), appendix B, converted from hojonathanho/diffusion; google/ddpm-cifar10-32 on the hub is the same one.

What a card says beside it: ``prediction: epsilon``, ``variance: fixed``, a discrete schedule of 1000 steps with linear
betas 1e-4 to 0.02, ``time: {input: index}``, data in [-1, 1] (the network doesn't centre them), clip [-1, 1] as in Ho
et al.'s sampler; ermongroup's DDIM doesn't clip. ``ema_diffusion_*_model/model-*.ckpt`` are bare state dicts of EMA
weights, ``diffusion_*_model/model-*.ckpt`` of the others; nothing in the file says which.

Facts of the network that the config below holds: normalisations have eps 1e-6; downsampling pads (0, 1, 0, 1), right
and below; the time embedding is [sin, cos] of frequencies 10000^(-i/(half - 1)); attention has one head.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import InitErrorDetails

from diffbench.document.spec import Spec
from diffbench.errors import WeightsError
from diffbench.models.key_maps.pieces import POINTWISE, Piece, layer
from diffbench.models.key_maps.unet import Count, Counts, Levels, Original, only, parsed, width_faults

# Of the time embedding, normalisations and downsampling of every port of Ho et al.'s network.
TRAITS: Mapping[str, Any] = {
    "time_embedding_type": "positional",
    "freq_shift": 1,
    "flip_sin_to_cos": False,
    "downsample_padding": 0,
    "norm_eps": 1e-6,
    "norm_num_groups": 32,
    "attention_head_dim": None,
    "act_fn": "silu",
}
BLOCKS = {"down": ("DownBlock2D", "AttnDownBlock2D"), "up": ("UpBlock2D", "AttnUpBlock2D")}


class Ddpm(Spec):
    """Values of ``model`` and ``data`` in ermongroup's ``configs/*.yml``, by their names there."""

    image_size: Count
    in_channels: Count
    out_ch: Count
    ch: Count
    ch_mult: Counts
    num_res_blocks: Count
    attn_resolutions: tuple[Count, ...]
    resamp_with_conv: bool

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """What UNet2DModel doesn't have."""
        yield from only(given, {"resamp_with_conv": (True, "resamples by convolutions")})
        yield from width_faults(given, "ch", "ch_mult")

    def levels(self) -> Levels:
        """Attention is at the levels whose side is among ``attn_resolutions``."""
        sides = [self.image_size // 2**level for level in range(len(self.ch_mult))]
        attention = tuple(side in self.attn_resolutions for side in sides)
        return Levels(tuple(self.ch * factor for factor in self.ch_mult), attention, self.num_res_blocks)


def original(config: Mapping[str, Any]) -> Original:
    """The network of these values; CardError for values that are missing, unknown, or not UNet2DModel's."""
    values = parsed(Ddpm, config)
    levels = values.levels()
    sizes = {"sample_size": values.image_size, "in_channels": values.in_channels, "out_channels": values.out_ch}
    return Original({**sizes, **levels.config(**BLOCKS), **TRAITS}, tuple(_pieces(levels)))


def weights(checkpoint: Any, ema: bool) -> Any:
    """The state dict in a checkpoint: itself, or of a training's list [model, optimizer, epoch, step, EMA].

    Raises WeightsError where EMA weights are wanted of a list that has none.
    """
    if isinstance(checkpoint, Mapping) or not isinstance(checkpoint, Sequence) or len(checkpoint) < 4:
        return checkpoint
    if ema and len(checkpoint) < 5:
        raise WeightsError("the checkpoint has no EMA weights: its list ends with the step")
    return checkpoint[4 if ema else 0]


def _pieces(levels: Levels) -> Iterator[Piece]:
    yield from layer("conv_in", "conv_in")
    for index in range(2):
        yield from layer(f"temb.dense.{index}", f"time_embedding.linear_{index + 1}")
    for level in range(levels.last + 1):
        source, target = f"down.{level}", f"down_blocks.{level}"
        for block in range(levels.blocks):
            yield from _resnet(f"{source}.block.{block}", f"{target}.resnets.{block}", levels.widens(level, block))
            if levels.attention[level]:
                yield from _attention(f"{source}.attn.{block}", f"{target}.attentions.{block}")
        if level < levels.last:
            yield from layer(f"{source}.downsample.conv", f"{target}.downsamplers.0.conv")
    yield from _resnet("mid.block_1", "mid_block.resnets.0", False)
    yield from _attention("mid.attn_1", "mid_block.attentions.0")
    yield from _resnet("mid.block_2", "mid_block.resnets.1", False)
    for level in range(levels.last + 1):
        source, target = f"up.{level}", f"up_blocks.{levels.last - level}"
        for block in range(levels.blocks + 1):
            yield from _resnet(f"{source}.block.{block}", f"{target}.resnets.{block}", True)
            if levels.attention[level]:
                yield from _attention(f"{source}.attn.{block}", f"{target}.attentions.{block}")
        if level > 0:
            yield from layer(f"{source}.upsample.conv", f"{target}.upsamplers.0.conv")
    yield from layer("norm_out", "conv_norm_out")
    yield from layer("conv_out", "conv_out")


def _resnet(source: str, target: str, widens: bool) -> Iterator[Piece]:
    for name in ("norm1", "conv1", "norm2", "conv2"):
        yield from layer(f"{source}.{name}", f"{target}.{name}")
    yield from layer(f"{source}.temb_proj", f"{target}.time_emb_proj")
    if widens:
        yield from layer(f"{source}.nin_shortcut", f"{target}.conv_shortcut")


def _attention(source: str, target: str) -> Iterator[Piece]:
    yield from layer(f"{source}.norm", f"{target}.group_norm")
    for name, ours in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")):
        yield from layer(f"{source}.{name}", f"{target}.{ours}", POINTWISE)
