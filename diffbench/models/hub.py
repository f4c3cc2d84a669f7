"""Checkpoints of the Hugging Face hub: ``hf://owner/name@revision``, found in the local cache, pinned to a commit."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from diffbench.document.words import shown
from diffbench.errors import CardError

PREFIX = "hf://"
_NAME = re.compile(r"hf://([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@([A-Za-z0-9][\w./-]{0,250}))?")
_COMMIT = re.compile("[0-9a-f]{40}")
# What a checkpoint in the diffusers layout is read from; nothing else is fetched.
PATTERNS = ("*.json", "*.safetensors", "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model")


@dataclass(frozen=True)
class HubName:
    """A repository ``owner/name`` of the hub at a revision: a branch, a tag or a commit of 40 hexadecimal digits."""

    repository: str
    revision: str

    @classmethod
    def parse(cls, text: str) -> HubName:
        """``hf://owner/name@revision``; without a revision ``main``. CardError for anything else."""
        found = _NAME.fullmatch(text)
        if found is None or ".." in text or "--" in text:
            raise CardError(f"{shown(text)} is not allowed; expected hf://owner/name@revision")
        return cls(found[1], found[2] or "main")

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}@{self.revision}"

    def pinned(self) -> HubName:
        """The same at its commit, if the cache knows which commit the revision was last."""
        if _COMMIT.fullmatch(self.revision):
            return self
        try:
            commit = (self._folder / "refs" / self.revision).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return self
        return HubName(self.repository, commit) if _COMMIT.fullmatch(commit) else self

    @property
    def snapshot(self) -> Path | None:
        """The folder of the commit's files in the cache, or None."""
        pinned = self.pinned()
        folder = pinned._folder / "snapshots" / pinned.revision
        return folder if _COMMIT.fullmatch(pinned.revision) and folder.is_dir() else None

    @property
    def advice(self) -> str:
        """What to do where there is no snapshot, in one line."""
        return f"{self} is not in the cache {cache_folder()}; with a connection: diffbench fetch {self}"

    @property
    def _folder(self) -> Path:
        return cache_folder() / f"models--{self.repository.replace('/', '--')}"


def cache_folder() -> Path:
    """The hub client's cache: ``$HF_HUB_CACHE``, ``$HF_HOME/hub`` or ``~/.cache/huggingface/hub``."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache)
    home = os.environ.get("HF_HOME")
    base = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME", "~/.cache"))) / "huggingface"
    return (Path(home) if home else base) / "hub"


def fetch(name: HubName) -> Path:
    """Download a checkpoint's configs and safetensors; the revision is resolved once. The snapshot's folder.

    CardError where the hub can't be reached or refuses.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(name.repository, revision=name.revision, allow_patterns=list(PATTERNS))
    except Exception as error:  # the client has a dozen kinds, and those of its HTTP library
        said = " ".join(str(error).split())[:200]
        raise CardError(f"{name}: can't be downloaded: {type(error).__name__}: {said}") from None
    return Path(folder)
