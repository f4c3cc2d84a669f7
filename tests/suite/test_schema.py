"""The JSON Schema: every shipped suite and card fits it, and it agrees with the reader where a schema can."""

import json

import jsonschema
import pytest
import yaml
from bad_suites import CASES, marked_place

from diffbench import shipped
from diffbench.errors import SuiteError
from diffbench.models.schema import card_schema
from diffbench.suite.read import read_suite_text
from diffbench.suite.schema import suite_schema

SUITES = sorted(shipped.suites().rglob("*.yaml"))
CARDS = list(shipped.card_paths().values())


@pytest.fixture(scope="module")
def suites(shipped_cards):
    schema = suite_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.fixture(scope="module")
def cards():
    jsonschema.Draft7Validator.check_schema(card_schema())
    return jsonschema.Draft7Validator(card_schema())


def problems(validator, document):
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@pytest.mark.parametrize("path", SUITES, ids=[path.stem for path in SUITES])
def test_every_shipped_suite_fits(path):
    """With the models that are really shipped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "reference_models", lambda: CARDS[0].parents[1])
        validator = jsonschema.Draft7Validator(suite_schema())
    assert problems(validator, yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("path", CARDS, ids=[path.parent.name for path in CARDS])
def test_every_shipped_card_fits(cards, path):
    assert problems(cards, yaml.safe_load(path.read_text())) == []


# What no schema can say of a suite, or what YAML makes of it before a schema sees it: by a part of the message.
NOT_SAID = [
    "no such file", "unknown suite", "a folder, not a file", "can't be read", "no such folder", "leaves no cell",
    "is the name of", "unknown model id", "unknown sampler id", "not among the suite's budgets", "has no key",
    "chooses its own steps: its cells", "is gated, but not measured", "fixed above", "must be below", "strictly",
    "the first number must be below", "latents", "160,000 cells", '"name" is missing', "unknown option of ddim",
    "2.0 is not allowed", "is given twice (first", 'run.dtype: the key "dtype"', "true or false to some readers",
    "can't be a key", "not in the cache",
    "merge keys", "octal", "base 60", "underscores", "second document", "not valid YAML", "U+", "nested", "values in",
    "seconds is 0", "the first number", "[2, 1] is not", "sigmas[", '"rk45" chooses', 
    "takes no prompts", "takes no labels", "alias", "the tag", "digits", "too large", "finite", "sweeping grid",
]  # fmt: skip


def test_the_schema_and_the_reader_agree_on_the_bad_suites(suites):
    refused, silent, missed = 0, 0, []
    for marked, fragments in CASES:
        text, _ = marked_place(marked)
        said = " ".join(fragments)
        try:
            document = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            continue
        if any(part in said for part in NOT_SAID):
            silent += 1
            continue
        refused += 1
        missed += [] if problems(suites, document) else [(text, fragments)]
    assert not missed
    assert refused >= 110, (refused, silent)


GOOD = [
    "",
    "extends: quickstart\n",
    "seed: 4294967295\nversion: 1\n",
    "samples: {n: 10, shard: 5}\nrun: {channels_last: false, device: 'cuda:1', keep: {samples: 0}, dtype: float16}\n",
    "metrics: [is, {metric: precision, k: 3}, {metric: fid}]\n",
    "include: [{model: ddpm-mnist, sampler: ddim, nfe: 7}, {model: ddpm-mnist, sampler: ddim, steps: 7}]\n",
    "exclude: [{model: ddpm-mnist, sampler: ddim, nfe: 5}]\ninclude: [{model: ddpm-mnist, sampler: ddim, steps: 7}]\n",
    "timing: {seconds: 0.5, batch_size: 3}\n",
    "compare: {baseline: runs/x, alpha: 0.02, adjust: bh, fail_on: nothing}\n",
    "run: {compile: cuda-graphs, dtype: amp-bfloat16}\n",
    "run: {compile: true}\n",
    "expect: []\n",
    "expect: [{model: ddpm-mnist, sampler: ddim, nfe: 5, grid: {kind: karras, rho: 7}, n: 9, metric: fid, value: 3.5,"
    " tolerance: 2%, reference: mnist, ema: true, source: a paper, unverified: a typo}]\n",
    "expect: [{model: ddpm-mnist, sampler: ddim, nfe: 5, n: 9, metric: is, value: 3, tolerance: 0.1, source: a}]\n",
    "compare: {baseline: x, gates: {fid: 2%, kid: 0.001, nfe: exact, is: {margin: 1e-3%}, seconds_per_image: 5}}\n",
]
SAMPLERS = [
    "euler", "{sampler: euler}", "{id: a, sampler: ddim, eta: 1}", "{id: a, sampler: ddim, sweep: {eta: [0, 0.5]}}",
    "{sampler: heun, grid: karras, s_churn: 3, final: sigma_min}", "{sampler: heun, grid: {kind: karras, rho: 7}}",
    "{sampler: ddim, grid: {kind: explicit, sigmas: [3, 1.5]}}", "{sampler: ddpm, variance: fixed_large}",
    "{sampler: rk45, rtol: 0.1, grid: {kind: log-snr, sigma_max: 5}}", "{sampler: deis, variable: log-rho, degree: 2}",
    '{id: a, sampler: "diffusers:UniPCMultistepScheduler", config: {solver_order: 2}}', "{sampler: ddim, grid: null}",
    '{id: a, sampler: "diffusers:DDIMScheduler", sweep: {step: [{eta: 0}, {eta: 1}]}}', '"diffusers:DDIMScheduler"',
    '{id: shipped, sampler: "diffusers:checkpoint"}', '{sampler: "diffusers:DDIMScheduler"}',
]  # fmt: skip
MODELS = [
    "ldm-mnist", "{name: ldm-mnist}", "{id: x, name: ddpm-mnist, clip: null, dtype: float16}",
    "{id: x, name: ddpm-mnist, clip: [-1, 1.5]}", "{id: x, name: ddpm-mnist, sweep: {dtype: [float32, float16]}}",
    "{id: x, name: ddpm-mnist, sweep: {clip: [null, [-2, 2]]}}", "{id: x, name: null, source: $folder/ldm-mnist}",
    "$folder/ldm-mnist", "$folder/ldm-mnist/card.yaml", "{id: x, name: ddpm-mnist, card: {ema: false}}",
    "{id: x, name: ddpm-mnist, card: {labels: {classes: 10, unconditional: 9}}, labels: balanced, guidance: 1.5}",
    "{id: x, name: ddpm-mnist, card: {labels: {classes: 10, unconditional: 9}}, labels: [1, 2],"
    " guidance: {scale: 2, interval: [0.1, 3]}}",
    "{id: x, name: ddpm-mnist, card: {labels: {classes: 3, unconditional: 2}}, labels: uniform,"
    " sweep: {guidance: [1, 2.5, {scale: 2}]}}",
]  # fmt: skip
PLAIN = "name: x\nmodels: [ddpm-mnist]\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n"
ACCEPTED = [
    *(PLAIN + more for more in GOOD),
    *(PLAIN.replace("[ddim]", f"[{sampler}]") for sampler in SAMPLERS),
    *(PLAIN.replace("[ddpm-mnist]", f"[ddpm-mnist, {model}]") for model in MODELS),
    "name: x\nmodels: [ddpm-mnist]\nsamplers: [rk45, {sampler: dpm-adaptive}]\n",
    "name: x\nextends: quickstart\nbudgets: {nfe: null, steps: [3]}\n",
    "name: x\nextends: quickstart\ncompare: {baseline: x, gates: {fid: 1%}}\n",
]  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED, ids=map(str, range(len(ACCEPTED))))
def test_what_the_reader_takes_fits_the_schema(suites, models_folder, text):
    text = text.replace("$folder", str(models_folder))
    assert read_suite_text(text)
    assert problems(suites, yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        PLAIN + "budgets: {nfe: null, steps: [3]}\n",
        PLAIN + "compare: {baseline: x, gates: {fid: null}}\n",
        PLAIN + "compare: {gates: {fid: 1%}}\n",
        "name: x\nextends: null\nsamplers: [ddim]\nbudgets: {nfe: [5]}\n",
        "name: x\nmodels: [ddpm-mnist]\nsamplers: [rk45, ddim]\n",
    ],
)
def test_what_only_an_extending_suite_may_leave_out_or_null(suites, text):
    text = text.replace("budgets: {nfe: [5]}\nbudgets", "budgets")
    with pytest.raises(SuiteError):
        read_suite_text(text)
    assert problems(suites, yaml.safe_load(text))


CARD_MISTAKES = [
    ({"family": "ldm"}, "'ldm'"), ({"prediction": "eps"}, "'eps'"), ({"version": 2}, "2 is greater"),
    ({"schedule": {"kind": "vp", "beta_min": 0.1}}, "beta_max"), ({"schedule": {"kind": "v"}}, "'v'"),
    ({"time": {"input": "scaled", "scale": 999}}, "time.input"), ({"time": {"input": "index", "scale": 3}}, "null"),
    ({"codec": {"path": "x"}}, "null"), ({"clip": [1]}, "[1]"), ({"data": {"range": [-1, 1]}}, "shape"),
    ({"sha256": {"../x": "0" * 64}}, "'../x'"), ({"sha256": {"x": "0"}}, "'0'"), ({"name": "a b"}, "'a b'"),
    ({"prediction": "edm"}, "sigma_data"), ({"network": None}, "None"), ({"extra": 1}, "extra"),
    ({"family": "latent"}, "None"), ({"labels": {"unconditional": 3}}, "classes"), ({"flops": 0}, "0 is"),
    ({"checkpoint": {"note": "x"}}, "'note'"), ({"text": {"length": 7}}, "{'length': 7}"),
    ({"network": {"path": "unet"}, "checkpoint": {"source": "x", "from": "y"}}, "'from'"),
    ({"network": {"path": "unet", "class": "X", "program": "y"}}, "'program'"),
    ({"network": {"path": "unet", "class": "X", "key_map": "ddpm"}}, "config"), ({"network": {"class": "X"}}, "path"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), CARD_MISTAKES)
def test_mistakes_in_a_card_do_not_fit(cards, ddpm, change, said):
    assert problems(cards, ddpm) == []
    found = problems(cards, {**ddpm, **change})
    assert any(said in one for one in found), found


PARTIAL = [
    {"name": "x", "ema": True},  # beside a pipeline of diffusers
    {"name": "x", "data": {"dataset": "mnist"}, "codec": {"scaling_factor": 1.0}, "network": {"path": "unet"}},
    {"name": "x", "checkpoint": {"source": "hf://a/b@main"}, "data": {"dataset": "mnist"}},
]


@pytest.mark.parametrize("card", PARTIAL)
def test_a_card_may_leave_to_a_pipeline_what_its_configs_say(cards, card):
    assert problems(cards, card) == []


@pytest.mark.parametrize(
    "change",
    [
        {"network": {"factory": "package.module:make", "options": {"width": 3}}},
        {"network": {"program": "net.pt2"}, "labels": {"classes": 10}},
        {"network": {"path": "net.pt", "class": "UNet2DModel", "config": {"sample_size": 8}, "key_map": "ddpm"}},
        {"checkpoint": {"from": "a release", "files": ["a.ckpt"], "note": "large"}, "sha256": {}, "flops": 1e9},
    ],
)
def test_a_network_in_each_of_its_forms_fits(cards, ddpm, change):
    assert problems(cards, {**ddpm, **change}) == []


@pytest.mark.parametrize("which", ["suites", "cards"])
def test_every_key_is_explained(request, which):
    """Editors show what stands below a field in its class."""
    schema = request.getfixturevalue(which).schema
    for name, part in {"": schema, **schema["$defs"]}.items():
        for key, value in part.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key}"


def test_the_command_prints_and_writes(diffbench, tmp_path):
    code, out, err = diffbench("schema")
    assert (code, err) == (0, "") and json.loads(out)["$schema"].startswith("http://json-schema.org/draft-07")
    assert diffbench("schema", "--out", "diffbench.schema.json")[0] == 0
    assert json.loads((tmp_path / "diffbench.schema.json").read_text()) == json.loads(out)
    code, out, _ = diffbench("schema", "--card")
    assert code == 0 and "schedule" in json.loads(out)["properties"]
