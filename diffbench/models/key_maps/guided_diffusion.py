"""The U-net of openai/improved-diffusion and openai/guided-diffusion: ``UNetModel`` of ``unet.py``.

Keys are like ``input_blocks.1.0.in_layers.0.weight``. The flags aren't in the file; the commands of the repositories'
READMEs state those that differ from the defaults of ``model_and_diffusion_defaults`` in ``script_util.py``. Where a
flag can't be seen from the shapes of the tensors, a wrong one gives other images without an error; so all are stated.

improved-diffusion lacks some flags. Its networks have ``resblock_updown: false``, ``use_new_attention_order: false``;
``channel_mult`` is [1, 2, 2, 2] for 32 pixels, [1, 2, 3, 4] for 64, [1, 1, 2, 2, 4,
4] for 256 (in both repositories). Of cifar10_uncond_50M_500K.pt and imagenet64_uncond_100M_1500K.pt, whose commands
leave most to the defaults: ``num_heads: 4``, ``attention_resolutions: [16, 8]``, ``use_scale_shift_norm: true``,
``rescale_timesteps: true``, ``diffusion_steps: 4000``.

What a card says beside it: ``prediction: epsilon`` (``sample`` with ``predict_xstart``); ``variance: learned-range``
with ``learn_sigma``, for which the network returns twice as many channels; a discrete schedule of ``diffusion_steps``,
cosine or linear, that of 4000 linear steps from 2.5e-5 to 0.005; ``time: {input: index}``, also with
``rescale_timesteps``, which is part of the network here: it then gets index * 1000 / diffusion_steps. Data are in
[-1, 1], clip [-1, 1]. A training's EMA weights are in ema_RATE_STEP.pt, the others in modelSTEP.pt.

Facts of the network that the config holds: normalisations have eps 1e-5, downsampling pads 1 at each side, the time
embedding is [cos, sin] of frequencies 10000^(-i/half). The rows of ``qkv`` are those of head 0 (its q, k, v), head 1,
...; with ``use_new_attention_order`` all q, all k, all v.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import InitErrorDetails

from diffbench.document.spec import Spec, fault
from diffbench.models.key_maps.pieces import Cast, Piece, layer
from diffbench.models.key_maps.unet import Count, Counts, Levels, Original, only, parsed, width_faults

if TYPE_CHECKING:
    from torch import Tensor

# Classes of ImageNet, the number for which the scripts build conditional networks.
CLASSES = 1000
_POINTWISE_1D = Cast(lambda wanted: (*wanted, 1), lambda tensor: tensor[..., 0])
_CONV = {"down": ("DownBlock2D", "AttnDownBlock2D"), "up": ("UpBlock2D", "AttnUpBlock2D")}
_RESNET = {"down": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"), "up": ("ResnetUpsampleBlock2D", "AttnUpBlock2D")}
_TRAITS: Mapping[str, Any] = {
    "time_embedding_type": "positional",
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "downsample_padding": 1,
    "norm_eps": 1e-5,
    "norm_num_groups": 32,
    "attn_norm_num_groups": 32,
    "act_fn": "silu",
}


class Flags(Spec):
    """Flags of ``image_sample.py`` that make the network, by their names there; lists instead of "16,8".

    Either ``num_heads`` or ``num_head_channels``, the channels of a head, is given.
    """

    image_size: Count
    num_channels: Count
    num_res_blocks: Count
    channel_mult: Counts
    attention_resolutions: tuple[Count, ...]
    num_heads: Count | None = None
    num_head_channels: Count | None = None
    num_heads_upsample: int = -1
    learn_sigma: bool
    class_cond: bool
    use_scale_shift_norm: bool
    resblock_updown: bool
    use_new_attention_order: bool
    rescale_timesteps: bool
    diffusion_steps: Count

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """What UNet2DModel doesn't have."""
        yield from only(given, {"num_heads_upsample": (-1, "has one number of heads, not others on the way up")})
        yield from width_faults(given, "num_channels", "channel_mult")
        yield from _head_faults(given)

    def levels(self) -> Levels:
        """Attention is at the levels by whose factor of downsampling some ``attention_resolutions`` are reached."""
        factors = {self.image_size // side for side in self.attention_resolutions}
        attention = tuple(2**level in factors for level in range(len(self.channel_mult)))
        return Levels(tuple(self.num_channels * factor for factor in self.channel_mult), attention, self.num_res_blocks)

    def heads(self, width: int) -> int:
        """How many heads attention of so many channels has."""
        return self.num_heads or width // (self.num_head_channels or width)


def original(config: Mapping[str, Any]) -> Original:
    """The network of these flags; CardError for flags that are missing, unknown, or not UNet2DModel's."""
    flags = parsed(Flags, config)
    levels = flags.levels()
    heads = {flags.heads(width) for width in _attended(levels)}
    widths = {width // flags.heads(width) for width in _attended(levels)}
    single, even = heads == {1}, len(widths) == 1
    traits = {
        "sample_size": flags.image_size,
        "in_channels": 3,
        "out_channels": 6 if flags.learn_sigma else 3,
        "num_class_embeds": CLASSES if flags.class_cond else None,
        "resnet_time_scale_shift": "scale_shift" if flags.use_scale_shift_norm else "default",
        "downsample_type": "resnet" if flags.resblock_updown else "conv",
        "upsample_type": "resnet" if flags.resblock_updown else "conv",
        "attention_head_dim": min(widths) if even and not single else None,
        **levels.config(**(_RESNET if flags.resblock_updown else _CONV)),
        **_TRAITS,
    }
    return Original(
        traits,
        tuple(_pieces(flags, levels)),
        heads=None if single or even else flags.num_heads,
        time_scale=1000.0 / flags.diffusion_steps if flags.rescale_timesteps else 1.0,
    )


def weights(checkpoint: Any, ema: bool) -> Any:
    """The state dict in a checkpoint: itself, whether of EMA weights or not."""
    return checkpoint


def _attended(levels: Levels) -> list[int]:
    """The channels of every attention; the middle always has one."""
    widths = [width for width, has in zip(levels.channels, levels.attention, strict=True) if has]
    return [*widths, levels.channels[-1]]


def _head_faults(given: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    keys = [key for key in ("num_heads", "num_head_channels") if given.get(key) is not None]
    if len(keys) != 1:
        yield fault(
            (), f'expected one of "num_heads" and "num_head_channels", not {" and ".join(keys) or "none"}', given
        )
        return
    try:
        widths = _attended(Flags.model_construct(None, **given).levels())
        odd = [width for width in widths if width % given[keys[0]]]
    except (AttributeError, TypeError, ZeroDivisionError):  # reported elsewhere
        return
    if odd:
        message = f"{given[keys[0]]} is not allowed; it doesn't divide attention of {odd[0]} channels"
        yield fault((keys[0],), message, given[keys[0]])


def _pieces(flags: Flags, levels: Levels) -> Iterator[Piece]:
    for source, target in (("time_embed.0", "linear_1"), ("time_embed.2", "linear_2")):
        yield from layer(source, f"time_embedding.{target}")
    if flags.class_cond:
        yield Piece("label_emb.weight", "class_embedding.weight")
    yield from layer("input_blocks.0.0", "conv_in")
    number = 1
    for level, has_attention in enumerate(levels.attention):
        target = f"down_blocks.{level}"
        for block in range(levels.blocks):
            yield from _resnet(f"input_blocks.{number}.0", f"{target}.resnets.{block}", levels.widens(level, block))
            if has_attention:
                yield from _attention(f"input_blocks.{number}.1", f"{target}.attentions.{block}", level, flags)
            number += 1
        if level < levels.last:
            yield from _resampling(f"input_blocks.{number}.0", f"{target}.downsamplers.0", "op", flags)
            number += 1
    yield from _resnet("middle_block.0", "mid_block.resnets.0", False)
    yield from _attention("middle_block.1", "mid_block.attentions.0", levels.last, flags)
    yield from _resnet("middle_block.2", "mid_block.resnets.1", False)
    number = 0
    for level in range(levels.last, -1, -1):
        target = f"up_blocks.{levels.last - level}"
        for block in range(levels.blocks + 1):
            yield from _resnet(f"output_blocks.{number}.0", f"{target}.resnets.{block}", True)
            if levels.attention[level]:
                yield from _attention(f"output_blocks.{number}.1", f"{target}.attentions.{block}", level, flags)
            number += 1
        if level > 0:
            name = f"output_blocks.{number - 1}.{2 if levels.attention[level] else 1}"
            yield from _resampling(name, f"{target}.upsamplers.0", "conv", flags)
    yield from layer("out.0", "conv_norm_out")
    yield from layer("out.2", "conv_out")


def _resampling(source: str, target: str, name: str, flags: Flags) -> Iterator[Piece]:
    if flags.resblock_updown:
        yield from _resnet(source, target, False)
    else:
        yield from layer(f"{source}.{name}", f"{target}.conv")


def _resnet(source: str, target: str, widens: bool) -> Iterator[Piece]:
    names = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2"}
    for name, ours in {**names, "out_layers.3": "conv2"}.items():
        yield from layer(f"{source}.{name}", f"{target}.{ours}")
    if widens:
        yield from layer(f"{source}.skip_connection", f"{target}.conv_shortcut")


def _attention(source: str, target: str, level: int, flags: Flags) -> Iterator[Piece]:
    yield from layer(f"{source}.norm", f"{target}.group_norm")
    # Rows are (part, head, channel) in the new order, (head, part, channel) in the old one.
    blocks = 1 if flags.use_new_attention_order else flags.heads(flags.num_channels * flags.channel_mult[level])
    for part, ours in enumerate(("to_q", "to_k", "to_v")):
        yield Piece(f"{source}.qkv.weight", f"{target}.{ours}.weight", _part(part, blocks, (1,)))
        yield Piece(f"{source}.qkv.bias", f"{target}.{ours}.bias", _part(part, blocks, ()))
    yield from layer(f"{source}.proj_out", f"{target}.to_out.0", _POINTWISE_1D)


def _part(part: int, blocks: int, pixel: tuple[int, ...]) -> Cast:
    """q, k or v (``part`` 0, 1, 2) of rows that are ``blocks`` times all three; ``pixel``: the shape of a kernel."""

    def take(tensor: Tensor) -> Tensor:
        rows = tensor.reshape(blocks, 3, -1, *tensor.shape[1:])[:, part].flatten(0, 1)
        return rows[..., 0] if pixel else rows

    return Cast(lambda wanted: (3 * wanted[0], *wanted[1:], *pixel), take)
