"""Where a run's numbers come from: code, packages, machine."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import diffbench
from diffbench.runner.devices import device_name
from diffbench.store import sessions
from diffbench.store.sealed import write_sealed

_PACKAGES = ("torch", "diffusers", "numpy", "pandas", "pyarrow", "safetensors", "scipy")
_SECONDS_BETWEEN_WRITES = 10.0


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


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


class Session:
    """One execution's record: code, packages, machine, seconds by phase, and what was sampled at what cost.

    ``code`` is the hash of the sampling code, ``shards`` the number of shards made so far. The file is written while
    sampling goes on, so that a killed process leaves it behind.
    """

    def __init__(self, run: Path, device: torch.device, code: str, part: str | None = None) -> None:
        self.started = sessions.now()
        self._run = run
        self._path = sessions.new_path(run, self.started)
        self._seconds: dict[str, float] = {}
        self._cells: dict[str, dict[str, Any]] = {}
        self._estimate: dict[str, Any] | None = None
        self._written = time.monotonic()
        self._device, self._part, self.code = device, part, code
        self._here: dict[str, Any] | None = None
        self.shards = 0

    @property
    def recorded(self) -> bool:
        """Whether the run has a provenance already."""
        return (self._run / sessions.PROVENANCE).exists()

    def expect(self, seconds: float, basis: str) -> None:
        """Note what sampling is expected to take; the report compares it with what it took."""
        self._estimate = {"seconds": round(seconds, 3), "basis": basis, "actual": None}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the wall-clock seconds of a phase."""
        begin = time.perf_counter()
        yield
        self._seconds[name] = round(time.perf_counter() - begin, 3)
        if name == "sampling" and self._estimate is not None:
            self._estimate["actual"] = self._seconds[name]

    def sampled(self, cell: str, model: str, batch_size: int, samples: int, evaluations: float, seconds: float) -> None:
        """Add a shard's cost to its cell's; writes the record from time to time."""
        self.shards += 1
        entry = self._cells.setdefault(
            cell, {"model": model, "batch_size": batch_size, "samples": 0, "evaluations": 0, "seconds": 0.0}
        )
        entry["samples"] += samples
        entry["evaluations"] += evaluations
        entry["seconds"] = round(entry["seconds"] + seconds, 6)
        if self.shards == 1 or time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self.write()

    def sampling_seconds(self) -> float:
        """What sampling took in all sessions of the run, this one included. Raises StoreError."""
        self.write()
        cells = [entry for session in sessions.read_sessions(self._run) for entry in session["cells"].values()]
        return float(sum(entry["seconds"] for entry in cells))

    def write(self, finished: bool = False) -> None:
        """Write this session's file; ``finished`` makes ``provenance.json`` too. Raises StoreError."""
        seconds = {**self._seconds, "total": round(sum(self._seconds.values()), 3)}
        content = {"format": sessions.FORMAT, "started": self.started, "finished": sessions.now() if finished else None}
        content |= {"part": self._part, "seconds": seconds, "estimate": self._estimate, **self._environment()}
        write_sealed(self._path, {**content, "cells": self._cells})
        self._written = time.monotonic()
        if finished:
            sessions.write_provenance(self._run)

    def conditions(self) -> dict[str, str]:
        """What speed depends on beside the suite: code, packages that compute, machine."""
        here = self._environment()
        packages = {name: str(here["packages"][name]) for name in ("torch", "diffusers")}
        threads = str(here["device"]["threads"])
        return {"code": self.code, **packages, "device": str(here["device"]["name"]), "threads": threads}

    def drift(self) -> list[str]:
        """What is other now than when the run's stored samples were made, in words."""
        here = {**self._environment(), "cells": {"now": {}}}
        return sessions.drift([*sessions.read_sessions(self._run), here])

    def _environment(self) -> dict[str, Any]:
        if self._here is None:
            self._here = self._found()
        return self._here

    def _found(self) -> dict[str, Any]:
        device = {"type": str(self._device), "name": device_name(self._device), "threads": torch.get_num_threads()}
        return {
            "diffbench": diffbench.__version__,
            "git": code_state(),
            "code": self.code,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": {package: _version(package) for package in _PACKAGES},
            "device": device,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        }
