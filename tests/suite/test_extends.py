"""``extends:``: what is merged, where errors point, and chains that end nowhere."""

from __future__ import annotations

import pytest

from diffbench.errors import SuiteError
from diffbench.suite.extends import MAX_FILES
from diffbench.suite.model_choice import ModelChoice
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite, read_suite_text, resolved, suite_from_objects

REST = "models: [ddpm-mnist]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n"
BASE = """\
name: base
seed: 3
models: [ddpm-mnist, {id: ours, source: ./ours}]
samplers: [ddim, heun]
budgets: {nfe: [5, 10]}
run: {batch_size: 32, keep: {samples: 4}}
compare: {baseline: main.safetensors, gates: {fid: 2%, kid: 1%}}
"""


@pytest.fixture
def folder(tmp_path, models_folder):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "ours").symlink_to(models_folder / "score-vp-mnist")
    (tmp_path / "shared" / "base.yaml").write_text(BASE)
    return tmp_path


def read(folder, text, name="own.yaml"):
    (folder / name).write_text(text)
    return read_suite(folder / name)


def lines(folder, text):
    with pytest.raises(SuiteError) as caught:
        read(folder, text)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_mappings_are_merged_key_by_key_and_all_else_is_replaced(folder):
    suite = read(
        folder,
        "extends: shared/base.yaml\nsamplers: [dpmpp-2m]\nrun: {keep: {samples: 9}}\n"
        "compare: {gates: {fid: 5%, is: 1%}}\nsamples: 7\n",
    )
    assert [sampler.id for sampler in suite.samplers] == ["dpmpp-2m"]
    assert [model.id for model in suite.models] == ["ddpm-mnist", "ours"]
    assert (suite.seed, suite.samples.n, suite.samples.shard) == (3, 7, 32)
    assert (suite.run.batch_size, suite.run.keep.samples) == (32, 9)
    assert suite.compare.gates == {"fid": "5%", "kid": "1%", "is": "1%"}
    assert len(plan(suite)) == 4
    assert "extends" not in resolved(suite) and read_suite_text(resolved(suite)) == suite


def test_null_takes_a_key_out(folder):
    text = "extends: shared/base.yaml\nbudgets: {nfe: null, steps: [3]}\ncompare: null\nseed: null\n"
    suite = read(folder, text)
    assert (suite.budgets.nfe, suite.budgets.steps, suite.compare, suite.seed) == ((), (3,), None, 0)
    assert lines(folder, "extends: shared/base.yaml\nsamples: null\n") == [
        "own.yaml:2:10: samples: null is not allowed; expected a whole number from 1 to 10000000"
    ]


def test_paths_mean_what_they_mean_in_their_file_and_the_name_is_the_files_own(folder):
    suite = read(folder, "extends: shared/base.yaml\n")
    assert suite.name == "own"
    assert suite.models[1].source == str(folder / "shared" / "ours")
    assert suite.compare.baseline == str(folder / "shared" / "main.safetensors")
    assert suite.models[1].read_card().directory == folder / "shared" / "ours"


def test_a_base_may_be_a_shipped_suite_and_may_extend_another(folder):
    read(folder, "extends: shared/base.yaml\nseed: 4\n", "middle.yaml")
    suite = read(folder, "extends: ./middle.yaml\nsamples: 6\n")
    assert (suite.seed, suite.samples.n, suite.models[1].source) == (4, 6, str(folder / "shared" / "ours"))
    assert len(plan(read(folder, "extends: quickstart\n"))) == 48


def test_errors_point_into_the_file_where_the_value_stands(folder):
    (folder / "shared" / "base.yaml").write_text(
        "name: no\nmodels: [ddpm-mnist, ./nowhere]\nsamplers: [{id: a, sampler: heun, s_chrn: 2}]\n"
        "budgets: {nfe: [0]}\nrun: {batch_size: 0}\nzzz: 1\n"
    )
    found = lines(folder, "extends: shared/base.yaml\nseeed: 1\nrun: {dtype: int8}\nbudgets: {step: [3]}\n")
    assert [line.split(": ")[0] for line in found] == [
        "own.yaml:2:1", "own.yaml:3:14", "own.yaml:4:11", "shared/base.yaml:1:7", "shared/base.yaml:2:22",
        "shared/base.yaml:3:35", "shared/base.yaml:4:17", "shared/base.yaml:5:19", "shared/base.yaml:6:1",
    ]  # fmt: skip
    assert 'did you mean "s_churn"?' in found[5] and "nowhere" in found[4]


def test_a_value_that_replaces_takes_the_errors_along(folder):
    (folder / "shared" / "base.yaml").write_text("models: [nope, nope]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n")
    assert len(lines(folder, "extends: shared/base.yaml\n")) == 2
    assert read(folder, "extends: shared/base.yaml\nmodels: [ddpm-mnist]\n").models[0].id == "ddpm-mnist"
    assert lines(folder, "extends: shared/base.yaml\nmodels: [{name: nope}]\n")[0].startswith(
        "own.yaml:2:17: models[0].name: "
    )


