"""CONTRIBUTING.md, done: a sampler, a metric and a model in one file and one line each, from its own code blocks."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tiny_model import write_checkpoint

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def block(marker):
    """The fenced block whose first line is a comment that begins with ``marker``."""
    (found,) = re.findall(rf"^```\w+\n(# {re.escape(marker)}.*?\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return found


def copied_tree(folder):
    """The package and its tests, to be changed; data are shared."""
    for name in ("diffbench", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    for name in ("suites", "reference_models", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def add(folder, path):
    """Write the block of a whole file."""
    (folder / path).write_text(block(path), encoding="utf-8")


def add_to(folder, path, within):
    """Put the block's lines at the beginning of a tuple of the catalog."""
    lines = block(f"{path}, in {within}").partition("\n")[2]
    source = (folder / path).read_text(encoding="utf-8")
    assert source.count(f"\n{within} = (\n") == 1
    (folder / path).write_text(source.replace(f"\n{within} = (\n", f"\n{within} = (\n{lines}"), encoding="utf-8")


def python(folder, *arguments, path):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_sampler_and_a_metric_are_one_file_and_one_line_each(tmp_path):
    tree = copied_tree(tmp_path)
    add(tree, "diffbench/samplers/semi_implicit.py")
    add_to(tree, "diffbench/catalog/first_order.py", "ENTRIES")
    add(tree, "diffbench/scoring/fid_of_means.py")
    add_to(tree, "diffbench/catalog/metrics.py", "_METRICS")
    add(tree, "tests/scoring/test_fid_of_means.py")
    (command,) = re.findall(r"^python (-m pytest -q tests/laws/test_sampler_contract.py .*)$", PAGE, re.MULTILINE)
    laws, name = command.split()[3], command.split()[-1]
    chosen = ["-k", f"{name} or fid_of_means", laws, "tests/scoring/test_fid_of_means.py"]
    code, text = python(tree, "-m", "pytest", "-q", *chosen, path=[tree])
    assert code == 0 and int(re.search(r"(\d+) passed", text)[1]) >= 9, text[-2000:]
    suite = f"models: [ddpm-mnist]\nsamplers: [{name}]\nbudgets: {{nfe: [5]}}\nmetrics: [fid, fid_of_means]\n"
    (tree / "own.yaml").write_text(suite)
    assert python(tree, "-m", "diffbench", "validate", "./own.yaml", path=[tree]) == (0, "./own.yaml: fine; 1 cell\n")


def test_the_example_has_the_order_that_it_claims(tmp_path, monkeypatch):
    """Halving the steps halves the error, on a Gaussian, whose solution is known: x scales by sqrt(1 + sigma^2)."""
    import numpy as np
    import torch

    from diffbench.diffusion.grid import time_grid
    from diffbench.diffusion.schedule import schedule_from

    scope = {}
    exec(compile(block("diffbench/samplers/semi_implicit.py"), "semi_implicit.py", "exec"), scope)
    ve = schedule_from({"kind": "ve", "sigma_min": 0.02, "sigma_max": 20.0})
    errors = []
    for steps in (200, 400, 800):
        grid = time_grid(ve, steps, "log-snr", "sigma_min")
        plan = scope["SemiImplicitEuler"]().plan(grid, ve)
        x = torch.tensor(float(np.sqrt(1 + grid.sigma[0] ** 2)), dtype=torch.float64)
        for sigma, a, b in zip(plan.sigma, plan.x_weight, plan.denoised_weight, strict=True):
            x = a * x + b * x / (1 + sigma**2)
        errors.append(abs(float(x) - np.sqrt(1 + grid.sigma[-1] ** 2)))
    assert 1.9 < errors[0] / errors[1] < 2.1 and 1.95 < errors[1] / errors[2] < 2.05, errors


def test_a_package_adds_a_sampler_by_an_entry_point(tmp_path):
    """The package as pip would leave it: its module, and its entry points in a dist-info."""
    (tmp_path / "my_samplers.py").write_text(block("my_samplers.py"))
    project = tomllib.loads(block("pyproject.toml of the package"))["project"]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    code, text = python(tmp_path, "-m", "diffbench", "list", "samplers", "--json", path=[ROOT, tmp_path])
    assert code == 0 and "damped Euler" in text, text[-1000:]
    suite = "models: [ddpm-mnist]\nsamplers: [damped]\nbudgets: {nfe: [2]}\ntiming: {seconds: 0}\nmetrics: [is]\n"
    (tmp_path / "own.yaml").write_text(suite + "samples: 4\nrun: {batch_size: 4, device: cpu}\n")
    code, text = python(tmp_path, "-m", "diffbench", "run", "./own.yaml", "--json", "--quiet", path=[ROOT, tmp_path])
    assert code == 0, text[-1000:]
    rows = json.loads(text.splitlines()[0])
    assert [(row["sampler"], row["nfe"]) for row in rows if row["metric"] == "is"] == [("damped", 2.0)]
    code, text = python(tmp_path, "-m", "diffbench", "schema", path=[ROOT, tmp_path])
    assert code == 0 and '"damped"' in text


def test_a_model_is_a_card_and_a_line_of_a_suite(diffbench, tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    (checkpoint / "card.yaml").unlink()
    card = re.sub(
        r"<sha256sum (\S+)>", lambda m: hashlib.sha256((checkpoint / m[1]).read_bytes()).hexdigest(),
        block("checkpoint/card.yaml"),
    )  # fmt: skip
    (checkpoint / "card.yaml").write_text(card)
    (tmp_path / "ours.yaml").write_text(block("ours.yaml"))
    assert diffbench("validate", "ours.yaml")[:2] == (0, "ours.yaml: fine; 1 cell\n")
    code, out, err = diffbench("run", "ours.yaml", "--smoke", "--set", "timing.seconds=0", "--device", "cpu", "--quiet")
    assert code == 0 and "ours" in out and "ddim" in out, err
