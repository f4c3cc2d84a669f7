"""Where a run's numbers come from: code, packages, machine."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import diffbench
from diffbench.atomic import read_json, write_json
from diffbench.errors import StoreError

_PACKAGES = ("torch", "diffusers", "numpy", "pandas", "pyarrow", "safetensors", "scipy")


def device_name(device: torch.device) -> str:
    """The device's model name, as its driver or the operating system gives it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def code_state() -> dict[str, Any] | None:
    """Commit of diffbench's own checkout and whether it was changed since; None outside a checkout."""
    package = Path(diffbench.__file__).parent
    if not (package.parent / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", "diffbench"))}
    except (OSError, subprocess.SubprocessError):
        return None


def sampling_code() -> str:
    """The sha256 of all files of diffbench that decide samples: shards made by other code are made again."""
    package = Path(diffbench.__file__).parent
    files = sorted(path for folder in ("diffusion", "samplers", "models") for path in (package / folder).glob("*.py"))
    digest = hashlib.sha256()
    for path in (*files, package / "scoring" / "images.py", package / "runner" / "execute.py"):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Session:
    """One execution's record for ``provenance.json``: code, packages, machine, and seconds by phase.

    The file describes the latest execution that sampled or timed anything; ``sessions`` lists all of them.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._path = folder / "provenance.json"
        self._device = device
        self._started = _now()
        self._seconds: dict[str, float] = {}

    @property
    def recorded(self) -> bool:
        """Whether the run folder has a record already."""
        return self._path.exists()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the wall-clock seconds of a phase."""
        begin = time.perf_counter()
        yield
        self._seconds[name] = round(time.perf_counter() - begin, 3)

    def write(self) -> None:
        """Add this execution to ``provenance.json``. Raises StoreError if it can't be written."""
        seconds = {**self._seconds, "total": round(sum(self._seconds.values()), 3)}
        here = {"started": self._started, "finished": _now(), "seconds": seconds, **self._environment()}
        write_json(self._path, {**here, "sessions": [*self._earlier(), here]})

    def _earlier(self) -> list[Any]:
        try:
            content = read_json(self._path)
        except StoreError:
            return []
        return list(content.get("sessions", [])) if isinstance(content, dict) else []

    def _environment(self) -> dict[str, Any]:
        device = {"type": str(self._device), "name": device_name(self._device), "threads": torch.get_num_threads()}
        return {
            "diffbench": diffbench.__version__,
            "git": code_state(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": {package: _version(package) for package in _PACKAGES},
            "device": device,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        }
