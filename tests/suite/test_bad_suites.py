"""Every way to get a suite wrong, with the exact place (marked §) and the words of its one error."""

from __future__ import annotations

import pytest

from diffbench.errors import SuiteError
from diffbench.suite.read import read_suite_text

REST = "models: [ddpm-mnist]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n"
NAMED = "name: x\n" + REST
MODEL = "name: x\nsamplers: [ddim]\nbudgets: {nfe: [5]}\nmodels: "
SAMPLER = "name: x\nmodels: [ddpm-mnist]\nbudgets: {nfe: [5]}\nsamplers: "
BUDGET = "name: x\nmodels: [ddpm-mnist]\nsamplers: [ddim]\nbudgets: "
NAME_RULE = "a name of 1 to 64 letters, digits, and . _ - + =, beginning with a letter, a digit or _"

CASES = [
    # The document as a whole.
    ("§", ["the file is empty", "expected a mapping"]),
    ("§# nothing\n", ["the file is empty"]),
    ("§- a\n- b\n", ['["a", "b"] is not allowed; expected a mapping']),
    ("§just text\n", ['"just text" is not allowed; expected a mapping']),
    ("§3\n", ["3 is not allowed; expected a mapping"]),
    (NAMED + "§---\nname: y\n", ["a second document begins here"]),
    (NAMED + "run: §[}\n".replace("§[}", "[§}"), ["not valid YAML", "flow"]),
    (NAMED + "seed: 'open§\n".replace("§", ""), ["not valid YAML", "quoted scalar"]),
    (NAMED + "§\tseed: 1\n", ["not valid YAML", "'\\t'"]),
    (NAMED + 'x: "\\U0011§0000"\n'.replace("§", ""), ["not valid YAML", "does not exist"]),
    (NAMED + "seed: §\0\n", ["U+0000 is not allowed"]),
    ("name: §\ud800\n" + REST, ["U+D800 is not allowed"]),
    ('name: §"\\ud800"\n' + REST, ["name: ", "U+D800 is not allowed"]),
    ('name: §"a\\0b"\n' + REST, ["name: ", "U+0000 is not allowed"]),
    (NAMED + "run: " + "[" * 48 + "[" + "§[" + "[" * 2950, ["nested more than 50 levels deep"]),
    (NAMED + "include: [" + "1, " * 49_984 + "§1, " + "1, " * 10 + "]", ["more than 50000 values"]),
    # YAML's traps.
    (NAMED + "seed: 1\n§seed: 2\n", ['seed: the key "seed" is given twice (first in line 5)']),
    (NAMED + "run: {dtype: float32, §dtype: float16}\n", ['run.dtype: the key "dtype" is given twice']),
    ("name: §no\n" + REST, ["name: no is true or false to some readers of YAML"]),
    ("name: §off\n" + REST, ["name: off is true or false"]),
    ("name: §Yes\n" + REST, ["name: Yes is true or false"]),
    ("name: §true\n" + REST, ["name: true is not allowed", NAME_RULE]),
    ("name: §~\n" + REST, ["name: null is not allowed", NAME_RULE]),
    ("name: §1.10\n" + REST, ["name: 1.1 is not allowed", NAME_RULE]),
    (NAMED + "§on: push\n", ["on is true or false to some readers"]),
    (NAMED + "§true: push\n", ["true can't be a key; keys are text"]),
    (NAMED + "§1: push\n", ["1 can't be a key"]),
    (NAMED + "run: {§[a, b]: 1}\n", ["run: ", "can't be a key"]),
    (NAMED + "run: {§<<: {dtype: float16}}\n", ["run: merge keys (<<) are not allowed"]),
    (NAMED + "seed: §010\n", ["seed: 010 is octal or hexadecimal", "write it in decimal"]),
    (NAMED + "seed: §0x10\n", ["seed: 0x10 is octal or hexadecimal"]),
    (NAMED + "seed: §1:30\n", ["seed: 1:30 is a number in base 60"]),
    (NAMED + "seed: §1_000\n", ["seed: 1_000 has underscores"]),
    (NAMED + "seed: §2024-13-45\n",
     ['seed: "2024-13-45" is not allowed; expected a whole number from 0 to 4294967295']),
    (NAMED + "seed: §" + "9" * 5000 + "\n", ["seed: 999", "more than 18 digits"]),
    (NAMED + "timing: {seconds: §1e999}\n", ["timing.seconds: 1e999 is too large for a number"]),
    (NAMED + "timing: {seconds: §.nan}\n", ["timing.seconds: .nan is not a finite number"]),
    (NAMED + "timing: {seconds: §-.inf}\n", ["timing.seconds: -.inf is not a finite number"]),
    (NAMED + "run: &r {dtype: float16}\ntiming: §*r\n", ["timing: the alias *r is not allowed"]),
    (NAMED + "run: &r {keep: §*r}\n", ["run.keep: the alias *r is not allowed"]),
    (NAMED + "run: §!!python/object/apply:os.system [x]\n", ["run: the tag", "python/object/apply:os.system"]),
    (NAMED + "seed: §!!str 1\n", ["seed: the tag", "is not allowed"]),
    # Keys.
    ("§" + NAMED.replace("models: [ddpm-mnist]\n", ""), ['the key "models" is missing']),
    ("§" + NAMED.replace("samplers: [ddim]\n", ""), ['the key "samplers" is missing']),
    ("§" + NAMED.replace("budgets: {nfe: [5]}\n", ""), ['the key "budgets" is missing']),
    ("§" + REST, ['the key "name" is missing', NAME_RULE]),
    (NAMED + "§sead: 1\n", ['sead: unknown key "sead"', 'did you mean "seed"?']),
    (NAMED + "§smaples: 1\n", ['unknown key "smaples"', 'did you mean "samples"?']),
    (NAMED + "§Models: 1\n", ['unknown key "Models"', 'did you mean "models"?']),
    (NAMED + "§zzz: 1\n", ["unknown key", "known: version, name, seed, samples, models"]),
    (NAMED + "compare: §{}\n", ['compare: the key "baseline" is missing; expected the path of a run folder']),
    (NAMED + "compare: {baseline: a, gates: {§fdi: 1%}}\n", ['unknown metric "fdi"', 'did you mean "fid"?']),
    (NAMED + "compare: {baseline: a, gates: {§kid: 1%}}\nmetrics: [fid]\n", ['"kid" is gated, but not measured']),
    (NAMED + "compare: {baseline: a, gates: {§seconds_per_image: 1%}}\ntiming: {seconds: 0}\n", ["seconds is 0"]),
    (NAMED + "compare: {baseline: a, gates: {fid: §-1}}\n", ['"-1" is no margin; expected a share such as 2%']),
    (NAMED + "compare: {baseline: a, gates: {nfe: §2%}}\n", ['"2%" is not allowed; evaluations are exact']),
    (NAMED + "compare: {baseline: a, gates: {fid: §{margn: 2%}}}\n", ["a mapping is not allowed; expected a share"]),
    (NAMED + "compare: {baseline: a, gates: §{}}\n", ["no gate at all"]),
    (NAMED + "metrics: [{metric: §{a: 1}}]\n", ["a mapping is not allowed; expected the name of a metric"]),
    (NAMED + "compare: {baseline: a, fail_on: §never}\n", ['expected one of "worse", "inconclusive", "nothing"']),
    (NAMED + "expect: §none\n", ['expect: "none" is not allowed; expected a list']),
    (NAMED + "§extends: base.yaml\n", ['the key "extends" is not implemented yet']),
    (NAMED + "run: {compile: §graphs}\n", ['run.compile: "graphs" is not allowed', '"cuda-graphs"']),
    (NAMED + "run: {keep: {§features: true}}\n", ['run.keep.features: the key "features" is not implemented yet']),
    (NAMED + "run: {§batchsize: 8}\n", ['unknown key "batchsize"', 'did you mean "batch_size"?']),
    # Numbers and other scalars.
    ("version: §2\n" + NAMED, ["version: 2 is not allowed; expected 1, the only version"]),
    ("version: §true\n" + NAMED, ["version: true is not allowed; expected 1"]),
    ("name: §'../up'\n" + REST, ['name: "../up" is not allowed', NAME_RULE]),
    ("name: §'" + "a" * 65 + "'\n" + REST, ['name: "aaa', NAME_RULE]),
    ("name: §'-x'\n" + REST, ['name: "-x" is not allowed']),
    ("name: §é\n" + REST, ['name: "é" is not allowed']),
    (NAMED + "seed: §-1\n", ["seed: -1 is not allowed; expected a whole number from 0 to 4294967295"]),
    (NAMED + "seed: §4294967296\n", ["seed: 4294967296 is not allowed"]),
    (NAMED + "seed: §2.0\n", ["seed: 2.0 is not allowed; expected a whole number"]),
    (NAMED + "samples: §0\n", ["samples: 0 is not allowed; expected a whole number from 1 to 10000000"]),
    (NAMED + "samples: §true\n", ["samples: true is not allowed; expected a whole number"]),
    (NAMED + "samples: §'5'\n", ['samples: "5" is not allowed; expected a whole number']),
    (NAMED + "samples: {n: §2.5}\n", ["samples.n: 2.5 is not allowed; expected a whole number"]),
    (NAMED + "samples: §{shard: 5}\n", ['samples: the key "n" is missing; expected a whole number from 1']),
    (NAMED + "samples: {n: 5, shard: §0}\n", ["samples.shard: 0 is not allowed; expected a whole number from 1"]),
    (NAMED + "run: {device: §gpu}\n", ['run.device: "gpu" is not allowed; expected auto, cpu, cuda or cuda:<index>']),
    (NAMED + "run: {batch_size: §0}\n", ["run.batch_size: 0 is not allowed; expected a whole number from 1 to 65536"]),
    (NAMED + "run: {dtype: §float8}\n", ['run.dtype: "float8" is not allowed; expected one of "float32", "bfloat16"']),
    (NAMED + "run: {channels_last: §1}\n",
     ["run.channels_last: 1 is not allowed", 'expected one of "auto", true, false']),
    (NAMED + "run: {keep: §5}\n", ["run.keep: 5 is not allowed; expected a mapping with keys samples"]),
    (NAMED + "run: {keep: {samples: §-1}}\n", ["run.keep.samples: -1 is not allowed; expected a whole number from 0"]),
    (NAMED + "run: §fast\n", ['run: "fast" is not allowed; expected a mapping with keys device, batch_size']),
    (NAMED + "timing: {seconds: §-1}\n", ["timing.seconds: -1 is not allowed; expected a number from 0 to 86400"]),
    (NAMED + "timing: {seconds: §true}\n", ["timing.seconds: true is not allowed; expected a number"]),
    (NAMED + "timing: {batch_size: §1.5}\n", ["timing.batch_size: 1.5 is not allowed; expected a whole number"]),
    # Budgets.
    (BUDGET + "§{}\n", ['budgets: give "nfe", "steps" or both']),
    (BUDGET + "{nfe: §[]}\n", ["budgets.nfe: [] is not allowed; expected a list of 1 to 1000 elements"]),
    (BUDGET + "{nfe: §5}\n", ["budgets.nfe: 5 is not allowed; expected a list of 1 to 1000 elements, each a whole"]),
    (BUDGET + "{nfe: [5, §0]}\n", ["budgets.nfe[1]: 0 is not allowed; expected a whole number from 1 to 10000"]),
    (BUDGET + "{steps: [§-1]}\n", ["budgets.steps[0]: -1 is not allowed"]),
    (BUDGET + "{steps: [§true]}\n", ["budgets.steps[0]: true is not allowed"]),
    (BUDGET + "{steps: [§2.5]}\n", ["budgets.steps[0]: 2.5 is not allowed"]),
    (BUDGET + "{nfe: [5, 6, §5]}\n", ["budgets.nfe[2]: 5 is given twice"]),
    (BUDGET + "{nfe: [5], §step: [5]}\n", ['budgets.step: unknown key "step"', 'did you mean "steps"?']),
    # Models.
    (MODEL + "§[]\n", ["models: [] is not allowed; expected a list of 1 to 1000 elements"]),
    (MODEL + "§ddpm-mnist\n", ['models: "ddpm-mnist" is not allowed; expected a list']),
    (MODEL + "[§ddpm-minst]\n",
     ['models[0]: unknown model "ddpm-minst"; known: ddpm-mnist', 'did you mean "ddpm-mnist"']),
    (MODEL + "[§5]\n", ["models[0]: 5 is not allowed; expected a mapping with keys id, name, source"]),
    (MODEL + "[§{id: a}]\n", ['models[0]: give either "name" (a shipped model) or "source"']),
    (MODEL + "[§{id: a, name: ddpm-mnist, source: ./x}]\n", ['models[0]: give either "name"']),
    (MODEL + "[{id: a, source: §./nowhere}]\n", ["models[0].source: ", "nowhere", "no such folder or card"]),
    (MODEL + "[§./nowhere]\n", ["models[0]: ", "nowhere", "no such folder or card"]),
    (MODEL + '[{id: a, source: §"hf://google/ddpm"}]\n', ["hf://google/ddpm@main is not in the cache"]),
    (MODEL + "[ddpm-mnist, §ddpm-mnist]\n", ['models[1]: "ddpm-mnist" is the name of models[0] already']),
    (MODEL + "[{id: A, name: ddpm-mnist}, {id: §a, name: ddpm-mnist}]\n",
     ['models[1].id: "a" is the name of models[0]']),
    (MODEL + "[{id: §'a b', name: ddpm-mnist}]\n", ['models[0].id: "a b" is not allowed', NAME_RULE]),
    (MODEL + "[{name: ddpm-mnist, clip: §[1, -1]}]\n", ["models[0].clip: [1, -1] is not allowed; the first number"]),
    (MODEL + "[{name: ddpm-mnist, clip: §true}]\n", ["models[0].clip: true is not allowed", "or null"]),
    (MODEL + "[{name: ddpm-mnist, clip: [§a, 1]}]\n", ['models[0].clip[0]: "a" is not allowed; expected a number']),
    (MODEL + "[{name: ddpm-mnist, sweep: {dtype: [§int8]}}]\n", ['models[0].sweep.dtype[0]: "int8" is not allowed']),
    (MODEL + "[{name: ddpm-mnist, sweep: {clip: [null, §null]}}]\n", ["models[0].sweep.clip[1]: null is given twice"]),
    (MODEL + "[{name: ddpm-mnist, sweep: {clip: [§[2, 1]]}}]\n", ["models[0].sweep.clip[0]: [2, 1] is not allowed"]),
    (MODEL + "[{name: ddpm-mnist, sweep: {§eta: [1]}}]\n",
     ['models[0].sweep.eta: unknown key "eta"; known: dtype, clip']),
    (MODEL + "[{name: ddpm-mnist, dtype: float16, sweep: {§dtype: [float32]}}]\n", ["dtype is fixed above"]),
    (MODEL + "[{name: ldm-mnist, clip: §[-1, 1]}]\n",
     ["models[0].clip: [-1, 1] is not allowed; ldm-mnist samples latents, which have no range to clip to"]),
    (MODEL + "[{name: ldm-mnist, sweep: {clip: [null, §[-1, 1]]}}]\n", ["models[0].sweep.clip[1]: ", "latents"]),
    # Samplers.
    (SAMPLER + "[§ddmi]\n", ['samplers[0]: unknown sampler "ddmi"; known: ddim, euler,', "did you mean"]),
    (SAMPLER + "[{id: a, sampler: §huen}]\n", ['samplers[0].sampler: unknown sampler "huen"', 'did you mean "heun"?']),
    (SAMPLER + '[{id: a, sampler: §"diffusers:UniPCMultistepSchedular"}]\n',
     ['samplers[0].sampler: unknown scheduler of diffusers', 'did you mean "UniPCMultistepScheduler"?']),
    (SAMPLER + '[{id: a, sampler: §"diffusers:UNet2DModel"}]\n', ["unknown scheduler of diffusers"]),
    (SAMPLER + '[{id: a, sampler: §"diffusers:EDMEulerScheduler"}]\n', ["takes no trained_betas"]),
    (SAMPLER + '[{id: a, sampler: §"diffusers:RePaintScheduler"}]\n', ["its step needs mask, original_image"]),
    (SAMPLER + '[{id: a, sampler: §"diffusers:DDIMInverseScheduler"}]\n', ["goes from data to noise"]),
    (SAMPLER + '[{id: a, sampler: "diffusers:DDIMScheduler", config: {§solver_order: 2}}]\n',
     ['samplers[0].config.solver_order: DDIMScheduler takes no "solver_order"']),
    (SAMPLER + '[{id: a, sampler: "diffusers:DDIMScheduler", config: {§beta_end: 2}}]\n', ["comes from the model"]),
    (SAMPLER + '[{id: a, sampler: "diffusers:UniPCMultistepScheduler", config: {§use_flow_sigmas: true}}]\n',
     ["would step on a flow's noise levels"]),
    (SAMPLER + '[{id: a, sampler: "diffusers:DDIMScheduler", step: {§generator: 2}}]\n', ["step of DDIMSch"]),
    (SAMPLER + '[{id: a, sampler: "diffusers:DDIMScheduler", sweep: {step: [{eta: 0}, {§et: 1}]}}]\n', ["takes no"]),
    (SAMPLER + "[{id: a, sampler: rk45, grid: §karras}]\n", ["samplers[0].grid: rk45 chooses its own steps"]),
    (SAMPLER + "[{id: a, sampler: rk45, rtol: §0}]\n", ["samplers[0].rtol: 0 is not allowed"]),
    (SAMPLER + '[{id: a, sampler: "diffusers:DDIMScheduler", §grid: karras}]\n', ["grid of DDIMScheduler is its own"]),
    (SAMPLER + '[{id: a, sampler: "diffusers:DDIMScheduler", §final: sigma_min}]\n', ["leave final out"]),
    (SAMPLER + '[{id: a, sampler: "diffusers:DDIMScheduler", §eta: 1}]\n', ["samplers[0].eta: unknown option"]),
    (SAMPLER + "[§{id: a}]\n", ['samplers[0]: the key "sampler" is missing; expected the name of a sampler']),
    (SAMPLER + "[ddim, §ddim]\n", ['samplers[1]: "ddim" is the name of samplers[0] already']),
    (SAMPLER + "[{id: a, sampler: ddim, eta: §2}]\n",
     ["samplers[0].eta: 2 is not allowed; expected a number from 0 to 1"]),
    (SAMPLER + "[{id: a, sampler: ddim, eta: §'1'}]\n", ['samplers[0].eta: "1" is not allowed']),
    (SAMPLER + "[{id: a, sampler: ddim, eta: §true}]\n", ["samplers[0].eta: true is not allowed"]),
    (SAMPLER + "[{id: a, sampler: ddim, §etta: 1}]\n",
     ['samplers[0].etta: unknown option "etta"', 'did you mean "eta"?']),
    (SAMPLER + "[{id: a, sampler: dpmpp-2m, §sweeep: {}}]\n", ['unknown option "sweeep"', 'did you mean "sweep"?']),
    (SAMPLER + "[{id: a, sampler: ddpm, variance: §big}]\n",
     ['samplers[0].variance: "big" is not allowed; expected one']),
    (SAMPLER + "[{id: a, sampler: ddim, grid: §karas}]\n", ['unknown grid "karas"', 'did you mean "karras"?']),
    (SAMPLER + "[{id: a, sampler: ddim, grid: §{rho: 7}}]\n", ['samplers[0].grid: the key "kind" is missing']),
    (SAMPLER + "[{id: a, sampler: ddim, grid: {kind: karras, rho: §0}}]\n",
     ["grid.rho: 0 is not allowed; expected a number"]),
    (SAMPLER + "[{id: a, sampler: ddim, grid: {kind: trailing, §rho: 7}}]\n", ['grid.rho: unknown option "rho"']),
    (SAMPLER + "[{id: a, sampler: ddim, grid: {kind: karras, sigma_min: §3, sigma_max: 2}}]\n", ["it must be below"]),
    (SAMPLER + "[{id: a, sampler: ddim, grid: §{kind: explicit}}]\n", ['grid: the option "sigmas" is missing']),
    (SAMPLER + "[{id: a, sampler: ddim, grid: {kind: explicit, sigmas: [2, §2]}}]\n", ["sigmas[1]: 2 is not allowed"]),
    (SAMPLER + "[{id: a, sampler: ddim, grid: {kind: explicit, sigmas: [§0]}}]\n", ["sigmas[0]: 0 is not allowed"]),
    (SAMPLER + "[{id: a, sampler: ddim, final: §zero}]\n",
     ['samplers[0].final: "zero" is not allowed; expected one of']),
    (SAMPLER + "[{id: a, sampler: ddim, sweep: {eta: [0, §1.5]}}]\n", ["samplers[0].sweep.eta[1]: 1.5 is not allowed"]),
    (SAMPLER + "[{id: a, sampler: ddim, sweep: {eta: §[]}}]\n", ["samplers[0].sweep.eta: [] is not allowed"]),
    (SAMPLER + "[{id: a, sampler: ddim, sweep: {eta: §1}}]\n",
     ["samplers[0].sweep.eta: 1 is not allowed; expected a list"]),
    (SAMPLER + "[{id: a, sampler: ddim, sweep: {§steps: [1]}}]\n", ['unknown option of ddim "steps"; known: eta']),
    (SAMPLER + "[{id: a, sampler: ddim, sweep: {§grid: [karras]}}]\n", ["sweeping grid is not implemented yet"]),
    (SAMPLER + "[{id: a, sampler: ddim, eta: 1, sweep: {§eta: [0]}}]\n", ["eta is fixed above"]),
    (SAMPLER + "[{id: a, sampler: ddim, sweep: {eta: [1, §1]}}]\n", ["samplers[0].sweep.eta[1]: 1 is given twice"]),
    # Metrics.
    (NAMED + "metrics: [fid, §fidd]\n",
     ['metrics[1]: unknown metric "fidd"; known: fid, is, kid', 'did you mean "fid"?']),
    (NAMED + "metrics: [{metric: precision, k: §0}]\n", ["metrics[0].k: 0 is not allowed"]),
    (NAMED + "metrics: [§bits_per_dim]\n", ["belongs to a model", "diffbench likelihood MODEL"]),
    (NAMED + "metrics: [§seconds_per_image]\n", ["metrics[0]: ", "measured by the timing pass"]),
    (NAMED + "metrics: [{metric: is, splits: §0}]\n",
     ["metrics[0].splits: 0 is not allowed; expected a whole number of at"]),
    (NAMED + "metrics: [{metric: fid, §k: 3}]\n", ['metrics[0].k: unknown option "k"']),
    (NAMED + "metrics: [is, {metric: §is, splits: 10}]\n",
     ['metrics[1].metric: "is" is the name of metrics[0] already']),
    (NAMED + "metrics: §[]\n", ["metrics: [] is not allowed; expected a list of at least 1 elements"]),
    # Rules between keys.
    (NAMED + "include: [{model: §ddpm, sampler: ddim, nfe: 1}]\n", ['unknown model id "ddpm"', 'mean "ddpm-mnist"?']),
    (NAMED + "include: [{model: ddpm-mnist, sampler: §heun, nfe: 1}]\n",
     ['include[0].sampler: unknown sampler id "heun"']),
    (NAMED + "include: [§{model: ddpm-mnist, sampler: ddim}]\n", ['include[0]: give either "nfe" or "steps"']),
    (NAMED + "include: [§{model: ddpm-mnist, nfe: 3}]\n", ['include[0]: the key "sampler" is missing']),
    (NAMED + "exclude: [§{}]\n", ["exclude[0]: would leave out every cell"]),
    (NAMED + "exclude: [{sampler: §heun}]\n", ['exclude[0].sampler: unknown sampler id "heun"; known: ddim']),
    (NAMED + "exclude: [{nfe: §7}]\n", ["exclude[0].nfe: 7 is not among the suite's budgets of nfe"]),
    (NAMED + "exclude: [§{nfe: 5, steps: 5}]\n", ['exclude[0]: give "nfe" or "steps", not both']),
    (
        "§" + SAMPLER + "[{id: a, sampler: heun, sweep: {s_churn: " + str(list(range(400))) + ", s_min: "
        + str(list(range(400))) + "}}]\n",
        ["160,000 cells (1 models x 160,000 samplers x 1 budgets, sweeps multiplied out); at most 100,000"],
    ),
]  # fmt: skip


