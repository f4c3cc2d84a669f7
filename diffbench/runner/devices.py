"""Which device a run uses, and what it says of itself."""

from __future__ import annotations

import ctypes

import torch

from diffbench.errors import UsageError
from diffbench.runner.machine import cpu_name


def pick_device(name: str) -> torch.device:
    """``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda`` or ``cuda:i``. Raises UsageError if it isn't there."""
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device {name!r}: expected auto, cpu, cuda or cuda:<index>") from None
    if device.type == "cuda":
        present = torch.cuda.device_count()
        index = device.index or 0
        if index >= present:
            raise UsageError(
                f"device {name!r}: {'no CUDA device is' if not present else f'only {present} are'} present"
            )
        return torch.device("cuda", index)
    if device.type != "cpu":
        raise UsageError(f"device {name!r}: expected auto, cpu, cuda or cuda:<index>")
    return torch.device("cpu")


def device_name(device: torch.device) -> str:
    """The device's model name, as its driver or the operating system gives it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name()


def synchronise(device: torch.device) -> None:
    """Wait for the device, so that a clock read afterwards covers the work before it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def keep_freed_memory(device: torch.device) -> None:
    """On a CPU, let glibc keep freed memory for the next tensor; by default it gives large blocks back each time.

    A network's call then spares most of its page faults: 16,000 to 4,000 a call, 12% of its time, for the shipped
    pixel models at batch 80. Elsewhere than with glibc nothing happens.
    """
    if device.type != "cpu":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    m_trim_threshold, m_mmap_threshold = -1, -3
    mallopt(m_mmap_threshold, 32 << 20)
    mallopt(m_trim_threshold, (1 << 31) - 1)


def peak_memory_mb(device: torch.device) -> float | None:
    """Highest memory in MB (10^6 bytes) since :func:`reset_peak_memory`: of the GPU, or of this process on a CPU.

    None where the operating system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            peak = next(line for line in status if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024 / 1e6
    except (OSError, StopIteration):
        return None


def reset_peak_memory(device: torch.device) -> None:
    """Start a new measurement of the peak; on a CPU freed memory is given back first, or it would count again."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        pass
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as control:
            control.write("5")
    except OSError:
        pass
