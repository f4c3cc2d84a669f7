"""suites/README.md and suites/three-questions.py: complete, and true."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from diffbench import shipped
from diffbench.document.words import keys_of
from diffbench.suite import schema, spec
from diffbench.suite.plan import plan
from diffbench.suite.read import find_suite, read_suite, read_suite_text
from diffbench.suite.solution import solutions_of

FOLDER = Path(__file__).resolve().parents[1] / "suites"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
LANGUAGE = PAGE[PAGE.index("## The language") :]


def paragraph(key):
    (found,) = re.findall(rf"^\*\*{key}\*\*[ :].*?(?=^\*\*|^##|^```)", LANGUAGE, re.MULTILINE | re.DOTALL)
    return found


def test_every_key_of_the_language_is_mentioned():
    table = set(re.findall(r"^\| `(\w+)` \|", LANGUAGE, re.MULTILINE))
    assert table - {"expect"} == set(keys_of(spec.Suite)) - {"expect"}
    for model in schema.CLASSES:
        for key in keys_of(model):
            assert f"`{key}`" in LANGUAGE or f"`{{{key}:" in LANGUAGE or f"**{key}**" in LANGUAGE, (model.__name__, key)


def test_every_part_has_a_paragraph_with_its_keys():
    parts = {"run": spec.RunSettings, "timing": spec.Timing, "compare": schema.Comparing, "samples": spec.Samples}
    parts |= {"budgets": spec.Budgets, "models": schema.ModelChoice, "samplers": schema.SamplerChoice}
    for key, model in parts.items():
        for name in keys_of(model):
            assert f"`{name}`" in paragraph(key), (key, name)


def test_every_shipped_suite_stands_in_the_table_with_its_cells():
    rows = {name: (cells, evals) for name, cells, evals in re.findall(
        r"^\| \[(\w+)\]\(\w+\.yaml\) \|.*\| ([\d,]+) \| ([\d,]+|\d+ million) \|", PAGE, re.MULTILINE)}  # fmt: skip
    assert set(rows) == {path.stem for path in shipped.suites().glob("*.yaml")}
    for name, (cells, evaluations) in rows.items():
        planned = plan(read_suite(find_suite(name)))
        assert len(planned) == int(cells)
        sampled = [c for c in [*planned, *solutions_of(planned)] if c.nfe and not c.skip and not c.same_as]
        spent = sum(cell.n * cell.nfe for cell in sampled)
        exact = int(evaluations.replace(",", "")) if "," in evaluations else None
        assert spent == exact or round(spent / 1e6) == int(evaluations.split()[0])


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (FOLDER / link).exists(), link


def test_its_examples_are_valid():
    head = "name: x\nmodels: [ddpm-mnist]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n"
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        own = yaml.safe_load(block) or {}
        text = re.sub("|".join(rf"^{key}:.*\n" for key in own) or "^$", "", head, flags=re.MULTILINE)
        text = head.partition("models")[0] if "extends" in own else text
        assert plan(read_suite_text(text + block.replace("./study.yaml", "quickstart")))


def test_the_three_questions_are_answered(tmp_path, monkeypatch, capsys):
    text = (FOLDER / "three-questions.py").read_text(encoding="utf-8")
    assert text.count("\n# %%") == 4
    for old, new in (
        ("SAMPLES = 1000", "SAMPLES = 8"), ('"seconds": 30', '"seconds": 0'), ('["ddim", "heun", "dpmpp-2m", "unipc"]',
        '["ddim", "dpmpp-2m"]'), ('{"nfe": [5, 10]}', '{"nfe": [10]}'),
    ):  # fmt: skip
        assert text.count(old) == 1
        text = text.replace(old, new)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["three-questions.py"])
    exec(compile(text, "three-questions.py", "exec"), {"__name__": "__main__"})
    out = capsys.readouterr().out
    assert re.search(r"^score-vp-mnist · nfe 10: \S+", out, re.MULTILINE)
    assert "the gate says: " in out and "INCONCLUSIVE" in out
    printed = re.findall(r"^runs/three-questions/\S+$", out, re.MULTILINE)
    assert {Path(path).suffix for path in printed} == {".pdf", ".tex"} and len(printed) >= 4
    assert all((tmp_path / path).is_file() for path in [*printed, "runs/three-questions/report.html"])


@pytest.mark.parametrize("suite", ["quickstart", "convergence", "families"])
def test_a_shipped_suite_says_how_to_run_it(suite):
    assert f"diffbench run {suite}" in find_suite(suite).read_text()
