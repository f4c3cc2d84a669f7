"""Networks of yang-song/score_sde_pytorch: ``ddpm``, and of ``ncsnpp`` the DDPM++ of VP and the NCSN++ from 256 pixels.

Keys are ``all_modules.N.…``, N counting layers in the order in which they are called, behind a ``module.`` from
DataParallel. What a card says beside them:

- VP and sub-VP (``ddpm``, DDPM++; ``centered: true``): ``prediction: epsilon``, as the score is -output/std; data in
  [-1, 1]; ``time: {input: scaled, scale: 999}`` with ``training.continuous``, otherwise a discrete schedule of 1000
  steps and ``time: {input: index}``.
- VE (NCSN++; ``centered: false``): ``prediction: score``, as the network divides by sigma itself (``scale_by_sigma``);
  ``time: {input: sigma}``, of which the network takes the logarithm; data in [0, 1], which the network centres; no
  clipping. Sigma goes from 0.01 to ``sigma_max`` in units of [0, 1].

``name: ddpm`` differs from Ho et al.'s network in one thing: on the way up only the last block of a level is followed
by attention. Residual sums of DDPM++ and NCSN++ are divided by sqrt(2) (``skip_rescale``), and groups of their
normalisations are min(channels / 4, 32).

The NCSN++ of CIFAR-10 (``progressive_input: residual``) are no UNet2DModel; nor are those of VE that are told sigma's
index and divide by sigma.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from pydantic_core import InitErrorDetails

from diffbench.document.spec import Spec, fault
from diffbench.document.words import shown
from diffbench.errors import WeightsError
from diffbench.models.key_maps import ddpm
from diffbench.models.key_maps.pieces import RIGHT_KERNEL, RIGHT_LINEAR, Piece, layer, named_tensors
from diffbench.models.key_maps.unet import GROUPS, Count, Counts, Levels, Original, only, parsed, width_faults

if TYPE_CHECKING:
    from torch import Tensor

# The noise levels, kept beside the weights.
_BUFFER = "sigmas"
_RESAMPLING = {"down": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"), "up": ("ResnetUpsampleBlock2D", "AttnUpBlock2D")}
_SKIPS = {"down": ("SkipDownBlock2D", "AttnSkipDownBlock2D"), "up": ("SkipUpBlock2D", "AttnSkipUpBlock2D")}
_NIN = ("W", "b")

Layout = Literal["ddpm", "ddpm++", "skips"]


class _Values(Spec):
    """Values of ``model`` and ``data`` in the repository's ``configs``, by their names there."""

    name: Literal["ddpm", "ncsnpp"]
    image_size: Count
    num_channels: Count
    centered: bool
    nf: Count
    ch_mult: Counts
    num_res_blocks: Count
    attn_resolutions: tuple[Count, ...]
    resamp_with_conv: bool
    conditional: bool
    nonlinearity: str
    scale_by_sigma: bool

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """What UNet2DModel doesn't have."""
        yield from only(
            given,
            {
                "resamp_with_conv": (True, "resamples by convolutions"),
                "conditional": (True, "is always told the time"),
                "nonlinearity": ("swish", 'has "swish" alone'),
            },
        )

    def levels(self) -> Levels:
        """Attention is at the levels whose side is among ``attn_resolutions``."""
        sides = [self.image_size // 2**level for level in range(len(self.ch_mult))]
        attention = tuple(side in self.attn_resolutions for side in sides)
        return Levels(tuple(self.nf * factor for factor in self.ch_mult), attention, self.num_res_blocks)

    def sizes(self) -> dict[str, Any]:
        """What a UNet2DModel's config says of its input and output."""
        channels = {"in_channels": self.num_channels, "out_channels": self.num_channels}
        return {"sample_size": self.image_size, **channels, "center_input_sample": not self.centered}


class ScoreSdeDdpm(_Values):
    """The network of ``models/ddpm.py``."""

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """What UNet2DModel doesn't have."""
        yield from super().check(given, context)
        yield from only(given, {"scale_by_sigma": (False, "divides by sigma only what is told sigma itself")})
        yield from width_faults(given, "nf", "ch_mult")


class Ncsnpp(_Values):
    """The network of ``models/ncsnpp.py``."""

    embedding_type: Literal["fourier", "positional"]
    resblock_type: str
    skip_rescale: bool
    fir: bool
    fir_kernel: Annotated[tuple[float, ...], Field(max_length=16)]
    progressive: str
    progressive_input: str
    progressive_combine: str

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """What UNet2DModel doesn't have: it has these blocks without pyramids and FIR filters, or with both."""
        yield from super().check(given, context)
        skips = given.get("progressive") == "output_skip"
        blocks = 'has residual blocks of type "biggan" with rescaled sums'
        yield from only(given, {"resblock_type": ("biggan", blocks), "skip_rescale": (True, blocks)})
        fourier = given.get("embedding_type") == "fourier"
        yield from only(given, {"scale_by_sigma": (fourier, "divides by sigma what has a Fourier embedding, no other")})
        if skips:
            both = "has output_skip together with input_skip that is summed, and FIR filters [1, 3, 3, 1]"
            yield from only(given, {"fir": (True, both), "fir_kernel": ((1, 3, 3, 1), both)})
            yield from only(given, {"progressive_input": ("input_skip", both), "progressive_combine": ("sum", both)})
            yield from only(given, {"num_channels": (3, "has skip connections of 3 channels")})
            yield from width_faults(given, "nf", "ch_mult", multiple=4)
            yield from _narrow_attention(given)
        else:
            either = 'has progressive "output_skip" with "input_skip" and FIR filters, or none of the three'
            values = {"progressive": "none", "progressive_input": "none", "fir": False}
            yield from only(given, {key: (value, either) for key, value in values.items()})
            yield from width_faults(given, "nf", "ch_mult", least=4 * GROUPS)


def original(config: Mapping[str, Any]) -> Original:
    """The network of these values; CardError for values that are missing, unknown, or not UNet2DModel's."""
    passive = frozenset({_BUFFER})
    if config.get("name") != "ncsnpp":
        plain = parsed(ScoreSdeDdpm, config)
        levels = plain.levels()
        traits = {**plain.sizes(), **levels.config(**ddpm.BLOCKS), **ddpm.TRAITS}
        return Original(traits, tuple(_pieces(levels, "ddpm")), one_attention_up=True, passive=passive)
    values = parsed(Ncsnpp, config)
    levels = values.levels()
    fourier = values.embedding_type == "fourier"
    traits = {**values.sizes(), **ddpm.TRAITS, "time_embedding_type": values.embedding_type}
    if values.progressive == "output_skip":
        traits |= {**levels.config(**_SKIPS), "norm_num_groups": None, "mid_block_scale_factor": math.sqrt(2.0)}
        return Original(traits, tuple(_pieces(levels, "skips", fourier)), passive=passive)
    traits |= {**levels.config(**_RESAMPLING), "downsample_type": "resnet", "upsample_type": "resnet"}
    return Original(
        traits,
        tuple(_pieces(levels, "ddpm++", fourier)),
        one_attention_up=True,
        rescale=math.sqrt(2.0),
        resampling_shortcuts=True,
        passive=passive,
    )


def weights(checkpoint: Any, ema: bool) -> Any:
    """The state dict in a checkpoint: itself, or of a training's ``{model, ema, optimizer, step}``.

    ``ema.shadow_params`` are the averages of the parameters in the order in which the network registers them, which is
    that of the keys of ``model``; without the buffer ``sigmas``, and without the frequencies of a Fourier embedding,
    which aren't trained and are those of ``model``.

    Raises WeightsError if their number or shapes aren't those of the parameters, or the keys are out of order.
    """
    if not isinstance(checkpoint, Mapping) or not isinstance(checkpoint.get("model"), Mapping):
        return checkpoint
    model = named_tensors(checkpoint["model"], "score-sde")
    return _averaged(model, checkpoint.get("ema")) if ema else model


def _averaged(model: Mapping[str, Tensor], averages: Any) -> dict[str, Tensor]:
    shadows = averages.get("shadow_params") if isinstance(averages, Mapping) else None
    if not isinstance(shadows, list | tuple):
        raise WeightsError('the checkpoint has no EMA weights: the key "ema.shadow_params" is missing')
    found = named_tensors({f"ema.shadow_params[{index}]": tensor for index, tensor in enumerate(shadows)}, "score-sde")
    trained = [name for name, tensor in model.items() if not _untrained(name, tensor)]
    numbers = [int(number[1]) for name in trained if (number := re.search(r"all_modules\.(\d+)\.", name))]
    if numbers != sorted(numbers):
        raise WeightsError('the keys of "model" are not in the order of the network, which "ema.shadow_params" follow')
    if len(found) != len(trained):
        raise WeightsError(f'"ema.shadow_params" has {len(found)} tensors for {len(trained)} parameters of "model"')
    for (place, tensor), name in zip(found.items(), trained, strict=True):
        if tensor.shape != (shape := model[name].shape):
            wrong, right = shown(tuple(tensor.shape)), shown(tuple(shape))
            raise WeightsError(f"{place} is of shape {wrong}; its parameter {shown(name)} is of shape {right}")
    return {**model, **dict(zip(trained, found.values(), strict=True))}


def _untrained(name: str, tensor: Tensor) -> bool:
    """Whether the state dict holds this, but no optimiser: the buffer, or the vector of Fourier frequencies."""
    return name.endswith(_BUFFER) or (name.endswith(".W") and tensor.ndim == 1)


def _narrow_attention(given: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    """Attention of skip blocks has 32 groups whatever its width, where the original has a quarter of the channels."""
    try:
        levels = Ncsnpp.levels(Ncsnpp.model_construct(None, **given))
    except (AttributeError, TypeError):  # reported elsewhere
        return
    narrow = [width for width, has in zip(levels.channels, levels.attention, strict=True) if has and width < 4 * GROUPS]
    if narrow:
        message = f"attention of {narrow[0]} channels is not allowed; UNet2DModel needs {4 * GROUPS} at least"
        yield fault(("attn_resolutions",), message, given["attn_resolutions"])


def _pieces(levels: Levels, layout: Layout, fourier: bool = False) -> Iterator[Piece]:
    modules = (f"all_modules.{number}" for number in count())
    if fourier:
        yield Piece(f"{next(modules)}.W", "time_proj.weight")
    for target in ("time_embedding.linear_1", "time_embedding.linear_2", "conv_in"):
        yield from layer(next(modules), target)
    for level, has_attention in enumerate(levels.attention):
        target = f"down_blocks.{level}"
        for block in range(levels.blocks):
            yield from _resnet(next(modules), f"{target}.resnets.{block}", layout, levels.widens(level, block))
            if has_attention:
                yield from _attention(next(modules), f"{target}.attentions.{block}")
        if level < levels.last:
            yield from _downsampling(modules, target, layout)
    yield from _resnet(next(modules), "mid_block.resnets.0", layout, False)
    yield from _attention(next(modules), "mid_block.attentions.0")
    yield from _resnet(next(modules), "mid_block.resnets.1", layout, False)
    for index, has_attention in enumerate(reversed(levels.attention)):
        target, lowest = f"up_blocks.{index}", index == levels.last
        for block in range(levels.blocks + 1):
            yield from _resnet(next(modules), f"{target}.resnets.{block}", layout, True)
        if has_attention:
            yield from _attention(next(modules), f"{target}.attentions.{0 if layout == 'skips' else levels.blocks}")
        if not lowest:
            yield from _upsampling(modules, target, layout)
    yield from layer(next(modules), "conv_norm_out")
    yield from layer(next(modules), "conv_out")


def _downsampling(modules: Iterator[str], target: str, layout: Layout) -> Iterator[Piece]:
    if layout == "ddpm":
        yield from layer(f"{next(modules)}.Conv_0", f"{target}.downsamplers.0.conv")
    elif layout == "ddpm++":
        yield from _resnet(next(modules), f"{target}.downsamplers.0", layout, True)
    else:
        yield from _resnet(next(modules), f"{target}.resnet_down", layout, True)
        yield from layer(f"{next(modules)}.Conv_0", f"{target}.skip_conv")


def _upsampling(modules: Iterator[str], target: str, layout: Layout) -> Iterator[Piece]:
    if layout == "ddpm":
        yield from layer(f"{next(modules)}.Conv_0", f"{target}.upsamplers.0.conv")
    elif layout == "ddpm++":
        yield from _resnet(next(modules), f"{target}.upsamplers.0", layout, True)
    else:
        yield from layer(next(modules), f"{target}.skip_norm")
        yield from layer(next(modules), f"{target}.skip_conv")
        yield from _resnet(next(modules), f"{target}.resnet_up", layout, True)


def _resnet(source: str, target: str, layout: Layout, shortcut: bool) -> Iterator[Piece]:
    names = {"GroupNorm_0": "norm1", "Conv_0": "conv1", "Dense_0": "time_emb_proj", "GroupNorm_1": "norm2"}
    for name, ours in {**names, "Conv_1": "conv2"}.items():
        yield from layer(f"{source}.{name}", f"{target}.{ours}")
    if shortcut and layout == "ddpm":
        yield from layer(f"{source}.NIN_0", f"{target}.conv_shortcut", RIGHT_KERNEL, _NIN)
    elif shortcut:
        yield from layer(f"{source}.Conv_2", f"{target}.conv_shortcut")


def _attention(source: str, target: str) -> Iterator[Piece]:
    yield from layer(f"{source}.GroupNorm_0", f"{target}.group_norm")
    for index, ours in enumerate(("to_q", "to_k", "to_v", "to_out.0")):
        yield from layer(f"{source}.NIN_{index}", f"{target}.{ours}", RIGHT_LINEAR, _NIN)