def _marked(text: str) -> tuple[str, tuple[int, int] | None]:
    if "§" not in text:
        return text, None
    before = text[: text.index("§")]
    return text.replace("§", ""), (before.count("\n") + 1, len(before) - before.rfind("\n"))


@pytest.mark.parametrize("marked, fragments", CASES, ids=[str(i) for i in range(len(CASES))])
def test_one_clear_error_at_the_right_place(marked: str, fragments: list[str]) -> None:
    text, place = _marked(marked)
    with pytest.raises(SuiteError) as caught:
        read_suite_text(text, "s.yaml")
    (problem,) = caught.value.problems
    if place is not None:
        assert (problem.line, problem.column) == place, problem
    for fragment in fragments:
        assert fragment in problem.message
    assert str(caught.value) == f"s.yaml:{problem.line}:{problem.column}: {problem.message}"
    assert "\n" not in problem.message


def test_there_are_enough_cases() -> None:
    assert len([text for text, _ in CASES if "§" in text]) >= 60


def test_all_errors_come_at_once_in_the_files_order() -> None:
    text = "name: no\nseed: -1\nmodels: [nope]\nsamplers: [{sampler: ddim, eta: 7}]\nbudgets: {nfe: [0]}\nx: 1\n"
    with pytest.raises(SuiteError) as caught:
        read_suite_text(text)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "name",
        "seed",
        "models[0]",
        "samplers[0].eta",
        "budgets.nfe[0]",
        "x",
    ]
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3, 4, 5, 6]
    assert caught.value.exit_code == 2
