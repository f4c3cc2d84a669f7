"""The machine without torch: its processor and memory, and what NVIDIA's driver says of its devices and their users."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def cpu_name() -> str:
    """The processor's model name, as the operating system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> tuple[int, int] | None:
    """Bytes in all and available; None where the operating system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = {key: int(rest.split()[0]) * 1024 for key, _, rest in (line.partition(":") for line in lines)}
        return found["MemTotal"], found["MemAvailable"]
    except (OSError, ValueError, IndexError, KeyError):
        return None


@dataclass(frozen=True)
class User:
    """Another process on a device; ``memory`` in bytes, None where the driver does not tell."""

    pid: int
    name: str
    memory: int | None


@dataclass(frozen=True)
class Gpu:
    """A device as its driver sees it: memory in bytes, and the processes on it that are not this one."""

    name: str
    memory: int
    free: int
    users: tuple[User, ...]


def gpus() -> Sequence[Gpu] | None:
    """All devices by NVML, in its order; None where nvidia-ml-py (the extra ``gpu``) or the driver does not answer."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        try:
            count = pynvml.nvmlDeviceGetCount()
            return [_gpu(pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count)]
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None


def _gpu(nvml: Any, handle: Any) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:  # not told in some containers and partitions
        processes = []
    users = tuple(_user(nvml, one) for one in processes if one.pid != os.getpid())
    return Gpu(str(nvml.nvmlDeviceGetName(handle)), int(memory.total), int(memory.free), users)


def _user(nvml: Any, process: Any) -> User:
    try:
        name = os.path.basename(str(nvml.nvmlSystemGetProcessName(process.pid)).split(" ")[0])
    except nvml.NVMLError:  # of another user, or gone
        name = "?"
    return User(int(process.pid), name, None if process.usedGpuMemory is None else int(process.usedGpuMemory))
