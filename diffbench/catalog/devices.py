"""Datasheet peaks of common devices, for plans on a device that is not there: data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class DevicePeak:
    """Peak speed in TFLOP/s by dtype, dense (without sparsity); None: no units for it.

    ``float32`` is TF32 where there are units for it, for that is what PyTorch's convolutions take by default;
    ``tf32`` says whether it is. float16 and bfloat16 accumulate in float32.
    """

    title: str
    float32: float
    bfloat16: float | None
    float16: float
    source: str
    tf32: bool = True

    def of(self, dtype: str) -> float | None:
        """Peak in FLOP/s."""
        peak: float | None = getattr(self, dtype)
        return None if peak is None else 1e12 * peak


DEVICES: Mapping[str, DevicePeak] = {
    "t4": DevicePeak("NVIDIA T4", 8.1, None, 65.0, "NVIDIA T4 datasheet", tf32=False),
    "v100": DevicePeak("NVIDIA V100 SXM2", 15.7, None, 125.0, "NVIDIA V100 datasheet", tf32=False),
    "a10": DevicePeak("NVIDIA A10", 62.5, 125.0, 125.0, "NVIDIA A10 datasheet"),
    "a40": DevicePeak("NVIDIA A40", 74.8, 149.7, 149.7, "NVIDIA A40 datasheet"),
    "a100": DevicePeak("NVIDIA A100", 156.0, 312.0, 312.0, "NVIDIA A100 datasheet"),
    "l4": DevicePeak("NVIDIA L4", 60.0, 121.0, 121.0, "NVIDIA L4 datasheet, halved: it states sparse peaks"),
    "l40s": DevicePeak("NVIDIA L40S", 183.0, 362.0, 362.0, "NVIDIA L40S datasheet"),
    "h100": DevicePeak("NVIDIA H100 SXM", 494.5, 989.5, 989.5, "NVIDIA H100 datasheet, halved: it states sparse peaks"),
    "h200": DevicePeak("NVIDIA H200 SXM", 494.5, 989.5, 989.5, "NVIDIA H200 datasheet, halved: it states sparse peaks"),
    "rtx-3090": DevicePeak("GeForce RTX 3090", 35.6, 71.0, 71.0, "NVIDIA Ampere GA102 whitepaper, appendix A"),
    "rtx-4090": DevicePeak("GeForce RTX 4090", 82.6, 165.2, 165.2, "NVIDIA Ada whitepaper, appendix A"),
}

UTILISATION = 0.3
"""Share of a peak that networks reach by default: LDM's A100 (Rombach et al. 2022, Table 18) reached 23 to 36%."""
