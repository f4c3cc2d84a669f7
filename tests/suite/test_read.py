from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbench import shipped
from diffbench.errors import CardError, SuiteError, UsageError
from diffbench.suite.plan import plan
from diffbench.suite.read import find_suite, read_suite, read_suite_text, resolved, suite_from_objects

SHORT = "name: x\nmodels: [ddpm-mnist]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n"
FULL = """
version: 1
name: study
seed: 7
samples: {n: 2000, shard: 250}
models:
  - ddpm-mnist
  - {id: ours, name: score-vp-mnist, clip: null, sweep: {dtype: [float32, bfloat16]}}
  - {id: clipped, name: score-ve-mnist, dtype: float16, sweep: {clip: [null, [-2, 2.5]]}}
samplers:
  - ddim
  - {id: ddim-noisy, sampler: ddim, eta: 0.2}
  - {id: edm, sampler: heun, grid: {kind: karras, rho: 7, sigma_max: 40}, sweep: {s_churn: [0, 4.5]}}
  - {id: own, sampler: dpmpp-2m, grid: {kind: explicit, sigmas: [10, 1.0, 1e-2]}, final: sigma_min}
budgets: {nfe: [5, 10], steps: [20]}
include: [{model: ddpm-mnist, sampler: ddim, steps: 1000}]
exclude: [{model: ours, sampler: edm}, {nfe: 10}]
metrics: [fid, {metric: is, splits: 10}]
run: {device: "cuda:1", batch_size: 64, dtype: float32, keep: {samples: 16}, channels_last: true}
timing: {seconds: 0, batch_size: 4}
"""


def test_the_short_suite_gets_documented_defaults() -> None:
    suite = read_suite_text(SHORT)
    assert (suite.version, suite.seed, suite.samples.n) == (1, 0, 2000)
    assert suite.samples.shard == suite.run.batch_size == suite.timing.batch_size == 128
    assert [(metric.name, metric.options) for metric in suite.metrics] == [
        ("fid", {}),
        ("is", {"splits": 1, "seed": 2020}),
        ("kid", {}),
    ]
    assert (suite.run.device, suite.run.dtype, suite.run.keep.samples) == ("auto", "float32", 64)
    assert suite.timing.seconds is None
    assert [suite.timing.limit(sampled) for sampled in (0.0, 0.2, 17.0, 900.0)] == [60.0, 5.0, 17.0, 60.0]
    assert read_suite_text(SHORT + "timing: {seconds: 2}").timing.limit(900.0) == 2.0


def test_shard_and_timing_follow_the_batch_size_unless_given() -> None:
    suite = read_suite_text(SHORT + "run: {batch_size: 32}\n")
    assert (suite.samples.shard, suite.timing.batch_size) == (32, 32)
    suite = read_suite_text(SHORT + "run: {batch_size: 32}\nsamples: {n: 9, shard: 8}\ntiming: {batch_size: 2}\n")
    assert (suite.samples.n, suite.samples.shard, suite.timing.batch_size) == (9, 8, 2)


def test_the_full_suite_says_what_it_says() -> None:
    suite = read_suite_text(FULL)
    assert (suite.name, suite.seed, suite.samples.n, suite.samples.shard) == ("study", 7, 2000, 250)
    assert [model.id for model in suite.models] == ["ddpm-mnist", "ours", "clipped"]
    assert suite.samplers[1].options == {"eta": 0.2}
    assert suite.samplers[2].grid is not None and suite.samplers[2].grid.options == {"rho": 7, "sigma_max": 40}
    assert suite.samplers[3].final == "sigma_min"
    assert suite.samplers[3].grid is not None and suite.samplers[3].grid.options == {"sigmas": (10, 1.0, 0.01)}
    assert suite.metrics[1].options == {"splits": 10, "seed": 2020}
    assert suite.run.channels_last is True and suite.timing.seconds == 0


