"""Changes every coefficient of every sampler, one at a time, and checks that a law fails.

    python tests/laws/mutate_samplers.py [diffbench/samplers/NAME.py ...]

A mutant is one number made another, one + made - or the reverse, one * made / or the reverse, one power made a product,
one minus sign left out, in the source of a sampler. Each runs the sampler laws in a process of its own until one fails.
Prints the mutants that no law notices, and the counts. Exits with 1 if one of them is not listed in EQUIVALENT below.
"""

import ast
import copy
import importlib.machinery
import os
import resource
import sys
from pathlib import Path

import numpy  # noqa: F401  (what every mutant needs is imported once, before the fork)
import pytest
import scipy.integrate  # noqa: F401
import torch

import diffbench.diffusion.analytic
import diffbench.suite.identity  # noqa: F401
from diffbench.catalog import SAMPLERS

ROOT = Path(__file__).resolve().parents[2]
# Those that find most come first, those that take long last.
QUICK = [f"laws/test_{name}.py" for name in ("sampler_values", "gaussian_moments", "sampler_moments")]
QUICK += [f"laws/test_{name}.py" for name in ("score_sde_samplers", "learned_variance", "sampler_covariance")]
SLOW = [f"laws/test_{name}.py" for name in ("sampler_contract", "sampler_orders")]
OWN = {
    "restart": ["laws/test_restart.py"],
    "runge_kutta": ["laws/test_adaptive_samplers.py"],
    "dpm_adaptive": ["laws/test_adaptive_samplers.py"],
    "brownian": ["diffusion/test_brownian.py"],
    "likelihood": ["diffusion/test_likelihood.py", "laws/test_likelihood.py"],
}
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}

# Mutants that change nothing, as they are printed, with the reason.
EQUIVALENT = {
    "predictor_corrector.py: PredictorCorrector.plan: alpha = np.ones_like(q) if np.all(grid.scale == 2) else q ** 2": (
        "where all scales are 1, q is 1"
    ),
    "moments.py: module: _POINTS, _SHARES = np.polynomial.legendre.leggauss(49)": "as exact, to rounding",
    "moments.py: noise_moments: return moments_in(lambda level: +np.log(level), sigma, target, count)": (
        "a share is the same in a variable and in its negative"
    ),
    "adams.py: DEIS.plan: plan = empty_plan(grid, self.degree + 2)": "a weight of zero more",
    "singlestep.py: Singlestep.step: own = x_weight != 2": "x times one is a copy of x",
    "singlestep.py: Singlestep.plan: ends = (*shares[1:], 1.0) if stages[i] > 1 else (1.11,)": "0 to any power is 0",
    "exponential.py: UniPC.plan: plan = empty_plan(grid, self.order + 2, corrector=True)": "a weight of zero more",
    "exponential.py: shares: return [0.01 for _ in indices]": "a constant has the same integral wherever its node lies",
    "multistep.py: MultistepSampler.step: if plan.x_weight[i] != 2:": "x times one is a copy of x",
    "runge_kutta.py: module: MOST_TRIES = 5001": "a bound on a loop that should not come near it",
    "runge_kutta.py: _first_step: signed = guess / np.sign(end - begin)": "a sign is its own inverse",
    "runge_kutta.py: solve_rk45: moved = moved - 0 * apart": "minus zero",
    "likelihood.py: module: FIRST_STEPS, MOST_STEPS = (16, 513)": "the next count of steps above 256 is 512 still",
    "runge_kutta.py: module: STAGES = (0.01, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)": "the first stage is the step's start",
}


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
    """A copy of ``tree`` with the ``index``-th node changed, and the statement that it is in: ``where: statement``."""
    tree = copy.deepcopy(tree)
    node = list(ast.walk(tree))[index]
    if isinstance(node, ast.Constant):
        node.value = node.value + 1 if isinstance(node.value, int) else node.value * 1.1 + 0.01
    elif isinstance(node, ast.BinOp):
        node.op = OPERATORS[type(node.op)]()
    else:
        node.op = ast.UAdd()
    within = [parent for parent in ast.walk(tree) if any(child is node for child in ast.walk(parent))]
    names = [parent.name for parent in within if isinstance(parent, ast.ClassDef | ast.FunctionDef)]
    statement = [parent for parent in within if isinstance(parent, ast.stmt)][-1]
    said = ast.unparse(statement).splitlines()[0]
    return ast.fix_missing_locations(tree), f"{'.'.join(names) or 'module'}: {said}"


def concerning(path):
    """Pytest's selection of the laws on samplers made in this module; of all where others build on it."""
    module = f"diffbench.samplers.{path.stem}"
    names = [entry.name for entry in SAMPLERS.values() if entry.target.partition(":")[0] == module]
    shared = path.stem in ("ddim", "linear", "integrate", "moments", "multistep")
    names += ["brownian"] if path.stem == "brownian" else []
    return [] if shared else ["-k", " or ".join([*names, "own_defaults"])]


def noticed(path, tree, limit):
    """Whether a law fails, or takes over ``limit`` s of CPU, when the module at ``path`` is ``tree``; and its time."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        code = compile(tree, str(path), "exec")
        original = importlib.machinery.SourceFileLoader.get_code
        importlib.machinery.SourceFileLoader.get_code = lambda loader, name: (
            code if Path(loader.path).resolve() == path else original(loader, name)
        )
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1), os.dup2(silence, 2)
        options = ["-x", "-q", "-p", "no:cacheprovider"]
        first, then = ([f"tests/{name}" for name in names] for names in (OWN.get(path.stem, QUICK), SLOW))
        os._exit(int(pytest.main([*options, *first]) or pytest.main([*options, *then, *concerning(path)])))
    _, status, usage = os.wait4(child, 0)
    return status != 0, usage.ru_utime + usage.ru_stime


def main(paths):
    torch.set_num_threads(1)
    os.chdir(ROOT)
    total, unnoticed, unknown = 0, 0, 0
    for path in paths:
        tree = ast.parse(path.read_text())
        failed, seconds = noticed(path, tree, 600)
        if failed:
            raise SystemExit(f"{path}: the laws fail before anything is changed")
        limit = int(2 * seconds) + 5  # some mutants never end
        for index in places(tree):
            changed, where = mutated(tree, index)
            what = f"{path.name}: {where}"
            total += 1
            if not noticed(path, changed, limit)[0]:
                unnoticed += 1
                unknown += what not in EQUIVALENT
                print(
                    what if what not in EQUIVALENT else f"{what}\n    nothing changes: {EQUIVALENT[what]}", flush=True
                )
        print(f"{path.name}: {total} mutants so far, {unnoticed} unnoticed, {unknown} of them unknown", flush=True)
    return 1 if unknown else 0


if __name__ == "__main__":
    given = [Path(name).resolve() for name in sys.argv[1:]]
    every = [p for p in sorted((ROOT / "diffbench/samplers").glob("*.py")) if p.name != "__init__.py"]
    others = [ROOT / "diffbench/diffusion" / name for name in ("brownian.py", "likelihood.py")]
    sys.exit(main(given or [*every, *others]))
