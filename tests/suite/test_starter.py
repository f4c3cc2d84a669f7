"""The suite that ``diffbench init`` writes: valid as it is, and with each of its examples switched on."""

import re

import jsonschema
import pytest
import tiny_pipelines
import yaml

from diffbench.models.find import load_card, shipped_models
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite_text
from diffbench.suite.schema import suite_schema
from diffbench.suite.starter import starter


def switched_on(text):
    """The text with each example switched on in turn, in place of what it would repeat."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if re.match(r"#(?! |$)|#  ", line) and not line.startswith("#   diffbench"):
            example = line[1:]
            key = re.match(r"\w+:", example)
            kept = [other for other in lines if not (key and other.startswith(key[0]))]
            place = min(index, len(kept))
            if key is None:
                kept[index] = example
            else:
                kept.insert(place, example)
            yield example, "\n".join(kept) + "\n"


@pytest.mark.parametrize("name", ["ddpm-mnist", "ldm-mnist", "score-vp-mnist"])
def test_a_starter_and_each_of_its_examples_is_a_valid_suite(name):
    text = starter(load_card(name), None, "./my-suite.yaml")
    assert text.startswith("# yaml-language-server: $schema=diffbench.schema.json\n")
    assert max(map(len, text.splitlines())) <= 120
    schema = jsonschema.Draft7Validator(suite_schema())
    cells = plan(read_suite_text("name: x\n" + text))
    assert len(cells) >= 16 and not any(cell.skip or cell.same_as for cell in cells)
    schema.validate(yaml.safe_load(text))
    examples = list(switched_on(text))
    assert len(examples) >= 11
    for example, changed in examples:
        changed = changed.replace("./checkpoint", str(load_card("ldm-mnist").directory))
        assert read_suite_text("name: x\n" + changed), example
        schema.validate(yaml.safe_load(changed))


def test_init_writes_once_and_prints_on_request(diffbench, tmp_path, models_folder):
    code, out, err = diffbench("init", "latent")
    assert (code, err) == (0, "") and "diffbench run my-suite.yaml --smoke" in out
    assert {path.name for path in tmp_path.iterdir()} == {"my-suite.yaml", "diffbench.schema.json"}
    written = (tmp_path / "my-suite.yaml").read_text()
    assert diffbench("validate", "my-suite.yaml")[0] == 0
    code, _, err = diffbench("init", "ddpm")
    assert code == 2 and err == "my-suite.yaml: exists; give --force to replace it, or another --out\n"
    assert (tmp_path / "my-suite.yaml").read_text() == written
    assert diffbench("init", "ddpm", "--force")[0] == 0
    assert "ddpm-mnist" in (tmp_path / "my-suite.yaml").read_text()
    code, out, _ = diffbench("init", "score-sde", "--out", "-")
    assert code == 0 and read_suite_text("name: x\n" + out).models[0].id == "score-vp-mnist"
    assert len(list(tmp_path.iterdir())) == 2


def test_init_takes_a_folder_relative_to_the_suite(diffbench, tmp_path, models_folder):
    (tmp_path / 'my "models": #1').symlink_to(models_folder)
    code, _, err = diffbench("init", './my "models": #1/ldm-mnist', "--out", "suites/own.yaml")
    assert code == 0, err
    assert (tmp_path / "suites" / "diffbench.schema.json").is_file()
    assert diffbench("validate", "suites/own.yaml")[0] == 0


@pytest.mark.parametrize("name", ["a\nb: [.yaml", "\udcff.yaml", "a b.yaml", "--x.yaml", "study", "\x1b[2J.yaml"])
def test_init_takes_any_file_name(diffbench, tmp_path, models_folder, name):
    code, out, err = diffbench("init", "ddpm", f"--out={name}")
    assert (code, err) == (0, "") and (tmp_path / name).is_file()
    text = (tmp_path / name).read_text()
    assert plan(read_suite_text("name: x\n" + text)) and "\x1b" not in text + out


def test_init_refuses_a_folder_that_no_suite_can_name(diffbench, tmp_path, models_folder):
    (tmp_path / "\x1b[2J").symlink_to(models_folder)
    (tmp_path / "real\x07").mkdir()
    (tmp_path / "real\x07" / "card.yaml").write_bytes((models_folder / "ddpm-mnist" / "card.yaml").read_bytes())
    assert diffbench("init", "./\x1b[2J/ddpm-mnist", "--out", "-")[0] == 0  # its real path is another
    code, out, err = diffbench("init", "./real\x07")
    assert (code, out) == (2, "") and "no suite can hold this path" in err and not (tmp_path / "my-suite.yaml").exists()


@pytest.mark.parametrize("wrong", ["dpm", "./nowhere", "a\nb"])
def test_init_for_nothing_that_is_there_writes_nothing(diffbench, tmp_path, wrong):
    code, out, err = diffbench("init", wrong)
    assert (code, out) == (2, "") and err.count("\n") == 1 and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_every_shipped_model_has_a_starter(diffbench, monkeypatch):
    monkeypatch.undo()
    for name in shipped_models():
        assert plan(read_suite_text("name: x\n" + starter(load_card(name), None, "s.yaml")))


def test_a_pipeline_is_asked_for_what_its_configs_do_not_say(diffbench, tmp_path):
    tiny_pipelines.dit(tmp_path / "dit")
    code, _, err = diffbench("init", "./dit")
    assert code == 2 and 'the key "ema" is missing' in err
    assert diffbench("init", "./dit", "--ema")[0] == 0
    text = (tmp_path / "my-suite.yaml").read_text()
    assert "card: {ema: true}, labels: balanced" in text
    assert diffbench("validate", "my-suite.yaml")[0] == 0
    (tmp_path / "dit" / "card.yaml").write_text("ema: true\n")
    code, out, _ = diffbench("show", "./dit")
    assert code == 0 and "models: [./dit]" in out