@pytest.mark.parametrize("text", [SHORT, FULL], ids=["short", "full"])
def test_resolved_reads_back_to_the_same_suite_and_plan(text: str) -> None:
    suite = read_suite_text(text)
    again = read_suite_text(resolved(suite))
    assert again == suite
    assert resolved(again) == resolved(suite)
    assert [(cell.key, cell.id) for cell in plan(again)] == [(cell.key, cell.id) for cell in plan(suite)]


names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,63}", fullmatch=True)
tricky = st.sampled_from(
    ["no", "on", "1e-5", "010", "1_0", "2024-01-02", "null", "1.10", "true", "0x1F", "=", "1e5", "7"]
)


@settings(max_examples=40, deadline=None)
@given(
    name=names | tricky.filter(lambda text: text != "="),
    eta=st.lists(st.floats(0, 1), min_size=1, max_size=3, unique=True),
    n=st.integers(1, 10_000_000),
)
def test_resolved_reads_back_whatever_the_names_and_numbers(name: str, eta: list[float], n: int) -> None:
    sampler = {"id": name, "sampler": "ddim", "sweep": {"eta": eta}}
    suite = suite_from_objects(
        {"name": name, "samples": n, "models": ["ddpm-mnist"], "samplers": [sampler], "budgets": {"nfe": [3]}}
    )
    assert read_suite_text(resolved(suite)) == suite
    assert [cell.id for cell in plan(read_suite_text(resolved(suite)))] == [cell.id for cell in plan(suite)]


def test_numbers_in_scientific_notation_are_numbers() -> None:
    suite = read_suite_text(SHORT.replace("[ddim]", "[{id: a, sampler: ddim, eta: 1e-5}]") + "timing: {seconds: 1e1}")
    assert suite.samplers[0].options == {"eta": 1e-5}
    assert suite.timing.seconds == 10.0


def test_the_name_defaults_to_the_files_and_sources_are_relative_to_it(tmp_path: Path, models_folder: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").symlink_to(models_folder / "score-vp-mnist")
    path = tmp_path / "my-study.yaml"
    path.write_text("models: [./models/mine]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n")
    suite = read_suite(path)
    assert suite.name == "my-study"
    assert suite.models[0].id == "score-vp-mnist"
    assert suite.models[0].source == str(tmp_path / "models" / "mine")
    assert suite.models[0].read_card().directory == tmp_path / "models" / "mine"
    path.write_text("models: [{id: m, source: models/mine/card.yaml}]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n")
    assert read_suite(path).models[0].read_card().name == "score-vp-mnist"


def test_problems_of_a_card_show_in_the_suite(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "card.yaml").write_text("version: 3\n")
    path = tmp_path / "s.yaml"
    path.write_text("models: [{id: m, source: ./bad}]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n")
    with pytest.raises(SuiteError, match=r"s\.yaml:1:26: models\[0\]\.source: .*card\.yaml:1:10: version: 3 is not"):
        read_suite(path)


def test_every_problem_of_a_card_has_a_line_and_what_its_labels_need_is_told_too(tmp_path: Path, ddpm: dict) -> None:
    """Also where the card is not whole: what it lacks is not taken for what it has not."""
    del ddpm["ema"], ddpm["license"]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "card.yaml").write_text(yaml.safe_dump({**ddpm, "labels": {"classes": 10}, "clip": [1, 1]}))
    path = tmp_path / "s.yaml"
    head, rest = "models: [{id: m, source: ./bad", "}]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n"

    def told(more: str) -> list[str]:
        path.write_text(head + more + rest)
        with pytest.raises(SuiteError) as caught:
            read_suite(path)
        return [line.removeprefix(f"{path}:1:") for line in str(caught.value).splitlines()]

    lines = told("")
    assert len(lines) == 4 and lines[0].endswith("a list of classes") and '"labels" is missing' in lines[0]
    assert all(re.match(r"26: models\[0\]\.source: .*card\.yaml:\d+:\d+: ", line) for line in lines[1:])
    assert '"ema" is missing' in lines[1] and '"license" is missing' in lines[2] and "clip: [1, 1]" in lines[3]
    lines = told(", labels: [3, 10], guidance: 2, prompts: [a]")
    assert len(lines) == 4 and "10 is not allowed; ddpm-mnist has the classes 0 to 9" in lines[3]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "a folder, not a file"),
        (lambda path: path.write_bytes(b"name: \xff\n"), ":1:7: not UTF-8: byte 0xFF"),
        (lambda path: path.write_bytes("name: x\nseed: é".encode("latin-1")), ":2:7: not UTF-8: byte 0xE9"),
        (lambda path: path.write_bytes(b"#" * 1_000_001), "larger than 1000000 bytes"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_text("name: x", encoding="utf-16"), "not UTF-8"),
    ],
)
def test_files_that_are_no_suites(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "s.yaml"
    make(path)
    with pytest.raises(SuiteError) as caught:
        read_suite(path)
    assert str(caught.value).startswith(f"{path}:1:" if ":2:" not in message else f"{path}:2:")
    assert message in str(caught.value)


def test_a_path_with_nul_is_an_error_of_the_suite() -> None:
    with pytest.raises(SuiteError):
        read_suite(Path("a\0b.yaml"))


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SHORT.replace("\n", "\r\n").encode())
    assert read_suite(path).name == "x"


