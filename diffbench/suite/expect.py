"""What a suite expects to measure: published scores of its cells, each with what it was measured under."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import InitErrorDetails

from diffbench.catalog import COSTS, METRICS, SAMPLERS
from diffbench.document.spec import Spec, fault
from diffbench.document.tree import Path
from diffbench.document.words import Says, key_path, shown, text_of, unknown
from diffbench.suite.choices import GridChoice
from diffbench.suite.gates import Margin

_TOLERANCE = "a share of the value such as 5%, or a number such as 0.1 in the metric's unit"
_Text = Annotated[str, Field(min_length=1, max_length=1000)]
_Budget = Annotated[int, Field(ge=1, le=10_000)]


class Expectation(Spec):
    """A score that somebody published (``source``) for ``model`` and ``sampler``, ids of the suite, at one budget.

    ``options`` selects among swept values. The figure is of ``n`` samples; where given, ``grid`` is the grid they were
    sampled on, ``reference`` the name, or the beginning of the sha256, of the real data's statistics, and ``ema`` says
    whether the weights were averages. ``unverified`` says why the figure is to be taken with care: such a row never
    fails a run.
    """

    model: str
    """Id of a model of the suite."""
    sampler: str
    """Id of a sampler of the suite."""
    options: dict[str, Any] = {}
    """Swept values that the figure is of."""
    nfe: _Budget | None = None
    """Its budget in evaluations."""
    steps: _Budget | None = None
    """Its budget in steps."""
    grid: GridChoice | None = None
    """The grid that the figure is of; another one makes the row not applicable."""
    n: Annotated[int, Field(ge=1, le=10_000_000)]
    """Samples that the figure is of."""
    metric: Annotated[str, Says("the name of a metric or cost")]
    """Name of a metric or cost."""
    value: float
    """The published figure."""
    tolerance: Annotated[str, Says(_TOLERANCE)]
    """How far off a score may be: 5%, or a number in the metric's unit."""
    reference: _Text | None = None
    """Name, or beginning of the sha256, of the real data's statistics."""
    ema: bool | None = None
    """Whether the weights were averages."""
    source: _Text
    """Where the figure stands: paper and table."""
    unverified: _Text | None = None
    """Why it is to be taken with care: such a row never fails a run."""

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """A tolerance that is a number becomes text."""
        tolerance = value.get("tolerance") if isinstance(value, dict) else None
        number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
        return {**value, "tolerance": str(tolerance)} if number else value

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """A known metric, a tolerance that can be read, one budget at most."""
        metric, tolerance = given.get("metric"), given.get("tolerance")
        if isinstance(metric, str) and metric not in (known := (*METRICS, *COSTS)):
            yield fault(("metric",), unknown("metric", metric, known), metric)
        if isinstance(tolerance, str):
            try:
                Margin.read(tolerance)
            except ValueError:
                message = f"{shown(tolerance)} is not allowed; expected {_TOLERANCE}"
                yield fault(("tolerance",), message, tolerance)
        if given.get("nfe") is not None and given.get("steps") is not None:
            yield fault((), 'give "nfe" or "steps", not both', given)

    @property
    def band(self) -> tuple[float, float]:
        """The values within the tolerance, lowest and highest."""
        margin = Margin.read(self.tolerance).of(self.value)
        return self.value - margin, self.value + margin

    def selects(self, model: str, sampler: str, options: Mapping[str, Any], budget: tuple[str, int] | None) -> bool:
        """Whether it is about a cell of this model and sampler, with these swept values and this budget."""
        own = ("nfe", self.nfe) if self.nfe is not None else None if self.steps is None else ("steps", self.steps)
        chosen = all(key in options and _equal(options[key], value) for key, value in self.options.items())
        return chosen and (self.model, self.sampler, own) == (model, sampler, budget)


def unplanned(given: Mapping[str, Any], models: list[Any], samplers: list[Any]) -> Iterable[InitErrorDetails]:
    """Rows of ``expect`` whose model and sampler are known, but that are about no cell of the suite."""
    for index, row in _rows(given):
        model, sampler = _by_id(models, row.get("model")), _by_id(samplers, row.get("sampler"))
        if model is None or sampler is None:
            continue
        for path, message in (*_unswept(row, model, sampler), *_without_budget(row, sampler, given)):
            yield fault(("expect", index, *path), message, row)


