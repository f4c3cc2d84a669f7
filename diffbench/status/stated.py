"""What cells would cost on a device that is only stated: operations over its datasheet's peak."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from diffbench.catalog.devices import DEVICES, UTILISATION, DevicePeak
from diffbench.document.words import unknown
from diffbench.errors import UsageError
from diffbench.status.cost import Key, Rate, Rates
from diffbench.suite.cell import Cell

_SPEED = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([GTP])FLOP(?:/s|S|s)?", re.IGNORECASE)
_UNITS = {"G": 1e9, "T": 1e12, "P": 1e15}


@dataclass(frozen=True)
class StatedDevice:
    """A device by name, or a peak in FLOP/s for all dtypes, of which the share ``utilisation`` is reached."""

    name: str
    known: DevicePeak | None
    speed: float | None
    utilisation: float = UTILISATION

    @classmethod
    def read(cls, text: str, utilisation: str | None = None) -> StatedDevice:
        """From the name of a device, or a speed such as ``60 TFLOP/s``. Raises UsageError."""
        share = UTILISATION if utilisation is None else _share(utilisation)
        name = text.strip().casefold()
        if name in DEVICES:
            return cls(name, DEVICES[name], None, share)
        match = _SPEED.fullmatch(text.strip())
        speed = float(match[1]) * _UNITS[match[2].upper()] if match else 0.0
        if not speed:
            raise UsageError(f'--on: {unknown("device", text, DEVICES)}; or give a speed, such as "60 TFLOP/s"')
        return cls(f"{speed / 1e12:g} TFLOP/s", None, speed, share)

    def peak(self, dtype: str) -> float | None:
        """Peak in FLOP/s; None: it has no units for this dtype."""
        return self.speed if self.known is None else self.known.of(dtype)

    def rates(self, cells: Iterable[Cell]) -> Rates:
        """What every model takes an evaluation; guided ones, two of the network. Decoding and scoring are not in it."""
        by: dict[Key, Rate] = {}
        dtypes: set[str] = set()
        lacking: dict[str, set[str]] = {}
        for cell in cells:
            peak, flops = self.peak(cell.dtype), cell.card.flops
            if peak is None:
                lacking.setdefault(f"{self.name} has no units for {cell.dtype}", set()).add(cell.model)
            elif flops is None:
                lacking.setdefault("no flops on the card", set()).add(cell.model)
            else:
                calls = 2 if cell.condition is not None and cell.condition.guidance.guides else 1
                by[cell.model_key, cell.batch_size] = Rate(0.0, calls * flops / (peak * self.utilisation))
                dtypes.add(cell.dtype)
        why = "; ".join(f"{', '.join(sorted(models))}: {reason}" for reason, models in lacking.items())
        title = self.name if self.known is None else self.known.title
        return Rates(by, title, self.basis(sorted(dtypes)), why or None, "decoding, features")

    def basis(self, dtypes: list[str]) -> str:
        """What the times rest on, in words."""
        told, source = "that", ""
        if self.known is not None:
            names = {"float32": "TF32"} if self.known.tf32 else {}
            peaks = [f"{(self.known.of(one) or 0) / 1e12:g} TFLOP/s in {names.get(one, one)}" for one in dtypes]
            told, source = " and ".join(peaks), f", {self.known.source}"
        return f"the cards' flops at {100 * self.utilisation:g}% of {told}{source}; --utilisation sets the share"


def _share(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(%?)", text.strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < share <= 1:
        raise UsageError(
            f"--utilisation {text!r}: expected a share of the peak above 0 and up to 1, such as 0.3 or 30%"
        )
    return share