def test_set_changes_values() -> None:
    overrides = ("budgets.nfe=[7,8]", "samplers.0=heun", "timing.seconds=1", "run.keep.samples=3", "name=y", "seed= 4")
    suite = read_suite_text(SHORT, overrides=overrides)
    assert (suite.budgets.nfe, suite.samplers[0].id, suite.timing.seconds) == ((7, 8), "heun", 1)
    assert (suite.run.keep.samples, suite.name, suite.seed) == (3, "y", 4)


def test_later_set_wins_and_lists_of_mappings_are_reached() -> None:
    text = SHORT.replace("[ddim]", "[{id: a, sampler: ddim, eta: 0.5}]")
    assert read_suite_text(text, overrides=("samplers.0.eta=0.1", "samplers.0.eta=0.2")).samplers[0].options == {
        "eta": 0.2
    }


@pytest.mark.parametrize(
    "override, message",
    [
        ("budgets.nfe=0", "--set budgets.nfe: 0 is not allowed; expected a list of 1 to 1000 elements"),
        ("budgets.nfe=[5,0]", "--set budgets.nfe[1]: 0 is not allowed; expected a whole number from 1 to 10000"),
        ("budgets.nfe=[5", "--set budgets.nfe: not valid YAML"),
        ("budgets.mfe=[5]", '--set budgets.mfe: unknown key "mfe"; did you mean "nfe"? Known: nfe, steps'),
        ("seed", "--set seed: expected KEY=VALUE"),
        ("=3", "--set =3: expected KEY=VALUE"),
        ("a..b=3", "--set a..b=3: expected KEY=VALUE"),
        ("name=on", "--set name: on is true or false to some readers"),
        ("samplers.3.eta=1", "--set samplers[3].eta: samplers is a list of 1; expected an index from 0 to 0"),
        ("samplers.x=1", "--set samplers.x: samplers is a list of 1"),
        ("samplers.0.eta=1", '--set samplers[0].eta: samplers[0] is "ddim", which has no key "eta"'),
        ("run.dtype=int8", '--set run.dtype: "int8" is not allowed'),
        ("seed=*a", "--set seed: the alias *a is not allowed"),
    ],
)
def test_problems_of_set_name_the_option(override: str, message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        read_suite_text(SHORT, overrides=(override,))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_problems_of_set_and_of_the_file_come_together() -> None:
    with pytest.raises(SuiteError) as caught:
        read_suite_text(SHORT + "samples: 0\n", "s.yaml", overrides=("seed=-1",))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("s.yaml:5:10: samples: 0 is not allowed")
    assert lines[1].startswith("--set seed: -1 is not allowed")


def test_python_objects_make_the_same_suite() -> None:
    objects = {
        "name": "x",
        "samples": np.int64(12),
        "models": ("ddpm-mnist",),
        "samplers": [{"id": "a", "sampler": "ddim", "eta": np.float32(0.5)}],
        "budgets": {"nfe": [np.int32(5)]},
    }
    text = (
        "name: x\nsamples: 12\nmodels: [ddpm-mnist]\nsamplers: [{id: a, sampler: ddim, eta: 0.5}]\nbudgets: {nfe: [5]}"
    )
    assert suite_from_objects(objects) == read_suite_text(text)


def nested(depth: int) -> dict:
    value: dict = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "change, message",
    [
        ({"seed": True}, "seed: true is not allowed; expected a whole number from 0"),
        ({"budgets": {"nfe": [5, 0]}}, "budgets.nfe[1]: 0 is not allowed"),
        ({"models": {"mine": 3}}, "models: a mapping is not allowed; expected a list"),
        ({"name": object()}, "name: an object of type object is not allowed"),
        ({"name": "a\0"}, "name: the character U+0000 is not allowed"),
        ({3: 4}, "3 can't be a key; keys are text"),
        ({"run": nested(5000)}, "nested more than 50 levels deep"),
        ({"seed": 10**5000}, "seed: a huge number is not allowed"),
        ({"timing": {"seconds": float("nan")}}, "timing.seconds: nan is not allowed; expected a number from 0"),
        ({"sead": 3}, 'sead: unknown key "sead"'),
    ],
)
def test_problems_of_python_objects_name_the_key(change: dict, message: str) -> None:
    objects = {"name": "x", "models": ["ddpm-mnist"], "samplers": ["ddim"], "budgets": {"nfe": [5]}, **change}
    with pytest.raises(SuiteError) as caught:
        suite_from_objects(objects)
    assert message in str(caught.value)
    assert not str(caught.value).startswith(":")


