"""What an original U-net is as a UNet2DModel of diffusers: its config, and what the config can't say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field, ValidationError
from pydantic_core import InitErrorDetails

from diffbench.document.spec import Spec, fault, problems_of, tuples
from diffbench.document.words import key_path, shown
from diffbench.errors import CardError
from diffbench.models.key_maps.pieces import Piece

if TYPE_CHECKING:
    from torch.nn import Module

Count = Annotated[int, Field(ge=1, le=65536)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1, max_length=16)]
T = TypeVar("T", bound=Spec)

# diffusers has one number of groups for all normalisations.
GROUPS = 32


@dataclass(frozen=True)
class Levels:
    """The levels of a U-net, the highest resolution first: channels, whether they have attention; blocks of each."""

    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    blocks: int

    @property
    def last(self) -> int:
        """The index of the lowest resolution."""
        return len(self.channels) - 1

    def widens(self, level: int, block: int) -> bool:
        """Whether a block on the way down has more or fewer channels out than in; on the way up all have."""
        return block == 0 and level > 0 and self.channels[level] != self.channels[level - 1]

    def config(self, down: tuple[str, str], up: tuple[str, str]) -> dict[str, Any]:
        """The part of a UNet2DModel's config; ``down`` and ``up`` are block types without and with attention."""
        return {
            "block_out_channels": self.channels,
            "layers_per_block": self.blocks,
            "down_block_types": tuple(down[has] for has in self.attention),
            "up_block_types": tuple(up[has] for has in self.attention[::-1]),
        }


@dataclass(frozen=True)
class Original:
    """An original network: the ``config`` of its UNet2DModel, where its tensors go, and what no config can say.

    ``heads``: of every attention, where the widths of heads differ. ``time_scale`` multiplies the time. With
    ``one_attention_up`` only the last block of a level on the way up is followed by attention. ``rescale``: residual
    sums are divided by it; ``resampling_shortcuts``: resampling blocks have a 1x1 convolution beside them. Keys in
    ``passive`` may be among the original's, but hold nothing that the network computes with.
    """

    config: Mapping[str, Any]
    pieces: tuple[Piece, ...]
    heads: int | None = None
    time_scale: float = 1.0
    one_attention_up: bool = False
    rescale: float = 1.0
    resampling_shortcuts: bool = False
    passive: frozenset[str] = frozenset()

    def unet(self) -> Module:
        """The UNet2DModel, with random weights, on torch's default device."""
        from diffusers import UNet2DModel

        unet: Any = UNet2DModel(**self.config)  # type: ignore[no-untyped-call]
        if self.time_scale != 1.0:
            unet.time_proj.scale = self.time_scale
        self._set_attention(unet)
        self._set_blocks(unet)
        network: Module = unet
        return network

    def _set_attention(self, unet: Any) -> None:
        from diffusers.models.attention_processor import Attention
        from torch.nn import Identity

        if self.one_attention_up:
            for block in unet.up_blocks:
                for index in range(len(getattr(block, "attentions", ())) - 1):
                    block.attentions[index] = Identity()
        for module in unet.modules():
            if isinstance(module, Attention):
                module.rescale_output_factor *= self.rescale
                if self.heads is not None:
                    module.heads = self.heads
                    module.scale = (module.inner_dim // self.heads) ** -0.5

    def _set_blocks(self, unet: Any) -> None:
        from diffusers.models.resnet import ResnetBlock2D
        from torch.nn import Conv2d

        for module in unet.modules():
            if isinstance(module, ResnetBlock2D):
                module.output_scale_factor *= self.rescale
                if self.resampling_shortcuts and (module.up or module.down):
                    module.conv_shortcut = Conv2d(module.in_channels, module.out_channels, 1)


def parsed(model: type[T], config: Mapping[str, Any]) -> T:
    """The values that a card gives for the original network; CardError with one line that names the keys at fault."""
    try:
        return model.model_validate(tuples(dict(config)))
    except ValidationError as error:
        said = (f"{key_path(p.path)}: {p.message}" if p.path else p.message for p in problems_of(error))
        raise CardError("; ".join(said)) from None


def only(given: Mapping[str, Any], values: Mapping[str, tuple[Any, str]]) -> Iterator[InitErrorDetails]:
    """Problems of keys of which UNet2DModel has one value alone; ``values`` are key: (value, what it has)."""
    for key, (value, what) in values.items():
        if key in given and given[key] != value:
            yield fault((key,), f"{shown(given[key])} is not allowed; UNet2DModel {what}", given[key])


def width_faults(
    given: Mapping[str, Any], width: str, multipliers: str, multiple: int = GROUPS, least: int = 1
) -> Iterator[InitErrorDetails]:
    """Problems of the channels of the levels, ``given[width]`` times each of ``given[multipliers]``."""
    base, factors = given.get(width), given.get(multipliers)
    if isinstance(factors, tuple) and factors and factors[0] != 1:
        why = "the first must be 1: UNet2DModel has one width for its first level, first convolution and time"
        yield fault((multipliers,), f"{shown(factors)} is not allowed; {why}", factors)
    if type(base) is int and (base % multiple or base < least):
        wanted = f"a multiple of {multiple}" + (f", {least} at least" if least > 1 else "")
        yield fault((width,), f"{base} is not allowed; UNet2DModel needs {wanted}", base)
    if isinstance(factors, tuple) and type(side := given.get("image_size")) is int and side % 2 ** (len(factors) - 1):
        yield fault(("image_size",), f"{side} can't be halved {len(factors) - 1} times", side)
