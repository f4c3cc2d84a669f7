"""Suite files that are wrong as bytes, by an editor or on purpose: through the command line, one line each, exit 2."""

from __future__ import annotations

import pytest
from bad_suites import CASES, marked_place

REST = "models: [ddpm-mnist]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n"
BILLION = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))

# Content, line:column, a part of the message.
FILES = [
    (b"", "1:1", "the file is empty"),
    (b"\xef\xbb\xbf", "1:1", "the file is empty"),
    (REST.encode("utf-16"), "1:1", "not UTF-8: byte 0xFF; it looks like UTF-16: save it as UTF-8"),
    (REST.encode("utf-16-be"), "1:1", "U+0000 is not allowed"),
    (b"\xfe\xff" + REST.encode("utf-16-be"), "1:1", "it looks like UTF-16"),
    (REST.encode("utf-32"), "1:1", "it looks like UTF-16"),
    (REST.encode() + "# é\n".encode("latin-1"), "4:3", "not UTF-8: byte 0xE9"),
    (REST.encode() + b"seed: \xed\xa0\x80\n", "4:7", "not UTF-8: byte 0xED"),
    (REST.encode() + b"seed: \xf4\x90\x80\x80\n", "4:7", "not UTF-8: byte 0xF4"),
    (REST.encode() + b"seed: \xc0\x80\n", "4:7", "not UTF-8: byte 0xC0"),
    (REST.encode() + b"seed: 1\xff", "4:8", "not UTF-8: byte 0xFF"),
    (REST.replace("\n", "\r\n").encode() + b"seed: -1\r\n", "4:7", "seed: -1 is not allowed"),
    (REST.replace("\n", "\r").encode() + b"seed: -1\r", "4:7", "seed: -1 is not allowed"),
    (REST.encode() + b"\tseed: 1\n", "4:1", "not valid YAML"),
    (REST.encode() + b"run:\n\tdevice: cpu\n", "5:1", "not valid YAML"),
    (REST.encode() + b"run: {device:\tgpu}\n", "4:14", "not valid YAML"),
    (REST.encode() + b"seed: 1 \x00\n", "4:9", "U+0000"),
    (REST.encode() + b"seed: \x1b[31m1\n", "4:7", "U+001B"),
    (REST.encode() + "sеed: 1\n".encode(), "4:1", 'unknown key "sеed"'),  # a Cyrillic e
    (REST.encode() + "\u202eseed: 1\n".encode(), "4:1", 'unknown key "\\u202eseed"'),
    (REST.encode() + "se\u0301ed: 1\ns\u00e9ed: 1\n".encode(), "4:1", "unknown key"),
    (REST.encode() + "name: re\u0301sume\u0301\n".encode(), "4:7", "is not allowed; expected a name"),
    (REST.encode() + "name: ﬁd\n".encode(), "4:7", "is not allowed; expected a name"),
    (REST.encode() + b"SEED: 1\n", "4:1", 'unknown key "SEED"'),
    (REST.encode() + b"seed: " + b"9" * 5000 + b"\n", "4:7", "more than 18 digits"),
    (REST.encode() + b"seed: 1e5000\n", "4:7", "too large for a number"),
    (REST.encode() + b"seed: 1_0\n", "4:7", "underscores"),
    (REST.encode() + b"seed: 0b11\n", "4:7", "octal or hexadecimal"),
    (REST.encode() + b"seed: 0o17\n", "4:7", "octal or hexadecimal"),
    (REST.encode() + b"timing: {seconds: 1:30}\n", "4:19", "base 60"),
    (REST.encode() + b"timing: {seconds: 1:30.5}\n", "4:19", "base 60"),
    (REST.encode() + b"seed: 2024-01-02\n", "4:7", '"2024-01-02" is not allowed'),
    (REST.encode() + b"samples: 1e3\n", "4:10", "1000.0 is not allowed; expected a whole number"),
    (REST.encode() + b"include: " + b"[" * 3000 + b"\n", "4:59", "nested more than 50 levels"),
    (REST.encode() + b"run:\n" + b"".join(b" " * i + b"a:\n" for i in range(1, 300)), "54:51", "nested more than 50"),
    (REST.encode() + b"run: " + b"{a: " * 3000, "4:202", "nested more than 50 levels"),
    (REST.encode() + b"include: [" + b"1," * 400_000 + b"]\n", "4:99983", "more than 50000 values"),
    (REST.encode() + b"#" * 1_000_000, "1:1", "larger than 1000000 bytes"),
    (BILLION.encode() + REST.encode(), "2:8", "the alias *a is not allowed"),
    (REST.encode() + b"run: &r\n  keep: *r\n", "5:9", "the alias *r is not allowed"),
    (REST.encode() + b"run: *nowhere\n", "4:6", "the alias *nowhere is not allowed"),
    (REST.encode() + b"run: !!python/object/new:os.system [id]\n", "4:6", "the tag"),
    (REST.encode() + b"run: !<tag:yaml.org,2002:python/name:os.system> x\n", "4:6", "the tag"),
    (REST.encode() + b"run: !function x.y\n", "4:6", "the tag"),
    (REST.encode() + b"seed: !!int 3\n", "4:7", "the tag"),
    (REST.encode() + b"seed: !!binary aGk=\n", "4:7", "the tag"),
    (b"%TAG ! tag:x,2000:\n---\n" + REST.encode() + b"seed: !y 3\n", "6:7", "the tag"),
    (b"%YAML 3.0\n---\n" + REST.encode(), "1:1", "not valid YAML"),
    (REST.encode() + b"...\n---\nseed: 1\n", "5:1", "a second document begins here"),
    (REST.encode() + b"? [a]\n: 1\n", "4:3", "can't be a key"),
    (REST.encode() + b"? {a: 1}\n: 1\n", "4:3", "can't be a key"),
    (REST.encode() + b"null: 1\n", "4:1", "null can't be a key"),
    (REST.encode() + b"2024: 1\n", "4:1", "2024 can't be a key"),
    (REST.encode() + b"yes: 1\n", "4:1", "yes is true or false"),
    (REST.encode() + b"y: 1\n", "4:1", 'unknown key "y"'),
    (REST.encode() + b"seed: |\n  1\n", "4:7", '"1\\n" is not allowed'),
    (REST.encode() + b"seed: 'a\n", "5:1", "not valid YAML"),
    (REST.encode() + b'name: "\\ud83d"\n', "4:7", "U+D83D is not allowed"),
    (REST.encode() + b'name: "\\x07"\n', "4:7", "U+0007 is not allowed"),
    (REST.encode() + b'name: "\\q"\n', "4:9", "not valid YAML"),
    (REST.encode() + b"name: @x\n", "4:7", "not valid YAML"),
    (REST.encode() + b"name: `x`\n", "4:7", "not valid YAML"),
    (REST.encode() + b"name: a: b\n", "4:8", "not valid YAML"),
    (REST.encode() + b"- x\n", "4:1", "not valid YAML"),
    (b'{"models": ["ddpm-mnist"], "samplers": ["ddim"], "budgets": {"nfe": [0]}}', "1:70", "budgets.nfe[0]: 0"),
    (b"models: [ddpm-mnist]\nsamplers:\n  - {id: A, sampler: ddim}\n  - {id: a, sampler: heun}\nbudgets: {nfe: [5]}\n",
     "4:10", '"a" is the name of samplers[0] already (case does not count)'),
]  # fmt: skip