def test_suites_are_found_by_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quick.yaml").write_text(SHORT)
    monkeypatch.setattr(shipped, "suites", lambda: tmp_path)
    assert find_suite("quick") == tmp_path / "quick.yaml"
    assert find_suite("./other.yaml") == Path("./other.yaml")
    assert find_suite(Path("quick")) == Path("quick")
    with pytest.raises(UsageError, match=r'unknown suite "quik"; did you mean "quick"\? Known: quick'):
        find_suite("quik")


def test_a_model_that_has_gone_is_a_card_error(tmp_path: Path, models_folder: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text((models_folder / "ddpm-mnist" / "card.yaml").read_text())
    suite = suite_from_objects(
        {"name": "x", "models": [{"source": card}], "samplers": ["ddim"], "budgets": {"nfe": [5]}}
    )
    card.unlink()
    with pytest.raises(CardError):
        plan(suite)


def test_quickstart_is_what_a_newcomer_is_told() -> None:
    suite = read_suite(find_suite("quickstart"))
    assert suite.name == "quickstart"
    assert [model.id for model in suite.models] == ["ddpm-mnist", "score-vp-mnist", "ldm-mnist"]
    assert [sampler.id for sampler in suite.samplers] == ["ddim", "heun", "dpmpp-2m", "ddpm"]
    assert suite.budgets.nfe == (5, 10, 20, 50)
    assert (suite.samples.n, suite.run.keep.samples, suite.timing.seconds, suite.timing.batch_size) == (160, 160, 45, 8)
    assert [metric.name for metric in suite.metrics] == ["fid", "is", "kid"]
    cells = plan(suite)
    assert len({cell.id for cell in cells}) == len(cells) == 48
    assert not any(cell.skip or cell.same_as for cell in cells)


def test_suites_are_read_and_planned_without_torch() -> None:
    code = (
        "import sys, diffbench.suite.read, diffbench.suite.plan, diffbench.models.card\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'diffusers', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
