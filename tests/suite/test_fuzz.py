"""Whatever is done to a suite, reading it gives a suite that can be planned, or a SuiteError."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffbench.errors import SuiteError
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite_text, resolved, suite_from_objects
from diffbench.suite.spec import Suite

BASE = """\
version: 1
name: study
seed: 7
samples: {n: 20, shard: 10}
models:
  - ddpm-mnist
  - {id: ours, name: score-vp-mnist, clip: null, sweep: {dtype: [float32, bfloat16]}}
samplers:
  - ddim
  - {id: edm, sampler: heun, grid: {kind: karras, rho: 7}, sweep: {s_churn: [0, 4.5]}}
  - {id: own, sampler: ddim, eta: 0.2, grid: {kind: explicit, sigmas: [10, 1.0]}}
budgets: {nfe: [5, 10], steps: [2]}
include: [{model: ddpm-mnist, sampler: ddim, steps: 100}]
exclude: [{model: ours, sampler: edm}]
metrics: [fid, {metric: is, splits: 10}]
run: {device: cpu, batch_size: 64, keep: {samples: 16}, channels_last: auto}
timing: {seconds: 0}
"""
PIECES = st.sampled_from(
    [
        ":",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\n",
        "\n  ",
        "&a ",
        "*a",
        "!!python/object:x ",
        "!!set ",
        "<<: ",
        "? ",
        "|",
        ">",
    ]
    + [
        "%YAML 1.1\n",
        "---\n",
        "...\n",
        '"',
        "'",
        "#",
        "\t",
        "no",
        "on",
        "010",
        "1:30",
        "1e5",
        ".nan",
        "~",
        "true",
        "-1",
    ]
    + [
        "2024-13-45",
        "9" * 400,
        "\0",
        "\ud800",
        "\u2028",
        "\x85",
        "\ufeff",
        "é",
        '"\\x00"',
        '"\\ud800"',
        '"\\UFFFFFFFF"',
    ]
    + ["[" * 200, "{a: " * 200, "&a [*a, *a]", "=", "0x1", "1_0", "diffusers:x", "hf://x", "../x", "models", "eta"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 20)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["ddim", "heun", "karras", "ddpm-mnist", "ours", "nfe", "eta", "explicit", "auto", "a\0b", "\ud800"]
    )
)
KEYS = st.sampled_from(
    ["id", "name", "source", "sampler", "model", "grid", "kind", "sweep", "eta", "nfe", "steps", "n", "shard", "metric"]
    + ["sigmas", "clip", "dtype", "options", "compare", "rho", "splits", "version", "final", "", "[key]", "__class__"]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


def check(suite: Suite) -> None:
    """A suite that was accepted can be planned and written down."""
    assert plan(suite) or suite.exclude
    assert read_suite_text(resolved(suite)) == suite


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_text_is_read_or_refused(data: st.DataObject) -> None:
    text = BASE
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + data.draw(st.sampled_from([0, 0, 1, 5, 80])))))
        text = text[:start] + data.draw(PIECES | st.text(max_size=3)) + text[stop:]
    try:
        suite = read_suite_text(text)
    except SuiteError as error:
        assert error.problems
        lines = (
            text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029") + 1
        )
        assert all(1 <= problem.line <= lines and problem.column >= 1 for problem in error.problems)
        assert len(str(error).split("suite.yaml:")) == len(error.problems) + 1
        return
    check(suite)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_values_are_read_or_refused(data: st.DataObject) -> None:
    suite = yaml.safe_load(BASE)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([place for place in places(suite) if place]))
        target = suite
        for part in path[:-1]:
            target = target[part]
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            target[path[-1]] = data.draw(VALUES)
        elif action == "remove":
            del target[path[-1]]
        elif isinstance(target, dict):
            target[data.draw(KEYS)] = data.draw(VALUES)
        else:
            target.append(data.draw(VALUES))
    try:
        accepted = suite_from_objects(suite)
    except SuiteError as error:
        assert error.problems
        return
    check(accepted)


@settings(max_examples=60, deadline=None)
@given(
    key=st.sampled_from(
        ["budgets.nfe", "samplers.1.grid", "models.0", "a", "run.keep.samples", "samples.n", "seed.x", "."]
    ),
    value=PIECES | st.text(max_size=5),
)
def test_any_set_option_is_applied_or_refused(key: str, value: str) -> None:
    try:
        suite = read_suite_text(BASE, overrides=(f"{key}={value}",))
    except SuiteError as error:
        assert all(line.startswith("--set ") for line in str(error).splitlines() if not line.startswith("suite.yaml:"))
        return
    check(suite)
