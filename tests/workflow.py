"""The README's gate, followed literally in a throw-away repository: what it says of a refactoring and of regressions.

    python tests/workflow.py [--samples 400] [--reports reports/regression]

Makes a repository with a checkpoint (a copy of ddpm-mnist), the README's sampler, suite, test and workflow, and its two
baselines, all as the README has them. Then, on a branch for each change, runs every ``run`` step of the workflow as
GitHub would, and prints the exit code of each. With ``--reports`` it keeps the comparison pages of one branch of each
kind. Needs an environment with diffbench and pytest, so that the workflow's ``pip install`` finds them there.
"""

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import yaml
from planted_regressions import checkpoint, eight_bits

README = Path(__file__).resolve().parents[1] / "README.md"


def block(marker):
    """The fenced block of the README that follows the line with ``marker``."""
    text = README.read_text(encoding="utf-8")
    (found,) = re.findall(re.escape(marker) + r".*?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return re.sub(r"\A```\w+\n", "", found)


def repository(folder, samples):
    """The repository, without baselines."""
    checkpoint("ddpm-mnist", folder / "checkpoint", lambda name, value: value)
    content = {
        "suite.yaml": block("# suite.yaml").replace("samples: 400", f"samples: {samples}"),
        "damped.py": block("# damped.py"),
        "test_samples.py": block("# test_samples.py").replace('"samples": 400', f'"samples": {samples}'),
        ".github/workflows/samples.yml": block("<!-- workflow -->"),
        ".gitignore": "samples/\nruns/\n__pycache__/\n.pytest_cache/\n",
    }
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def git(folder, *arguments):
    identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def shell(folder, command, **environment):
    """Exit code and output of a command, as a workflow's step runs it."""
    done = subprocess.run(
        ["bash", "-e", "-c", command], cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout + done.stderr


def workflow(folder):
    """Run the steps of the workflow: (command, exit code or None if it was left out, output) of each."""
    steps = yaml.safe_load((folder / ".github/workflows/samples.yml").read_text())["jobs"]["gate"]["steps"]
    done, failed = [], False
    for step in (step for step in steps if "run" in step):
        if failed and step.get("if") != "always()":
            done.append((step["run"], None, ""))
            continue
        code, text = shell(folder, step["run"], GITHUB_STEP_SUMMARY=str(folder / "samples" / "summary.md"), CI="true")
        failed = failed or code != 0
        done.append((step["run"], code, text))
    return done


def rewritten(folder):
    """Nothing changes: the sampler's formula written in another way, the weights in another order in their file."""
    source = (folder / "damped.py").read_text()
    one = "keep = 0.98 * grid.sigma[1:] / grid.sigma[:-1]"
    assert one in source
    (folder / "damped.py").write_text(source.replace(one, "keep = 0.98 / (grid.sigma[:-1] / grid.sigma[1:])"))
    replace_checkpoint(folder, lambda name, value: value.clone())


def rounded(folder):
    """The weights rounded to 4 bits."""
    replace_checkpoint(folder, partial(eight_bits, bits=4))


def more_damped(folder):
    """The sampler's coefficient 0.98 changed by 1%, the checkpoint as it was."""
    source = (folder / "damped.py").read_text()
    (folder / "damped.py").write_text(source.replace("0.98", "0.97"))


def replace_checkpoint(folder, change):
    shutil.rmtree(folder / "checkpoint")
    checkpoint("ddpm-mnist", folder / "checkpoint", change)


SETUP = [
    "diffbench run suite.yaml --out samples --no-compare",
    "diffbench baseline samples --out baseline.safetensors",
]
BRANCHES = {"refactoring": rewritten, "weights rounded to 4 bits": rounded, "a coefficient off by 1%": more_damped}
KEPT = {"refactoring": "refactoring", "weights rounded to 4 bits": "regression"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--reports", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "repository"
        repository(folder, arguments.samples)
        git(folder, "init")
        commands = [*SETUP, "pytest -q --diffbench-update"]
        for command in commands:
            code, text = shell(folder, command)
            print(f"{command}: exit {code}", *([text] if code else []), flush=True)
        shutil.rmtree(folder / "samples")
        git(folder, "add", "-A")
        git(folder, "commit", "-m", "A model, its sampler, and what its samples score")
        for name, change in BRANCHES.items():
            git(folder, "checkout", "-B", re.sub(r"\W+", "-", name), "main")
            change(folder)
            print(f"\n{name}:", flush=True)
            for command, code, text in workflow(folder):
                told = [line.strip() for line in text.splitlines() if re.search(r" worse, | passed| failed", line)]
                told = told or ([] if code == 0 else text.splitlines()[-2:])
                print(f"  {'left out' if code is None else f'exit {code}':9} {command}", flush=True)
                print(*(f"            {line[:110]}" for line in told[:2]), sep="\n") if told else None
            if arguments.reports and name in KEPT:
                kept = arguments.reports / KEPT[name]
                kept.mkdir(parents=True, exist_ok=True)
                for file in ("comparison.md", "comparison.html"):
                    shutil.copy(folder / "samples" / file, kept / file)
            git(folder, "checkout", "--force", "main")
            git(folder, "clean", "-fdx")


if __name__ == "__main__":
    main()
