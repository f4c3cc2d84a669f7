"""A suite from YAML or from Python objects; every problem at once, as ``file:line:column: key path: what is wrong``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import yaml

from diffbench.document.scalars import FORBIDDEN, needs_quotes
from diffbench.document.source import existing, located, parse_bytes, read_document, spec_of
from diffbench.document.tree import MAX_DEPTH, UNREADABLE, Document, Problem, at, parse
from diffbench.document.tree import Path as KeyPath
from diffbench.document.words import shown
from diffbench.errors import SuiteError, SuiteProblem
from diffbench.suite.choices import GridChoice, MetricChoice
from diffbench.suite.expect import Expectation
from diffbench.suite.extends import extended
from diffbench.suite.find import find_suite
from diffbench.suite.gates import Comparing
from diffbench.suite.model_choice import ModelChoice
from diffbench.suite.overrides import Overridden, apply, as_option
from diffbench.suite.sampler_choice import SamplerChoice
from diffbench.suite.spec import Suite
from diffbench.suite.trial import Trial

__all__ = ["find_suite", "read_comparing", "read_suite", "read_suite_text", "resolved", "suite_from_objects"]


def read_suite(path: Path, overrides: Sequence[str] = (), trial: Trial | None = None) -> Suite:
    """Read a suite file; ``overrides`` are ``dotted.key=YAML``. Raises SuiteError with all problems.

    With a ``trial`` also those that only this machine shows (``suite/trial.py``).
    """
    path = Path(path)
    document = extended(read_document(path), path.parent, (path,))
    context = {"directory": path.parent, "name": path.stem, "cards": {}, "trial": trial}
    return _suite(document, str(path), overrides, context)


def read_suite_text(text: str, name: str = "suite.yaml", overrides: Sequence[str] = ()) -> Suite:
    """Read a suite from text; ``name`` stands for the file in errors. Relative paths start at the working folder."""
    try:
        document = parse_bytes(text.encode())
    except UnicodeEncodeError:
        document = parse(text)  # reports where the lone surrogate is
    document = extended(document, Path(), ())
    return _suite(document, name, overrides, {"directory": Path(), "name": "", "cards": {}})


def read_comparing(path: Path) -> Comparing | None:
    """The ``compare`` of a suite file alone, whose models need not be there. Raises SuiteError."""
    document = read_document(path)
    given = document.value.get("compare") if isinstance(document.value, dict) else None
    if given is None:
        return None
    part = Document(given, problems=document.problems)
    comparing, problems = spec_of(Comparing, part, {"directory": path.parent})
    if comparing is None:
        raise SuiteError(f"{path}, compare", [SuiteProblem(0, 0, at(one.path) + one.message) for one in problems])
    return comparing


def suite_from_objects(suite: Mapping[str, Any]) -> Suite:
    """A suite from the mapping that its YAML would be. Raises SuiteError, whose lines begin with the key path."""
    document = Document()
    document.value = _plain(suite, (), document.problems)
    document = extended(document, Path(), ())
    return _suite(document, "", (), {"directory": Path(), "name": "", "cards": {}})


def _suite(document: Document, name: str, overrides: Sequence[str], context: dict[str, Any]) -> Suite:
    overridden = Overridden((), ())
    if overrides and isinstance(document.value, dict):
        overridden = apply(document, overrides)
    suite, problems = spec_of(Suite, document, context)
    if suite is None or overridden.problems:
        raise _error(name, document, problems, overridden)
    return suite


def _error(name: str, document: Document, problems: list[Problem], overridden: Overridden) -> SuiteError:
    """A SuiteError whose text has no line and column where there are none: in ``--set`` and in Python objects."""
    apart, in_file = list(overridden.problems), []
    for problem in problems:
        own = replace(problem, path=existing(document.value, problem.path))
        text = as_option(own, overridden)
        if text is None and not (name or own.file or document.place(own.path, own.at_key)[0]):
            text = at(own.path) + own.message
        if text is None:
            in_file.append(own)
        else:
            apart.append(text)
    placed = [SuiteProblem(line, column, text, file) for file, line, column, text in located(in_file, document)]
    return SuiteError(name, placed + [SuiteProblem(0, 0, text) for text in dict.fromkeys(apart)])


def _plain(value: Any, path: KeyPath, problems: list[Problem]) -> Any:
    """Python objects as YAML would give them: numpy's numbers, tuples and paths included."""
    if len(path) > MAX_DEPTH:
        problems.append(Problem(path, f"nested more than {MAX_DEPTH} levels deep"))
        return UNREADABLE
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                problems.append(Problem(path, f"{shown(key)} can't be a key; keys are text"))
        return {key: _plain(item, (*path, key), problems) for key, item in value.items() if isinstance(key, str)}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, index), problems) for index, item in enumerate(value)]
    if isinstance(value, Path):
        value = str(value.absolute())
    if isinstance(value, str) and (found := FORBIDDEN.search(value)):
        problems.append(Problem(path, f"the character U+{ord(found.group()):04X} is not allowed"))
        return UNREADABLE
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    problems.append(Problem(path, f"{shown(value)} is not allowed; expected text, numbers, lists and mappings"))
    return UNREADABLE


def resolved(suite: Suite) -> str:
    """The suite as YAML, with all defaults and absolute paths; it reads back to an equal suite."""
    whole = suite.model_dump(mode="json", by_alias=True)
    whole["models"] = [_model(choice) for choice in suite.models]
    whole["samplers"] = [_sampler(choice) for choice in suite.samplers]
    whole["metrics"] = [_metric(choice) for choice in suite.metrics]
    whole["budgets"] = {kind: values for kind, values in whole["budgets"].items() if values}
    for key in ("include", "exclude"):
        whole[key] = [{name: value for name, value in rule.items() if value is not None} for rule in whole[key]]
    whole["expect"] = [_expectation(row) for row in suite.expect]
    for key in ("compare", "expect", "extends"):
        if not whole[key]:
            del whole[key]
    return yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _model(choice: ModelChoice) -> dict[str, Any]:
    return choice.model_dump(mode="json", exclude_unset=True)


def _sampler(choice: SamplerChoice) -> dict[str, Any]:
    given: dict[str, Any] = {"id": choice.id, "sampler": choice.sampler, **choice.options, "final": choice.final}
    if choice.grid is not None:
        given["grid"] = _grid(choice.grid)
    if choice.sweep:
        given["sweep"] = choice.sweep
    return {key: _lists(value) for key, value in given.items()}


def _grid(grid: GridChoice) -> dict[str, Any]:
    return {"kind": grid.kind, **grid.options}


def _metric(choice: MetricChoice) -> dict[str, Any]:
    return {"metric": choice.name, **{key: _lists(value) for key, value in choice.options.items()}}


def _expectation(row: Expectation) -> dict[str, Any]:
    given = {**row.model_dump(mode="json"), "grid": None if row.grid is None else _grid(row.grid)}
    return {key: _lists(value) for key, value in given.items() if value not in (None, {})}


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple | list) else value


class _Dumper(yaml.SafeDumper):
    """Quotes whatever our reader, or another reader of YAML, would not read as text; writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Every value is written out."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if needs_quotes(text) else None)


_Dumper.add_representer(str, _represent_text)
