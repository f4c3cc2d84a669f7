"""Weights from a checkpoint's folder: safetensors, in one file or in shards, and pickles where they are allowed.

A safetensors file is read once, into the memory that its tensors then lie in, and hashed there: what is loaded is what
was hashed. (The library maps the file, which others may still write to, or wants ``bytes`` that it copies.)
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from diffbench.document.words import shown
from diffbench.errors import WeightsError
from diffbench.models.checked_file import (
    file_sha256,
    inside_fault,
    parse_json,
    read_checked,
    read_json,
    verify_file,
)
from diffbench.models.pickled import read_checkpoint
from diffbench.models.remote_code import refuse_code_in_config, refuse_remote_code

__all__ = [
    "file_sha256",
    "read_checkpoint",
    "read_json",
    "read_tensors",
    "refuse_code_in_config",
    "refuse_remote_code",
    "verify_file",
]

INDEX = ".safetensors.index.json"
HEADER_LIMIT = 100_000_000
"""The longest header of a safetensors file, in bytes; the library's own limit."""

_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


def read_tensors(folder: Path, file: str, sha256: Mapping[str, str], allow_pickle: bool = False) -> dict[str, Tensor]:
    """Named tensors: dense, contiguous, on the CPU, of the dtype they are stored in.

    Args:
        folder: The folder of the checkpoint; nothing outside of it is read.
        file: A path in it: ``*.safetensors``, ``*.safetensors.index.json`` (all its shards), or ``.pt``, ``.pth``,
            ``.ckpt``, ``.bin``, pickles, for which see ``read_checkpoint``.
        sha256: The stated hash of each file that is read, by its path in the folder.
        allow_pickle: Whether pickles are read.

    Raises:
        CardError: ``sha256`` lacks a file.
        WeightsError: a file is missing, altered, malformed, or of another kind than its name says.
    """
    if file.endswith(INDEX):
        return _sharded(folder, file, sha256)
    if file.endswith(".safetensors"):
        return _tensors(folder / file, read_checked(folder, file, sha256))
    path, state = folder / file, read_checkpoint(folder, file, sha256, allow_pickle)
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: not a dictionary of tensors but a {type(state).__name__}")
    if others := [key for key, value in state.items() if not isinstance(key, str) or not isinstance(value, Tensor)]:
        raise WeightsError(f"{path}: not a dictionary of tensors alone; it has {', '.join(map(shown, others[:5]))}")
    return state


def _sharded(folder: Path, file: str, sha256: Mapping[str, str]) -> dict[str, Tensor]:
    path, index = folder / file, read_json(folder, file, sha256)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{path}: has no weight_map of tensors to files")
    for shard in weight_map.values():
        if not isinstance(shard, str) or not shard.endswith(".safetensors") or inside_fault(shard):
            raise WeightsError(f"{path}: {shown(shard)} is no safetensors file beside the index")
    tensors: dict[str, Tensor] = {}
    for shard in dict.fromkeys(weight_map.values()):
        beside = str(PurePosixPath(file).parent / shard)
        found = _tensors(folder / beside, read_checked(folder, beside, sha256))
        listed = {name for name, where in weight_map.items() if where == shard}
        if found.keys() != listed:
            name, has = min((name, name in found) for name in found.keys() ^ listed)
            says = "has {}, which {} does not list there" if has else "lacks {}, which {} lists there"
            raise WeightsError(f"{folder / beside}: {says.format(shown(name), path.name)}")
        tensors |= found
    return tensors


def _tensors(path: Path, content: bytearray) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in its memory. The format: 8 bytes of length, header in JSON, data."""
    try:
        start = 8 + int.from_bytes(content[:8], "little")
        if start > len(content):
            raise WeightsError(f"{path}: the header is longer than the file")
        if start - 8 > HEADER_LIMIT:
            raise WeightsError(f"{path}: the header is longer than {HEADER_LIMIT:,} bytes")
        header = parse_json(path, content[8:start])
        header.pop("__metadata__", None)
        spans = {name: _span(path, name, entry) for name, entry in header.items()}
        _check_layout(path, spans, len(content) - start)
    except WeightsError as error:
        kind = "is a pickle, not a safetensors file" if _is_pickle(content) else "not a safetensors file"
        raise WeightsError(f"{path}: {kind} ({str(error).removeprefix(f'{path}: ')})") from None
    return {
        name: _at(content, start + begin, end - begin, header[name]["dtype"]).reshape(header[name]["shape"])
        for name, (begin, end) in spans.items()
    }


def _span(path: Path, name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor begins and ends in the data, in bytes."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"{path}: {shown(name)} needs dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise WeightsError(f"{path}: {shown(name)} is of dtype {shown(dtype)}, not one of {', '.join(_DTYPES)}")
    if not _naturals(shape) or len(shape) > 64:
        raise WeightsError(f"{path}: {shown(name)} has shape {shown(shape)}")
    if not _naturals(offsets) or len(offsets) != 2:
        raise WeightsError(f"{path}: {shown(name)} lies at {shown(offsets)}")
    begin, end = offsets
    if end - begin != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise WeightsError(f"{path}: {shown(name)}, {dtype} {shown(shape)}, does not have {shown(end - begin)} bytes")
    return begin, end


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def _check_layout(path: Path, spans: Mapping[str, tuple[int, int]], length: int) -> None:
    """Refuse data with holes, overlaps, or beyond the end: any byte belongs to one tensor."""
    position = 0
    for name, (begin, end) in sorted(spans.items(), key=lambda item: item[1]):
        if begin != position:
            raise WeightsError(f"{path}: {'a hole before' if begin > position else 'an overlap with'} {shown(name)}")
        position = end
    if position != length:
        raise WeightsError(f"{path}: the tensors take {position:,} bytes, but there are {length:,}")


def _at(content: bytearray, begin: int, length: int, dtype: str) -> Tensor:
    kind = _DTYPES[dtype]
    if length == 0:
        return torch.empty(0, dtype=kind)
    data = torch.frombuffer(content, dtype=torch.uint8, count=length, offset=begin)
    return (data.clone() if data.data_ptr() % kind.itemsize else data).view(kind)


def _is_pickle(content: bytearray) -> bool:
    """Whether content begins as torch.save's archives and pickles do, or is a short pickle of the oldest protocol."""
    if content.startswith(b"PK\3\4") or (content[:1] == b"\x80" and content[1:2] <= b"\5"):
        return True
    try:
        return len(content) < 1 << 16 and sum(1 for _ in pickletools.genops(bytes(content))) > 0
    except Exception:  # what is no pickle fails in many ways
        return False
