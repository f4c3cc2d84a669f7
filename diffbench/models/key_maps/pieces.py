"""Tensors of an original state dict to those of a diffusers network, one by one, with nothing left over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffbench.document.words import shown
from diffbench.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Cast:
    """How a tensor is made of an original one; ``given`` is the original's shape for a wanted shape."""

    given: Callable[[Shape], Shape]
    take: Callable[[Tensor], Tensor]


SAME = Cast(lambda wanted: wanted, lambda tensor: tensor)
# A convolution of 1x1 pixels, as a linear layer.
POINTWISE = Cast(lambda wanted: (*wanted, 1, 1), lambda tensor: tensor[..., 0, 0])
# A matrix of (in, out) that stands to the right of pixels, as a linear layer or a convolution of (out, in).
RIGHT_LINEAR = Cast(lambda wanted: wanted[::-1], lambda tensor: tensor.T)
RIGHT_KERNEL = Cast(lambda wanted: (wanted[1], wanted[0]), lambda tensor: tensor.T[..., None, None])


@dataclass(frozen=True)
class Piece:
    """One tensor of the diffusers network, ``target``, and the original one, ``source``, that holds its values."""

    source: str
    target: str
    cast: Cast = SAME


def layer(
    source: str, target: str, weight: Cast = SAME, names: tuple[str, str] = ("weight", "bias")
) -> Iterator[Piece]:
    """Weight and bias of one layer; ``names`` are the original's for them."""
    yield Piece(f"{source}.{names[0]}", f"{target}.weight", weight)
    yield Piece(f"{source}.{names[1]}", f"{target}.bias")


def named_tensors(found: Any, family: str) -> Mapping[str, Tensor]:
    """What was found in a checkpoint of ``family``, if it is a mapping of names to tensors; WeightsError otherwise."""
    if not isinstance(found, Mapping) or not found:
        raise WeightsError(f"not a checkpoint of {family}: expected a mapping of keys to tensors")
    for name, tensor in found.items():
        if not isinstance(name, str) or not hasattr(tensor, "shape"):
            raise WeightsError(f"not a checkpoint of {family}: {shown(name)} is not a tensor")
    return found


def assembled(pieces: Iterable[Piece], tensors: Mapping[str, Tensor], shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    """The state dict of a network whose tensors have ``shapes``.

    Raises WeightsError, which names the key, for an original tensor that is missing, too many, or of another shape.
    """
    result: dict[str, Tensor] = {}
    used = set()
    for piece in pieces:
        tensor = tensors.get(piece.source)
        if tensor is None:
            raise WeightsError(f"the key {shown(piece.source)} is missing from the weights")
        wanted = piece.cast.given(shapes[piece.target])
        if (found := tuple(tensor.shape)) != wanted:
            raise WeightsError(f"{shown(piece.source)} is of shape {shown(found)}; this network's is {shown(wanted)}")
        result[piece.target] = piece.cast.take(tensor).contiguous()
        used.add(piece.source)
    for name in tensors:
        if name not in used:
            raise WeightsError(f"{shown(name)} is none of this network's tensors")
    return result