@pytest.mark.parametrize(
    ("text", "content", "expected"),
    [
        ("extends: own.yaml\n", "", "own.yaml:1:10: extends: \"own.yaml\" goes round in a circle"),
        ("seed: 1\nextends: b.yaml\n", "extends: ./own.yaml\n", "b.yaml:1:10: extends: \"./own.yaml\" goes round"),
        ("extends: b.yaml\n", "extends: no/b.yaml\n", 'b.yaml:1:10: extends: "no/b.yaml": no such file'),
        ("extends: b.yaml\n", "- 1\n", "b.yaml:1:1: expected a mapping of keys to values"),
        ("extends: b.yaml\n", "", "b.yaml:1:1: expected a mapping of keys to values"),
        ("extends: b.yaml\n", "seed: [\n", "b.yaml:2:1: not valid YAML"),
        ("extends: b.yaml\n", "seed: 1\nseed: 2\n" + REST, 'b.yaml:2:1: seed: the key "seed" is given twice'),
        ("extends: b.yaml\n", "seed: \0\n", "b.yaml:1:7: the character U+0000 is not allowed"),
        ("extends: b.yaml\n", "extends: 3\n" + REST, "b.yaml:1:10: extends: 3 is not allowed; expected the path"),
        ("extends: b.yaml\n", "a: &a [*a]\n" + REST, "b.yaml:1:8: a[0]: the alias *a is not allowed"),
        ("extends: quikstart\n", "", 'own.yaml:1:10: extends: unknown suite "quikstart"; did you mean "quickstart"? '),
    ],
)  # fmt: skip
def test_bases_that_can_not_be_read(folder, text, content, expected):
    (folder / "b.yaml").write_text(content)
    found = lines(folder, text)
    assert len([line for line in found if line.startswith(expected)]) == 1, found
    assert not any("is missing" in line for line in found[:1]), found


def test_a_chain_has_an_end(folder):
    for number in range(MAX_FILES + 1):
        (folder / f"{number}.yaml").write_text(f"extends: ./{number + 1}.yaml\n")
    (folder / f"{MAX_FILES - 1}.yaml").write_text(BASE.replace("./ours", "shared/ours"))
    assert read(folder, "extends: 1.yaml\n").seed == 3
    (found,) = lines(folder, "extends: 0.yaml\n")
    assert found.startswith(f"{MAX_FILES - 2}.yaml:1:10: extends: ") and f"more than {MAX_FILES} files" in found


def test_set_comes_after_and_can_not_extend(folder):
    (folder / "own.yaml").write_text("extends: shared/base.yaml\n")
    suite = read_suite(folder / "own.yaml", ("samplers.1=ddpm", "run.keep.samples=1"))
    assert ([sampler.id for sampler in suite.samplers], suite.run.keep.samples) == (["ddim", "ddpm"], 1)
    with pytest.raises(SuiteError, match="^--set extends: can't be set from outside"):
        read_suite(folder / "own.yaml", ("extends=quickstart",))
    with pytest.raises(SuiteError, match=r"^--set samplers\[0\]: unknown sampler"):
        read_suite(folder / "own.yaml", ("samplers.0=nope",))


def test_python_objects_extend_too(folder, monkeypatch):
    monkeypatch.chdir(folder)
    suite = suite_from_objects({"name": "x", "extends": "shared/base.yaml", "samples": 5})
    assert (suite.samples.n, suite.models[1].source) == (5, str(folder / "shared" / "ours"))
    (folder / "shared" / "base.yaml").write_text(BASE.replace("heun", "huen"))
    with pytest.raises(SuiteError) as caught:
        suite_from_objects({"name": "x", "extends": "shared/base.yaml", "seed": -1})
    first, second = str(caught.value).splitlines()
    assert first.startswith("shared/base.yaml:4:18: samplers[1]: unknown") and second.startswith("seed: -1 is not")


def test_a_file_of_prompts_lies_beside_the_base(tmp_path):
    anchored = ModelChoice.anchored({"source": "m", "prompts": "words.txt"}, tmp_path)
    assert anchored == {"source": str(tmp_path / "m"), "prompts": str(tmp_path / "words.txt")}
    assert ModelChoice.anchored({"name": "x", "prompts": ["a cat"]}, tmp_path) == {"name": "x", "prompts": ["a cat"]}


def test_a_published_suite_can_be_a_base(tmp_path):
    suite = read(tmp_path, "extends: published/ddpm-cifar10\nexpect: null\nsamples: 10\n")
    assert suite.samples.n == 10 and not suite.expect and len(suite.models) >= 1
