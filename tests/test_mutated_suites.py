"""A thousand good suites, spoilt in their bytes or in their structure: each is validated or refused in clear lines."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffbench import shipped

EXAMPLES = 1000
OWN = """\
extends: ./base.yaml
name: own
samples: {n: 20, shard: 10}
samplers:
  - ddim
  - {id: edm, sampler: heun, grid: {kind: karras, rho: 7}, sweep: {s_churn: [0, 4.5]}}
  - {id: theirs, sampler: "diffusers:DDIMScheduler", config: {timestep_spacing: trailing}, step: {eta: 1.0}}
  - {id: rk45, sampler: rk45, sweep: {rtol: [0.1, 0.01]}}
budgets: {nfe: null, steps: [2, 4]}
include: [{model: ddpm-mnist, sampler: ddim, steps: 100}]
exclude: [{model: ddpm-mnist, sampler: edm}]
metrics: [fid, {metric: is, splits: 10}, {metric: precision, k: 3}]
compare: {baseline: runs/main, gates: {fid: 2%, nfe: exact, kid: null}, alpha: 0.05, fail_on: inconclusive}
run: {device: cpu, batch_size: 64, keep: {samples: 16}, channels_last: auto}
timing: {seconds: 0}
"""
BASE = """\
models: [ddpm-mnist, {id: half, name: ldm-mnist, sweep: {dtype: [float32, bfloat16]}}]
samplers: [ddim]
budgets: {nfe: [5]}
compare: {gates: {kid: 1%}}
"""
GOOD = [OWN, OWN, *(path.read_text() for path in sorted(shipped.suites().glob("*.yaml")))]
JUNK = [
    b":", b"- ", b"[", b"]", b"{", b"}", b",", b"\n", b"\r\n", b"\r", b"\t", b"#", b"&a ", b"*a", b"!!set ", b"<<: ",
    b"? ", b"|", b">", b"'", b'"', b"%YAML 1.1\n", b"---\n", b"...\n", b"no", b"010", b"1:30", b"1e-5", b".nan", b"~",
    b"\x00", b"\x1b[2J", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xff\xfe",
    b"9" * 400, b"[" * 100, b"{a: " * 60, b"null", b"true", b"-1", b"2%", b"../x", b"hf://x", b"extends: ./own.yaml\n",
    b"\xf0\x9f",
]  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 2**65) | st.floats() | st.text(max_size=6)
    | st.sampled_from(["ddim", "karras", "ddpm-mnist", "nfe", "explicit", "auto", "2%", "exact", "./own.yaml", "."])
)  # fmt: skip
KEYS = st.sampled_from(
    ["id", "name", "source", "sampler", "model", "grid", "kind", "sweep", "eta", "nfe", "steps", "n", "shard", "metric"]
    + ["sigmas", "clip", "dtype", "config", "compare", "gates", "extends", "splits", "version", "final", "", "margin"]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=5
)


def spoilt_bytes(data, text):
    content = text.encode()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        stop = min(len(content), start + data.draw(st.sampled_from([0, 0, 1, 2, 7, 80])))
        junk = data.draw(st.sampled_from(JUNK) | st.binary(max_size=3) | st.just(content[stop : stop + 30]))
        content = content[:start] + junk + content[stop:]
    return content


def places(value, path=()):
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def spoilt_structure(data, text):
    suite = yaml.safe_load(text)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([place for place in places(suite) if place] or [("x",)]))
        target = suite
        for part in path[:-1]:
            target = target[part]
        action = data.draw(st.sampled_from(["replace", "remove", "add", "repeat"]))
        if action == "replace" or path[-1] not in (target if isinstance(target, dict) else range(len(target))):
            target[path[-1]] = data.draw(VALUES)
        elif action == "remove":
            del target[path[-1]]
        elif isinstance(target, dict):
            target[data.draw(KEYS)] = data.draw(VALUES) if action == "add" else target[path[-1]]
        else:
            target.append(data.draw(VALUES) if action == "add" else target[path[-1]])
    flow = data.draw(st.sampled_from([True, False, None]))
    return yaml.dump(suite, default_flow_style=flow, allow_unicode=True, sort_keys=False).encode(
        "utf-8", "surrogatepass"
    )


def test_a_thousand_spoilt_suites(diffbench, tmp_path, told):
    (tmp_path / "base.yaml").write_text(BASE)
    for text in GOOD:
        (tmp_path / "own.yaml").write_text(text)
        assert diffbench("validate", "own.yaml")[0] == 0
    counts: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def validate(data):
        text = data.draw(st.sampled_from(GOOD))
        spoil = data.draw(st.sampled_from([spoilt_bytes, spoilt_structure]))
        content = spoil(data, text)
        (tmp_path / "own.yaml").write_bytes(content)
        code, out, err = diffbench("validate", "own.yaml")
        assert code in (0, 2) and "Traceback" not in err + out, (content, err)
        if code == 0:
            assert out.startswith("own.yaml: fine; ") and not err, (content, out, err)
        else:
            assert err and not out
            for line in err.splitlines():
                assert place_exists(tmp_path, line), (content, line)
        counts[f"{spoil.__name__}, exit {code}"] += 1
        counts["lines of errors"] += err.count("\n")

    validate()
    found = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    told(f"{sum(v for k, v in counts.items() if 'exit' in k)} spoilt suites: {found}; no traceback")
    assert sum(v for k, v in counts.items() if "exit" in k) >= EXAMPLES
    assert all(counts[f"{kind.__name__}, exit 2"] > EXAMPLES / 5 for kind in (spoilt_bytes, spoilt_structure))
    assert counts["spoilt_bytes, exit 0"] > EXAMPLES / 20


def place_exists(folder: Path, line: str) -> bool:
    """Whether an error names a place that is there: ``file:line:column: ...``."""
    match = re.match(r"([^:]+\.yaml):(\d+):(\d+): ", line)
    if match is None:
        return False
    text = (folder / match[1]).read_bytes().decode("utf-8-sig", "replace")
    lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)
    number, column = int(match[2]), int(match[3])
    return 1 <= number <= len(lines) + 1 and column >= 1
