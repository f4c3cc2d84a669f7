"""Which files a card's networks are read from, and their sha256, without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from diffbench.document.words import shown
from diffbench.errors import CardError
from diffbench.models.checked_file import file_sha256

DIFFUSERS_WEIGHTS = "diffusion_pytorch_model"
TRANSFORMERS_WEIGHTS = "model"
_PICKLED = {DIFFUSERS_WEIGHTS: f"{DIFFUSERS_WEIGHTS}.bin", TRANSFORMERS_WEIGHTS: "pytorch_model.bin"}


def weights_file(folder: Path, path: str, stem: str = DIFFUSERS_WEIGHTS) -> str:
    """The file of weights of a component, relative to ``folder``: safetensors, an index of them, or a pickle.

    CardError if there is none of these.
    """
    names = weights_names(path, stem)
    for name in names:
        if (folder / name).is_file():
            return name
    raise CardError(f"{folder}: no weights of {path}; looked for {', '.join(names)}")


def weights_names(path: str, stem: str) -> tuple[str, ...]:
    """The files that a component's weights may lie in, in the order of preference."""
    names = (f"{stem}.safetensors", f"{stem}.safetensors.index.json", _PICKLED[stem])
    return tuple(inside(path, name) for name in names)


def inside(path: str, name: str) -> str:
    """The path of a component's file; that of a component which is ``.`` is its name alone."""
    return str(PurePosixPath(path, name))


def hashes(folder: Path, said: Mapping[str, Any]) -> dict[str, str]:
    """The sha256 of every file that a card's networks, as it gives them, are read from; CardError if one is missing.

    What a factory reads is not known here: it is taken to be the files that the card's checkpoint lists.
    """
    found = {}
    for file in _files(folder, said):
        path = folder / file
        try:
            state = path.stat()
            found[file] = _sha256(path, state.st_size, state.st_mtime_ns)
        except OSError as error:
            raise CardError(f"{path}: {error.strerror}") from None
    return found


def _files(folder: Path, said: Mapping[str, Any]) -> Iterator[str]:
    network, codec, text, checkpoint = (said.get(key) for key in ("network", "codec", "text", "checkpoint"))
    if isinstance(network, dict):
        if isinstance(network.get("factory"), str):
            listed = checkpoint.get("files") if isinstance(checkpoint, dict) else None
            yield from (file for file in (listed if isinstance(listed, list | tuple) else ()) if isinstance(file, str))
        elif isinstance(network.get("program"), str):
            yield network["program"]
        elif network.get("config") is not None and isinstance(network.get("path"), str):
            yield network["path"]
        elif isinstance(network.get("path"), str):
            yield from _component(folder, network["path"], DIFFUSERS_WEIGHTS)
    if isinstance(codec, dict) and isinstance(codec.get("path"), str):
        yield from _component(folder, codec["path"], DIFFUSERS_WEIGHTS)
    if isinstance(text, dict):
        encoder = text.get("encoder")
        if isinstance(encoder, dict) and isinstance(encoder.get("path"), str):
            yield from _component(folder, encoder["path"], TRANSFORMERS_WEIGHTS)
        if isinstance(tokenizer := text.get("tokenizer"), str):
            yield from _all_of(folder, tokenizer)
        if text.get("pipeline") is not None:
            for part in sorted(path.name for path in folder.glob("text_encoder*") if path.is_dir()):
                yield from _component(folder, part, TRANSFORMERS_WEIGHTS)
            for part in sorted(path.name for path in folder.glob("tokenizer*") if path.is_dir()):
                yield from _all_of(folder, part)


def _all_of(folder: Path, part: str) -> Iterator[str]:
    yield from sorted(f"{part}/{file.name}" for file in (folder / part).glob("*") if file.is_file())


def _component(folder: Path, path: str, stem: str) -> Iterator[str]:
    yield inside(path, "config.json")
    file = weights_file(folder, path, stem)
    yield file
    if file.endswith(".index.json"):
        try:
            shards = set(json.loads((folder / file).read_bytes())["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise CardError(f"{folder / file}: not an index of safetensors") from None
        for shard in sorted(shards, key=str):
            if not isinstance(shard, str) or Path(shard).name != shard or "\\" in shard:
                raise CardError(f"{folder / file}: {shown(shard)} is not a file beside it")
            yield inside(path, shard)


@lru_cache(4096)
def _sha256(path: Path, size: int, modified: int) -> str:
    return file_sha256(path)
