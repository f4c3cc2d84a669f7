"""The short form of ``workflow.py``: the README's suite, test and workflow are what the commands take."""

import yaml
from workflow import README, block, repository

from diffbench.cli import cli
from diffbench.cli.run import run


def test_the_readmes_gate_is_valid(diffbench, tmp_path, monkeypatch):
    repository(tmp_path / "repository", 400)
    monkeypatch.chdir(tmp_path / "repository")
    code, out, err = diffbench("validate", "suite.yaml")
    assert code == 0 and "2 cells" in out, err
    code, _, err = diffbench("run", "suite.yaml", "--out", "samples", "--quiet")
    assert code == 4 and "baseline.safetensors: no baseline there" in err and not (tmp_path / "samples").exists()
    compile(block("# test_samples.py"), "test_samples.py", "exec")
    compile(block("# damped.py"), "damped.py", "exec")


def test_the_workflows_steps_are_commands_of_ours():
    (job,) = yaml.safe_load(block("<!-- workflow -->"))["jobs"].values()
    commands = [step["run"].split() for step in job["steps"] if step.get("run", "").startswith("diffbench ")]
    assert [command[1] for command in commands] == ["run"]
    known = {option for parameter in run.params for option in parameter.opts}
    assert {word for command in commands for word in command if word.startswith("--")} <= known
    setup = [line.split() for line in README.read_text().splitlines() if line.startswith("diffbench baseline ")]
    assert setup and all(command[1] in cli.commands for command in setup)
