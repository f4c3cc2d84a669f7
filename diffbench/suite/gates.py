"""What a suite lets pass: the baseline that its runs are held to, and how much worse each metric may be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import InitErrorDetails

from diffbench.catalog import COSTS, METRICS
from diffbench.document.spec import Spec, fault, problems_of
from diffbench.document.tree import UNREADABLE, at
from diffbench.document.words import Says, shown, unknown
from diffbench.errors import SuiteError, SuiteProblem

NFE = "nfe"
EXACT = "exact"
DEFAULT = 0.01
"""Default margin, a share of the base's value."""

FailOn = Literal["worse", "inconclusive", "nothing"]
"""What a comparison fails on, apart from what is missing."""

MARGIN = r"([0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+)(%?)"
"""A margin as text: digits, and a percent sign if it is a share."""

GATED = (*METRICS, *COSTS, NFE)
"""Everything that a gate can be about."""

_EXPECTED = "a share such as 2%, or a number such as 0.001 in the metric's unit"
_Gate = Annotated[str, Says(_EXPECTED)]


@dataclass(frozen=True)
class Margin:
    """A difference that would not matter: in the metric's unit, or (``relative``) as a share of the base's value."""

    size: float = DEFAULT
    relative: bool = True

    @classmethod
    def read(cls, value: Any) -> Margin:
        """A margin from ``2%`` or a number. ValueError, in words, for anything else."""
        text = str(value)
        match = re.fullmatch(MARGIN, text)
        if match is None or isinstance(value, bool):
            raise ValueError(f"{shown(value)} is no margin; expected {_EXPECTED}")
        return cls(float(match[1]) / (100 if match[2] else 1), bool(match[2]))

    def of(self, base: float) -> float:
        """The margin in the metric's unit."""
        return self.size * abs(base) if self.relative else self.size

    def __str__(self) -> str:
        return f"{self.size:.4g}" if not self.relative else f"{100 * self.size:.4g}%"


class Comparing(Spec):
    """The ``compare`` of a suite: a ``baseline`` (a run folder or a baseline file) and the gates against it.

    ``gates`` None: every quality metric but IS and memorisation with 1%, and evaluations exactly.
    """

    baseline: Annotated[str, Field(min_length=1), Says("the path of a run folder or of a baseline file")]
    """A run folder, or a file of diffbench baseline; relative paths start at the suite file."""
    gates: (
        Annotated[dict[str, _Gate], Says("a mapping of metrics to margins, such as {fid: 2%, nfe: exact}")] | None
    ) = None
    """Metrics that decide, each with how much worse it may be: {fid: 2%, kid: 0.001, nfe: exact}."""
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.01
    """False alarms of the whole table."""
    adjust: Literal["holm", "bh"] = "holm"
    """holm: the chance of one false alarm; bh: their share among all."""
    fail_on: FailOn = "worse"
    """What ends a run with exit code 1 (worse) or 3 (inconclusive, too)."""

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """The baseline's path made absolute; every gate's margin as text, out of its mapping."""
        if not isinstance(value, dict):
            return value
        value, gates = cls.anchored(value, (context or {}).get("directory", Path())), value.get("gates")
        if isinstance(gates, dict):
            value = {**value, "gates": {metric: _margin(gate) for metric, gate in gates.items()}}
        return value

    @classmethod
    def anchored(cls, value: dict[str, Any], directory: Path) -> dict[str, Any]:
        """The mapping with a relative baseline made absolute."""
        baseline = value.get("baseline")
        if not isinstance(baseline, str) or not baseline:
            return value
        return {**value, "baseline": str(Path(directory, baseline).absolute())}

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """Known metrics, with margins that can be read; ``nfe`` is exact."""
        gates = given.get("gates")
        for metric, margin in gates.items() if isinstance(gates, dict) else ():
            if metric not in GATED:
                yield fault(("gates", metric), unknown("metric", metric, GATED), margin, at_key=True)
            elif metric == NFE and margin != EXACT:
                yield fault(("gates", metric), f"{shown(margin)} is not allowed; evaluations are {EXACT}", margin)
            elif metric != NFE and isinstance(margin, str):
                try:
                    Margin.read(margin)
                except ValueError as error:
                    yield fault(("gates", metric), str(error), margin)
        if isinstance(gates, dict) and not gates:
            yield fault(("gates",), "no gate at all; leave the key out for those of every quality metric", gates)

    @property
    def margins(self) -> dict[str, Margin] | None:
        """The margin of each gated metric; None: the default gates."""
        if self.gates is None:
            return None
        return {
            metric: Margin(0.0) if margin == EXACT else Margin.read(margin) for metric, margin in self.gates.items()
        }


def read_gates(gates: Mapping[str, Any] | None, alpha: float, adjust: str) -> dict[str, Margin] | None:
    """Gates as a suite would have them. Raises SuiteError."""
    given = {"baseline": ".", "alpha": alpha, "adjust": adjust, **({} if gates is None else {"gates": dict(gates)})}
    try:
        return Comparing.model_validate(given).margins
    except ValidationError as error:
        raise SuiteError("", [SuiteProblem(0, 0, at(one.path) + one.message) for one in problems_of(error)]) from None


def _margin(gate: Any) -> Any:
    """``2%`` and ``{margin: 2%}`` are the same; numbers become text."""
    if isinstance(gate, dict):
        gate = gate["margin"] if list(gate) == ["margin"] else UNREADABLE if not gate else gate
    return str(gate) if isinstance(gate, int | float) and not isinstance(gate, bool) else gate


def unmeasured(given: Mapping[str, Any], metrics: Iterable[Any], timed: bool) -> Iterable[InitErrorDetails]:
    """Gates on what the suite does not measure, which could never fail."""
    compare = Comparing.prepare(given.get("compare"), None)
    gates = compare.get("gates") if isinstance(compare, dict) else None
    measured = {*(name for name in metrics if isinstance(name, str)), NFE, *(COSTS if timed else ())}
    for metric in gates if isinstance(gates, dict) else ():
        if metric in GATED and metric not in measured:
            how = "timing.seconds is 0" if metric in COSTS else "it is not among the suite's metrics"
            message = f"{shown(metric)} is gated, but not measured: {how}"
            yield fault(("compare", "gates", metric), message, gates, at_key=True)
