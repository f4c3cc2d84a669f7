"""Names that would act on a terminal, spreadsheet, Markdown, LaTeX or path, through every command that prints them."""

import csv
import re
import unicodedata
from xml.etree import ElementTree

import pytest
from made_runs import made_run, noise

from diffbench.inert import csv_field, latex_entry, latex_text, markdown_text, printable, terminal_lines

HOSTILE = [
    "=cmd|' /C calc'!A0", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u202egnp.exe\u2066", "a|b`c`\n## d\r\n- e",
    "<img src=x onerror=alert(1)>", "\\input{/etc/passwd}", "1 ± \\input{/etc/passwd}", "[2ex] x", "@octocat",
    "../../../outside", "\r\x08\x08over", "$(touch x)`touch y`", "+1+1", "＝1+1", "\t=1+1", "x" * 300, "\x9b2J\x00",
    "[link](javascript:alert(1))", "</summary><script>1</script>", "::error::x", "--help", "\u2028\u2029\ufeff", "CON",
]  # fmt: skip
SAFE = {"\n"}


def acting(text):
    """Characters of a text that act on a terminal or turn its direction."""
    return {c for c in text if c not in SAFE and unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")}


@pytest.mark.parametrize("name", HOSTILE)
def test_each_format_shows_a_name_and_lets_it_do_nothing(name):
    assert not acting(printable(name)) and "\n" not in printable(name)
    assert not acting(terminal_lines(name))
    assert not re.match(r"\s*[=+\-@＝＋－＠]", csv_field(name)) and not acting(csv_field(name))
    markdown = markdown_text(name)
    assert not re.search(r"(?<!\\)[|`<*_\[\]#](?!!--)", markdown) and "@octocat" not in markdown
    for text in (latex_text(name), latex_entry(name, False), latex_entry(name, True)):
        assert "\\input" not in text and not text.startswith(("[", "*")) and not acting(text)
    if name.isascii() and name.isalnum():
        assert printable(name) == csv_field(name) == markdown == latex_text(name) == name


def test_numbers_stay_numbers():
    assert latex_entry("1.25 ± 0.03", False) == r"$1.25 \pm 0.03$"
    assert latex_entry("-1.2e-05 ± 3e-06", True) == r"$\mathbf{-1.2e-05 \pm 3e-06}$"
    assert (csv_field(-1.5), csv_field(None), csv_field("ddim")) == (-1.5, None, "ddim")


@pytest.fixture
def box(tmp_path, monkeypatch):
    """Two runs whose names are all hostile, in a box beside a file that must stay as it is."""
    (tmp_path / "outside").write_text("as it was")
    (tmp_path / "box").mkdir()
    monkeypatch.chdir(tmp_path / "box")
    for run, seed in (("base", 0), ("new", 50)):
        scores = {(name, name): noise(seed + i) + 9 for i, name in enumerate(HOSTILE)}
        scores |= {("why", name): f"failed: {name}" for name in HOSTILE}
        made_run(tmp_path / "box" / run, scores, started=f"2026-01-0{1 + seed // 50}T00:00:00+00:00")
        (tmp_path / "box" / run / "suite.yaml").write_text("name: x\n")
    return tmp_path / "box"


COMMANDS = [
    ("report", "base"),
    ("compare", "base", "new", "--all", "--markdown", "c.md", "--junit", "c.xml", "--gate", "fid"),
    ("compare", "base", "--by", "sampler"),
    ("history", "base", "new", "--out", "h"),
    ("history", "base", "new", "--out", "h", "--replicates", "[12x]*"),
    ("baseline", "base", "--out", "b.safetensors"),
    ("compare", "base", "new", "--json"),
    ("status", "base"),
    ("export", "base", "--out", "images"),
    ("merge", "merged", "base", "new"),
    ("cache", "why", "why/x/nfe=10"),
    ("cache", "gc", "base", "--dry-run"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command[:2]) for command in COMMANDS])
def test_commands_that_read_runs_print_and_write_inert_names(diffbench, box, monkeypatch, command):
    monkeypatch.chdir(box)
    code, out, err = diffbench(*command)
    assert code in (0, 1, 2, 3, 4) and "Traceback" not in err and "internal error" not in err, err
    assert not acting(out + err)
    assert (box.parent / "outside").read_text() == "as it was"
    assert {path.name for path in box.parent.iterdir()} == {"box", "outside"}
    for path in box.rglob("*.csv"):
        cells = [cell for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) for cell in row]
        texts = [cell for cell in cells if not re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", cell)]
        assert not [cell for cell in texts if re.match(r"\s*[=+\-@＝＋－＠]", cell)], path
        assert not acting("".join(cells)), path
    for path in box.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert not acting(text) and not re.search(r"(?<!\\)<(img|script)|@octocat", text), path
        widths = {re.sub(r"\\.", "", line).count("|") for line in text.splitlines() if line.startswith("| x")}
        assert len(widths) <= 2, path
    for path in box.rglob("*.tex"):
        text = path.read_text(encoding="utf-8")
        assert "\\input" not in text and not re.search(r"\\\\\n\s*[\[*]|rule\n\s*\[", text), path
    for path in box.rglob("*.xml"):
        assert len(list(ElementTree.parse(path).getroot())) > 10


WITH_NAME = [
    ("validate", "{}"), ("plan", "{}"), ("run", "{}"), ("status", "{}"), ("report", "{}"), ("compare", "{}", "x"),
    ("baseline", "{}", "--out", "b"), ("history", "{}"), ("merge", "out", "{}"), ("export", "{}", "--out", "o"),
    ("init", "{}"), ("check", "{}"), ("likelihood", "{}"), ("cache", "why", "{}"), ("cache", "gc", "{}"),
    ("list", "{}"), ("{}",), ("run", "quickstart", "--only", "sampler={}"), ("plan", "quickstart", "--set", "{}=1"),
    ("validate", "quickstart", "--set", "name={}"), ("compare", "x", "y", "--gate", "{}=1"), ("score", "{}"),
    ("validate", "quickstart", "--set", 'extends="{}"'),
]  # fmt: skip


@pytest.mark.parametrize("command", WITH_NAME, ids=[" ".join(command) for command in WITH_NAME])
def test_commands_that_are_given_such_a_name_end_in_inert_lines(diffbench, tmp_path, command):
    for name in HOSTILE:
        if "\x00" in name or name == "--help":
            continue
        code, out, err = diffbench(*(part.replace("{}", name) for part in command))
        assert code in (2, 3, 4) or (name, command[0]) == ("CON", "validate"), (name, out)
        assert "Traceback" not in err and "internal error" not in err, (name, err)
        assert not acting(out + err), (name, err)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_table_whose_cells_are_paths_is_refused(diffbench, tmp_path):
    from diffbench import results
    from diffbench.errors import StoreError

    row = {"suite": "x", "model": "m", "family": "ddpm", "sampler": "s", "options": "{}", "metric": "fid",
           "better": "lower", "status": "failed", "reason": "no"}  # fmt: skip
    for cell in ("../../x", "/etc", "a/b", "..", ".", "a\\b", "", "c:x", "x" * 200):
        with pytest.raises(StoreError, match="cell is"):
            results.frame([{**row, "cell": cell}])
    assert len(results.frame([{**row, "cell": "0123456789abcdef"}])) == 1