@pytest.mark.parametrize(("content", "place", "said"), FILES, ids=map(str, range(len(FILES))))
def test_a_bad_file_is_one_line_and_exit_2(diffbench, tmp_path, content, place, said):
    (tmp_path / "s.yaml").write_bytes(content)
    code, out, err = diffbench("validate", "s.yaml")
    assert (code, out) == (2, "")
    first = [line for line in err.splitlines() if line.startswith(f"s.yaml:{place}: ")]
    assert len(first) == 1 and said in first[0], err[:500]
    assert all(line.startswith("s.yaml:") for line in err.splitlines())
    assert "Traceback" not in err and err.isprintable() is False and all(len(line) < 600 for line in err.splitlines())


@pytest.mark.parametrize("command", [("run",), ("plan", "--json")])
def test_every_bad_suite_of_the_table_ends_every_command_with_exit_2(diffbench, tmp_path, command):
    for marked, fragments in CASES[:: 7 if command == ("run",) else 5]:
        text, _ = marked_place(marked)
        if '"name" is missing' in " ".join(fragments):  # a file has a name
            continue
        (tmp_path / "s.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        code, out, err = diffbench(command[0], "s.yaml", *command[1:])
        assert (code, out, err.count("\n")) == (2, "", 1), (text, err)
        assert "\ud800" in text or all(fragment in err for fragment in fragments)
    assert {path.name for path in tmp_path.iterdir()} == {"s.yaml"}


def test_sweeps_that_only_fail_together_are_told_where_they_stand(diffbench, tmp_path):
    sampler = "{id: a, sampler: heun, s_churn: 1, sweep: {s_min: [0, 5], s_max: [9, 1]}}"
    (tmp_path / "s.yaml").write_text(REST.replace("[ddim]", f"[{sampler}]"))
    code, _, err = diffbench("validate", "s.yaml")
    assert code == 2 and err.startswith("s.yaml:2:54: samplers[0].sweep: s_min=5, s_max=1: s_min must not be above"), (
        err
    )


def test_there_are_enough(told):
    told(f"{len(FILES)} bad files: one line each, exit code 2")
    assert len(FILES) + len([case for case in CASES if "§" in case[0]]) >= 250
