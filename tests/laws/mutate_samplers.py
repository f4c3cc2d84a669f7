"""Changes every coefficient of every sampler, one at a time, and checks that a law fails.

    python tests/laws/mutate_samplers.py [diffbench/samplers/NAME.py ...]

A mutant is one number made another, one + made - or the reverse, one * made / or the reverse, one power made a product,
one minus sign left out, in the source of a sampler. Each runs the sampler laws in a process of its own until one fails.
Prints the mutants that no law notices, and the counts.
"""

import ast
import copy
import importlib.machinery
import os
import sys
import time
from pathlib import Path

import numpy  # noqa: F401  (what every mutant needs is imported once, before the fork)
import pytest
import scipy.integrate  # noqa: F401
import torch

import diffbench.diffusion.analytic
import diffbench.suite.identity  # noqa: F401
from diffbench.catalog import SAMPLERS

ROOT = Path(__file__).resolve().parents[2]
QUICK = [f"tests/laws/test_{name}.py" for name in ("sampler_moments", "score_sde_samplers", "learned_variance")]
LAWS = [f"tests/laws/test_{name}.py" for name in ("sampler_covariance", "sampler_orders", "sampler_contract")]
LIMIT = 180  # seconds, for mutants that never end
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}


def places(tree):
    """Indices, in ``ast.walk`` order, of what can be changed."""
    annotations = set()
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                annotations.update(id(inner) for inner in ast.walk(getattr(node, name)))
    for index, node in enumerate(ast.walk(tree)):
        if id(node) in annotations:
            continue
        number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        operation = isinstance(node, ast.BinOp) and type(node.op) in OPERATORS
        if number or operation or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)):
            yield index


def mutated(tree, index):
    """A copy of ``tree`` with the ``index``-th node changed, and what was done."""
    tree = copy.deepcopy(tree)
    node = list(ast.walk(tree))[index]
    before = ast.unparse(node)
    if isinstance(node, ast.Constant):
        node.value = node.value + 1 if isinstance(node.value, int) else node.value * 1.1 + 0.01
    elif isinstance(node, ast.BinOp):
        node.op = OPERATORS[type(node.op)]()
    else:
        node.op = ast.UAdd()
    return ast.fix_missing_locations(tree), f"{node.lineno}: {before}  ->  {ast.unparse(node)}"


def concerning(path):
    """Pytest's selection of the laws on samplers made in this module; of all where others build on it."""
    module = f"diffbench.samplers.{path.stem}"
    names = [entry.name for entry in SAMPLERS.values() if entry.target.partition(":")[0] == module]
    shared = path.stem in ("ddim", "linear", "integrate", "moments", "multistep")
    return [] if shared or not names else ["-k", " or ".join([*names, "own_defaults"])]


def noticed(path, tree):
    """Whether a law fails when the module at ``path`` is ``tree``."""
    child = os.fork()
    if child == 0:
        code = compile(tree, str(path), "exec")
        original = importlib.machinery.SourceFileLoader.get_code
        importlib.machinery.SourceFileLoader.get_code = lambda loader, name: (
            code if Path(loader.path).resolve() == path else original(loader, name)
        )
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1), os.dup2(silence, 2)
        options = ["-x", "-q", "-p", "no:cacheprovider"]
        os._exit(int(pytest.main([*options, *QUICK]) or pytest.main([*options, *LAWS, *concerning(path)])))
    begin = time.monotonic()
    while time.monotonic() - begin < LIMIT:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return True


def main(paths):
    torch.set_num_threads(1)
    os.chdir(ROOT)
    total, unnoticed = 0, 0
    for path in paths:
        tree = ast.parse(path.read_text())
        if noticed(path, tree):
            raise SystemExit(f"{path}: the laws fail before anything is changed")
        for index in places(tree):
            changed, what = mutated(tree, index)
            total += 1
            if not noticed(path, changed):
                unnoticed += 1
                print(f"{path.name}:{what}", flush=True)
        print(f"{path.name}: {total} mutants so far, {unnoticed} unnoticed", flush=True)


if __name__ == "__main__":
    given = [Path(name).resolve() for name in sys.argv[1:]]
    main(given or [p for p in sorted((ROOT / "diffbench/samplers").glob("*.py")) if p.name not in ("__init__.py",)])
