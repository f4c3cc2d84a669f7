"""A commented suite to begin with, for one model.

Lines that begin with ``#`` and a space are prose; without the space they are YAML to be switched on.
"""

from __future__ import annotations

import json
from string import Template

from diffbench.models.card import Card

SCHEMA_FILE = "diffbench.schema.json"

_HEAD = """\
# yaml-language-server: $$schema=$schema
#
# Samplers on ${name}: quality against cost. By the line above, an editor with a YAML language server
# completes keys and shows what they mean. Lines that begin with # and no space are examples to switch on.
#
#   diffbench validate $file          # every mistake as file:line:column
#   diffbench run $file --smoke       # a tiny version: does it all work?
#   diffbench plan $file              # what a run will do: cells, evaluations, disk, time
#   diffbench run $file               # interrupted? the same command resumes
version: 1
seed: 0                       # sample i starts from the same noise in every cell: comparisons are paired

# Samples of every cell. A cell is one model with one sampler at one budget. FID depends on the number.
samples: 1000

models:
  - $model
#  - {id: ${name}-bf16, $where, dtype: bfloat16}
#  - {id: ours, source: ./checkpoint}             # a folder with a card.yaml; diffbench check tells if it is read well
"""

_SAMPLERS = """
# diffbench list samplers shows all of them. Options stand beside an id of your choice; sweep makes axes of them.
samplers:
  - ddim                      # deterministic, first order
  - heun                      # second order, two evaluations a step
  - dpmpp-2m                  # second order, one evaluation a step
$own
#  - {id: ddim-eta, sampler: ddim, sweep: {eta: [0.2, 0.5, 1.0]}}
#  - {id: edm, sampler: heun, grid: {kind: karras, rho: 7}, s_churn: 4}
#  - {id: 2m-log-snr, sampler: dpmpp-2m, grid: log-snr}     # diffbench list grids; the default is the family's own
#  - {id: theirs, sampler: "diffusers:UniPCMultistepScheduler", config: {solver_order: 2}}

# How often a sampler may call the network for one sample (NFE).
budgets:
  nfe: [5, 10, 20, 50]
#  steps: [10]                # or so many steps, whatever they cost

# Single cells more, or less.
#include: [{model: ${name}, sampler: ddim, nfe: 100}]
#exclude: [{sampler: heun, nfe: 5}]
"""

_PICTURES = """
# diffbench list metrics shows all of them. fid, kid: distance to the real images; is: clear and varied.
metrics: [fid, is, kid]
#metrics: [fid, {metric: is, splits: 10}, {metric: precision, k: 3}, recall]
"""

_NO_PICTURES = """
# The samples are no images of a data set: only solver errors, against a converged solution from the same noise.
metrics:
  - {metric: solver_error, reference_steps: 512}
"""

_TAIL = """
run:
  device: auto                # the first GPU if there is one
  batch_size: 128             # part of a cell's identity: another one samples anew
  keep: {samples: 64}         # images of each cell that are kept, for the report
#  dtype: bfloat16            # precision of all networks

# After sampling every cell is timed in turn, for so many seconds in all. seconds: 0 leaves it out.
timing: {seconds: 60, batch_size: 8}

# Hold every run to a baseline (diffbench baseline RUN --out baseline.safetensors); exit code 1 if one gate fails.
#compare: {baseline: baseline.safetensors, gates: $gates}

# Change another suite instead of repeating it: mappings are merged key by key, lists replaced.
#extends: quickstart
"""

_ANCESTRAL = "  - ddpm                      # ancestral sampling: fresh noise at every step\n"
_OF_THE_SDE = """\
  - euler-maruyama            # the reverse SDE in the family's own time
  - {id: pc, sampler: predictor-corrector}        # reverse diffusion and Langevin steps: two evaluations a step
#  - {id: rk45, sampler: rk45, sweep: {rtol: [0.1, 0.01]}}   # chooses its own steps: no budget, a tolerance
"""


def starter(card: Card, source: str | None, file: str, ema: bool | None = None) -> str:
    """A suite for the model of ``card``; ``source`` is its path from the suite's folder, None for a shipped model.

    ``ema``: what the suite has to say of weights whose configs do not; None: nothing.
    """
    schedule = card.schedule_object()
    own = _OF_THE_SDE if schedule.has_sde else _ANCESTRAL if schedule.variance_preserving else ""
    pictures = card.extractor is not None
    where = f"name: {card.name}" if source is None else f"source: {json.dumps(source, ensure_ascii=False)}"
    if ema is not None:
        where += f", card: {{ema: {str(ema).lower()}}}"
    where += ", labels: balanced" if card.labels is not None else ""
    where += ", prompts: [a photo of a cat]" if card.text is not None else ""
    clip = "" if pictures or card.clip is None else ", clip: null"
    text = _HEAD + _SAMPLERS + (_PICTURES if pictures else _NO_PICTURES) + _TAIL
    return Template(text.replace("$own\n", own)).substitute(
        schema=SCHEMA_FILE,
        name=card.name,
        file=file,
        where=where,
        model=f"{{{where}{clip}}}" if source is not None or clip else card.name,
        gates="{fid: 2%, nfe: exact}" if pictures else "{solver_error: 2%, nfe: exact}",
    )
