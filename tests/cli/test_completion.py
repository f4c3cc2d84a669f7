"""What the shell is told for a half-typed command."""

import os
import subprocess
import sys

import pytest


def completed(words, folder, shell="bash"):
    """What click's script gets: (kind, value) for the last of ``words``."""
    code = "import sys; sys.argv = ['diffbench']; from diffbench.cli import main; main()"
    more = {"_DIFFBENCH_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **more}, cwd=folder, capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [tuple(line.split(",", 1)) for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path):
    for name in ("runs/first", "runs/second", "elsewhere/third", "elsewhere/not-a-run"):
        (tmp_path / name).mkdir(parents=True)
        if "not" not in name:
            (tmp_path / name / "suite.yaml").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "kind", "names"),
    [
        ("diffbench run qui", "file", ["quickstart"]),
        ("diffbench validate ./x", "file", []),
        ("diffbench check ddpm", "dir", ["ddpm-mnist"]),
        ("diffbench likelihood ldm-mnist score-v", "dir", ["score-ve-mnist", "score-vp-mnist"]),
        ("diffbench check ddpm-mnist --against ld", "dir", ["ldm-mnist"]),
        ("diffbench status r", "dir", ["runs/first", "runs/second"]),
        ("diffbench compare runs/first runs/s", "dir", ["runs/second"]),
        ("diffbench history runs/first elsewhere/", "dir", ["elsewhere/third"]),
        ("diffbench report elsewhere/n", "dir", []),
        ("diffbench score x.npy --extractor clip", None, ["clip-vitb32", "clip-vitl14-336"]),
        ("diffbench li", None, ["likelihood", "list"]),
    ],
)
def test_names_and_paths(folder, words, kind, names):
    found = completed(words, folder)
    assert [value for what, value in found if what == "plain"] == names
    assert {what for what, _ in found if what != "plain"} == ({kind} if kind else set())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_every_shell(folder, shell):
    code = "import sys; sys.argv = ['diffbench']; from diffbench.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "_DIFFBENCH_COMPLETE": f"{shell}_source"},
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0 and f"_DIFFBENCH_COMPLETE={shell}_complete" in done.stdout