def unmeasured_rows(given: Mapping[str, Any], metrics: Iterable[Any], timed: bool) -> Iterable[InitErrorDetails]:
    """Rows of ``expect`` on what the suite does not measure, which could never be missed."""
    measured = {*(name for name in metrics if isinstance(name, str)), *(COSTS if timed else ())}
    for index, row in _rows(given):
        metric = row.get("metric")
        if isinstance(metric, str) and metric in (*METRICS, *COSTS) and metric not in measured:
            how = "timing.seconds is 0" if metric in COSTS else "it is not among the suite's metrics"
            yield fault(("expect", index, "metric"), f"{shown(metric)} is expected, but not measured: {how}", metric)


def _rows(given: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """The rows that are mappings, with their places."""
    return [(index, row) for index, row in enumerate(_listed(given, "expect")) if isinstance(row, dict)]


def _by_id(items: list[Any], wanted: Any) -> Mapping[str, Any] | None:
    return next((item for item in items if isinstance(item, dict) and item.get("id") == wanted), None)


def _unswept(
    row: Mapping[str, Any], model: Mapping[str, Any], sampler: Mapping[str, Any]
) -> Iterable[tuple[Path, str]]:
    """Options that are not swept, or not over the value that the row wants."""
    sweeps = [sweep for item in (model, sampler) if isinstance(sweep := item.get("sweep", {}), dict)]
    swept = {key: values for sweep in sweeps for key, values in sweep.items() if isinstance(values, tuple)}
    options = row.get("options", {})
    for key, value in options.items() if isinstance(options, dict) else ():
        if key not in swept:
            yield ("options", key), unknown("swept option", key, swept)
        elif not any(_equal(value, one) for one in swept[key]):
            listed = ", ".join(map(text_of, swept[key]))
            yield ("options", key), f"{shown(value)} is not among the swept values of {key}: {listed}"


def _without_budget(
    row: Mapping[str, Any], sampler: Mapping[str, Any], given: Mapping[str, Any]
) -> Iterable[tuple[Path, str]]:
    """A budget that the suite does not give this model and sampler, or that it leaves out."""
    entry = SAMPLERS.get(name) if isinstance(name := sampler.get("sampler"), str) else None
    kinds = [kind for kind in ("nfe", "steps") if row.get(kind) is not None]
    if entry is None or len(kinds) > 1:
        return
    if entry.adaptive or not kinds:
        if entry.adaptive and kinds:
            yield (kinds[0],), f"{entry.name} chooses its own steps; leave {kinds[0]} out"
        elif not entry.adaptive:
            yield (), 'give either "nfe" or "steps"'
        return
    kind, wanted = kinds[0], row[kinds[0]]
    if type(wanted) is not int:
        return
    budgets = given.get("budgets")
    listed = budgets.get(kind) if isinstance(budgets, dict) else ()
    added = any(_added(rule, row, kind) for rule in _listed(given, "include"))
    if not added and wanted not in (listed if isinstance(listed, tuple) else ()):
        cells = f"{shown(row['sampler'])} on {shown(row['model'])}"
        yield (kind,), f"no cell of {cells} has {kind} {wanted}: it is not among its budgets"
    for place, rule in enumerate(_listed(given, "exclude")):
        if isinstance(rule, dict) and _excluded(rule, row):
            yield (), f"about no cell: {key_path(('exclude', place))} leaves it out"


def _added(rule: Any, row: Mapping[str, Any], kind: str) -> bool:
    return isinstance(rule, dict) and all(rule.get(key) == row.get(key) for key in ("model", "sampler", kind))


def _excluded(rule: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    given = [key for key in ("model", "sampler", "nfe", "steps") if rule.get(key) is not None]
    return bool(given) and all(rule[key] == row.get(key) for key in given)


def _listed(given: Mapping[str, Any], key: str) -> tuple[Any, ...]:
    value = given.get(key)
    return value if isinstance(value, tuple) else ()


def _scale(value: Any) -> Any:
    """Guidance without an interval as its scale, which is how cells list it and suites may."""
    whole = isinstance(value, dict) and "scale" in value and value.get("interval") is None
    return value["scale"] if whole else value


def _equal(one: Any, other: Any) -> bool:
    """Whether two option values are the same: lists and tuples alike, numbers by value, guidance by its scale."""
    one, other = _scale(one), _scale(other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
