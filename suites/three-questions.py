"""The three questions that diffbench answers, from nothing to a figure: run it, or its cells in an editor.

    python suites/three-questions.py

Some minutes on two CPU cores; SAMPLES says how closely you look.
"""

# %% A suite: one model, four samplers, two budgets. A checkpoint of yours is {"id": "ours", "source": "./checkpoint"}.
from pathlib import Path

import diffbench
from diffbench.comparison.ranking import rank
from diffbench.comparison.side import RunSide

SAMPLES = 1000
suite = {
    "name": "three-questions",
    "samples": SAMPLES,
    "models": ["score-vp-mnist"],
    "samplers": ["ddim", "heun", "dpmpp-2m", "unipc"],
    "budgets": {"nfe": [5, 10]},
    "metrics": ["fid", "kid"],
    "timing": {"seconds": 30, "batch_size": 8},
}

# %% 1. Which sampler at 10 evaluations? The same call goes on where an interrupted one stopped.
results = diffbench.run(suite, "runs/three-questions")
table = results.frame
at_ten = table[(table.metric == "fid") & (table.budget == 10)].sort_values("value")
print(at_ten[["sampler", "nfe", "value", "ci_low", "ci_high"]].to_string(index=False))

# Sample i of every cell starts from the same noise: pairs tell more than intervals do. The true best is among those
# that no other sampler beats, with a chance of 95%.
for group in rank(RunSide.open(results.folder), "fid", by="sampler"):
    best = [rival.name for rival in group.rivals if rival.among_best]
    print(f"{group.group}: {' or '.join(best)}")

# %% 2. Did my change make it worse? Here: the denoised estimate is clamped. Yours may be other weights, or other code.
clamped = {"name": "score-vp-mnist", "clip": [-1, 1]}
changed = diffbench.run({**suite, "models": [clamped]}, "runs/three-questions-clamped")
verdict = diffbench.compare(results, changed, gates={"fid": "2%", "nfe": "exact"})
print(f"the gate says: {verdict.gate}")
print(verdict.frame[["sampler", "budget", "metric", "base", "new", "verdict"]].to_string(index=False))

# %% 3. A figure and a table for the report, each drawn from the run folder, with the numbers behind it as CSV.
page = results.report()
for path in sorted(Path(results.folder).glob("figures/*.pdf")) + sorted(Path(results.folder).glob("tables/*.tex")):
    print(path)
print(f"everything on one page: {page}")
