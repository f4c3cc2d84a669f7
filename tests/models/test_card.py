from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from diffbench import shipped
from diffbench.diffusion.schedule import DiscreteDDPM
from diffbench.errors import CardError
from diffbench.models.find import load_card, shipped_models

CARD = """\
version: 1
name: ldm
family: latent
prediction: epsilon
schedule: {kind: ddpm, betas: linear, beta_start: 0.0001, beta_end: 2e-2, steps: 1000}
time: {input: index}
data: {range: [-1, 1], shape: [1, 28, 28], dataset: mnist}
clip: null
network: {path: unet, class: UNet2DModel}
codec: {path: vae, class: AutoencoderKL, scaling_factor: 1.23, latent_shape: [4, 8, 8], crop: 28}
ema: true
reference: mnist
extractor: mnist-features
sha256: {unet/a.safetensors: AAA, vae/b.safetensors: BBB}
source: "made for this test"
license: Apache-2.0
""".replace("AAA", "a" * 64).replace("BBB", "b" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "card.yaml").write_text(CARD)
    return tmp_path


def changed(tmp_path: Path, key: str, value: Any) -> Path:
    card = yaml.safe_load(CARD)
    *parents, last = key.split(".")
    target = card
    for part in parents:
        target = target[part]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False))
    return tmp_path


def exploding(tmp_path: Path, **values: Any) -> Path:
    card = yaml.safe_load(CARD)
    card |= {"family": "score-sde", "codec": None, "time": {"input": "sigma"}, "prediction": "score"}
    card |= {"schedule": {"kind": "ve", "sigma_min": 0.01, "sigma_max": 16.0}, **values}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False))
    return tmp_path


def test_a_card_says_what_the_file_says(folder: Path) -> None:
    card = load_card(str(folder))
    assert (card.name, card.family, card.prediction, card.clip) == ("ldm", "latent", "epsilon", None)
    assert (card.network.path, card.network.class_name) == ("unet", "UNet2DModel")
    assert card.codec is not None
    assert (card.codec.path, card.codec.class_name, card.codec.scaling_factor) == ("vae", "AutoencoderKL", 1.23)
    assert card.codec.crop == 28
    assert card.data.range == (-1.0, 1.0)
    assert (card.sample_shape, card.image_shape) == ((4, 8, 8), (1, 28, 28))
    assert (card.time_scale, card.ema, card.reference, card.extractor) == (1.0, True, "mnist", "mnist-features")
    assert card.directory == folder
    schedule = card.schedule_object()
    assert isinstance(schedule, DiscreteDDPM)
    assert schedule.betas[-1] == pytest.approx(0.02, rel=1e-12)


def test_pixel_models_sample_images(tmp_path: Path) -> None:
    card = yaml.safe_load(CARD)
    card |= {"family": "score-sde", "codec": None, "time": {"input": "scaled", "scale": 999}, "clip": [-1, 1]}
    card["schedule"] = {"kind": "vp", "beta_min": 0.1, "beta_max": 20.0}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    read = load_card(tmp_path)
    assert read.sample_shape == read.image_shape == (1, 28, 28)
    assert (read.time_scale, read.clip) == (999.0, (-1.0, 1.0))


@pytest.mark.parametrize(
    "time, conditioning, scale",
    [
        ({"input": "scaled", "scale": 2}, "time", 2.0),
        ({"input": "sigma"}, "sigma", 1.0),
        ({"input": "log-sigma", "scale": 0.25}, "log-sigma", 0.25),
    ],
)
@pytest.mark.parametrize("prediction", [{"prediction": "score"}, {"prediction": "edm", "sigma_data": 0.335}])
def test_a_continuous_network_may_take_its_time_sigma_or_log_sigma(
    tmp_path: Path, time: dict[str, Any], conditioning: str, scale: float, prediction: dict[str, Any]
) -> None:
    read = load_card(exploding(tmp_path, time=time, **prediction))
    assert (read.conditioning, read.time_scale) == (conditioning, scale)
    assert (read.prediction, read.sigma_data) == (prediction["prediction"], prediction.get("sigma_data"))
    assert read.schedule_object().to_dict() == {"kind": "ve", "sigma_min": 0.01, "sigma_max": 16.0, "t_end": 1e-5}


@pytest.mark.parametrize(
    "values, message",
    [
        ({"prediction": "edm"}, 'the key "sigma_data" is missing; prediction "edm" needs it'),
        ({"prediction": "edm", "sigma_data": None}, 'the key "sigma_data" is missing'),
        ({"prediction": "edm", "sigma_data": 0}, "sigma_data: 0 is not allowed; expected a number above 0"),
        ({"prediction": "edm", "sigma_data": "0.5"}, 'sigma_data: "0.5" is not allowed; expected a number above 0'),
        ({"prediction": "edm", "sigma_data": float("nan")}, "sigma_data: .nan is not a finite number"),
        ({"prediction": "score", "sigma_data": 0.5}, 'sigma_data: only prediction "edm" has a sigma_data, not "score"'),
        ({"time": {"input": "index"}}, '"index" is not allowed; a continuous schedule goes with "scaled", "sigma" or'),
        ({"time": {"input": "sigma", "scale": 2}}, 'time.scale: input "sigma" has no scale'),
        ({"time": {"input": "log-sigma"}}, 'time: the key "scale" is missing; input "log-sigma" needs it'),
        ({"time": {"input": "log-sigma", "scale": 0}}, "time.scale: 0 is not allowed; expected a number above 0"),
        ({"time": {"input": "log_sigma", "scale": 1}}, '"log_sigma" is not allowed; expected one of "index", "scaled"'),
        ({"schedule": {"kind": "ve", "sigma_min": 2, "sigma_max": 1}}, "schedule: need 0 < sigma_min < sigma_max"),
        ({"schedule": {"kind": "ve", "sigma_max": 1}}, "schedule: schedule ve: missing key 'sigma_min'"),
    ],
)
def test_what_a_variance_exploding_card_must_say(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(CardError) as caught:
        load_card(exploding(tmp_path, **values))
    assert message in str(caught.value)


def test_a_card_says_whether_the_network_predicts_its_variance(tmp_path: Path) -> None:
    assert load_card(changed(tmp_path, "ema", True)).variance == "fixed"
    assert load_card(changed(tmp_path, "variance", "learned-range")).variance == "learned-range"
    for value in ("learned", None, True):
        with pytest.raises(CardError, match='variance: .* is not allowed; expected .*"learned-range"'):
            load_card(changed(tmp_path, "variance", value))


def test_discrete_networks_take_no_sigma(tmp_path: Path) -> None:
    for time in ({"input": "sigma"}, {"input": "log-sigma", "scale": 1}):
        with pytest.raises(CardError, match='is not allowed; a discrete schedule goes with "index"'):
            load_card(changed(tmp_path, "time", time))


def test_a_card_is_found_as_folder_file_and_shipped_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_card(folder / "card.yaml") == load_card(folder)
    shipped_folder = tmp_path / "shipped"
    (shipped_folder / "ldm").mkdir(parents=True)
    (shipped_folder / "ldm" / "card.yaml").write_text(CARD)
    (shipped_folder / "references").mkdir()
    monkeypatch.setattr(shipped, "reference_models", lambda: shipped_folder)
    assert shipped_models() == ("ldm",)
    assert load_card("ldm").directory == shipped_folder / "ldm"
    with pytest.raises(CardError, match=r'unknown model "lmd"; did you mean "ldm"\? Known: ldm'):
        load_card("lmd")
    monkeypatch.setattr(shipped, "reference_models", lambda: tmp_path / "nowhere")
    assert shipped_models() == ()


def test_weights_sha256_is_one_hash_over_names_and_hashes(folder: Path, tmp_path: Path) -> None:
    files = {"unet/a.safetensors": "a" * 64, "vae/b.safetensors": "b" * 64}
    expected = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    assert load_card(folder).weights_sha256 == expected
    reordered = dict(reversed(list(files.items())))
    assert load_card(changed(tmp_path, "sha256", reordered)).weights_sha256 == expected
    assert load_card(changed(tmp_path, "sha256", files | {"vae/b.safetensors": "c" * 64})).weights_sha256 != expected


@pytest.mark.parametrize(
    "key", ["version", "name", "family", "prediction", "schedule", "time", "data", "clip", "network", "codec", "ema"]
    + ["reference", "extractor", "sha256", "source", "license", "data.range", "network.class", "codec.latent_shape"],
)  # fmt: skip
def test_every_key_is_needed(tmp_path: Path, key: str) -> None:
    with pytest.raises(CardError) as caught:
        load_card(changed(tmp_path, key, ...))
    assert f'the key "{key.split(".")[-1]}" is missing' in str(caught.value)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("version", 2, "version: 2 is not allowed; expected 1"),
        ("name", "a b", 'name: "a b" is not allowed'),
        ("family", "gan", 'family: "gan" is not allowed; expected one of "ddpm", "latent", "score-sde"'),
        ("family", "ddpm", 'codec: only family "latent" has a codec, not "ddpm"'),
        ("prediction", "eps", 'prediction: "eps" is not allowed; expected one of "epsilon", "sample", "v_prediction"'),
        ("schedule.kind", "cosin", "schedule: unknown schedule kind 'cosin'"),
        ("schedule.steps", 10.5, "schedule: schedule ddpm: steps must be an integer"),
        ("schedule.beta_start", "x", "schedule: schedule ddpm: beta_start must be a number"),
        ("schedule.beta_start", 5.0, "schedule: "),
        ("schedule.more", 5, "schedule: schedule ddpm: unknown key 'more'"),
        ("schedule.betas", [1, 2], "schedule: "),
        ("schedule.betas", {"a": 1}, "schedule: "),
        ("schedule", "vp", 'schedule: "vp" is not allowed; expected a mapping'),
        ("time.input", "scaled", 'time: the key "scale" is missing'),
        ("time.input", "seconds", 'time.input: "seconds" is not allowed; expected one of "index", "scaled"'),
        ("time.scale", 3, 'time.scale: input "index" has no scale'),
        ("time", {"input": "scaled", "scale": 999}, 'a discrete schedule goes with "index"'),
        ("data.range", [1, -1], "data.range: [1, -1] is not allowed; the first number must be below the second"),
        ("data.range", [1], "data.range: [1] is not allowed; expected a list of 2 elements, each a number"),
        ("data.shape", [1, 28], "data.shape: [1, 28] is not allowed; expected a list of 3 elements, each a whole"),
        ("data.shape", [1, 0, 28], "data.shape[1]: 0 is not allowed; expected a whole number from 1 to 65536"),
        ("data.shape", [1, 32, 32], "codec.crop: 28 does not give images of shape [1, 32, 32]"),
        ("clip", [0, 0], "clip: [0, 0] is not allowed"),
        ("clip", "no", 'clip: "no" is not allowed; latents have no range to clip to'),
        ("network.path", "../unet", 'network.path: "../unet" is not allowed; expected a path inside the card'),
        ("network.path", "/etc", "network.path: "),
        ("network.path", "a/../../b", "network.path: "),
        ("network.path", "C:x", "network.path: "),
        ("network.class", 3, "network.class: 3 is not allowed; expected text"),
        ("network.klass", "x", 'network.klass: unknown key "klass"; did you mean "class"? Known: path, class, '),
        ("codec", None, 'codec: null is not allowed; family "latent" needs a codec'),
        ("codec.scaling_factor", 0, "codec.scaling_factor: 0 is not allowed; expected a number above 0"),
        ("ema", "yes", 'ema: "yes" is not allowed; expected true or false'),
        ("ema", 1, "ema: 1 is not allowed; expected true or false"),
        ("sha256", {}, "sha256: a mapping is not allowed; expected a mapping of files to their sha256"),
        ("sha256", {"a": "A" * 64}, 'expected a sha256: 64 lowercase hexadecimal digits'),
        ("sha256", {"../a": "a" * 64}, "sha256"),
        ("licence", "MIT", 'licence: unknown key "licence"'),
        ("licence", "MIT", 'did you mean "license"?'),
    ],
)  # fmt: skip
def test_wrong_values_are_named_with_file_and_key(tmp_path: Path, key: str, value: Any, message: str) -> None:
    with pytest.raises(CardError) as caught:
        load_card(changed(tmp_path, key, value))
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{tmp_path / 'card.yaml'}:") for line in lines)
    assert any(message in line for line in lines)


def test_all_problems_come_with_their_lines(folder: Path) -> None:
    text = CARD.replace("version: 1", "version: 3").replace("ema: true", "ema: on").replace("license:", "licence:")
    (folder / "card.yaml").write_text(text)
    with pytest.raises(CardError) as caught:
        load_card(folder)
    starts = [line.removeprefix(f"{folder / 'card.yaml'}:").split(": ")[0] for line in str(caught.value).splitlines()]
    assert starts == ["1:10", "11:6", "16:1"]


@pytest.mark.parametrize("text", ["", "- a\n", "a: 1\na: 2\n", "!!python/object:os.system {}\n", "a: [", "\0"])
def test_files_that_are_no_cards(folder: Path, text: str) -> None:
    (folder / "card.yaml").write_text(text)
    with pytest.raises(CardError, match=r"card\.yaml:"):
        load_card(folder)


@pytest.mark.parametrize("name", ["./nowhere", "nowhere/card.yaml", "", "a\0b", "x" * 5000, "/dev/null", "."])
def test_places_without_a_card(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CardError) as caught:
        load_card(name)
    assert "\n" not in str(caught.value)


def test_cards_that_are_shipped_can_be_read() -> None:
    for name in shipped_models():
        card = load_card(name)
        assert card.name == name
        assert len(card.schedule_object().to_dict()) > 1


def test_weights_may_be_elsewhere(tmp_path: Path) -> None:
    """Then a card needs no sha256; two such cards differ by where their weights are."""
    hub = {"source": "hf://google/ddpm-cifar10-32@main", "note": "not averaged"}
    card = yaml.safe_load(CARD) | {"sha256": {}, "checkpoint": hub, "flops": 1.2e10}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    found = load_card(tmp_path)
    assert found.flops == 1.2e10 and str(found.checkpoint) == "hf://google/ddpm-cifar10-32@main (not averaged)"
    card["checkpoint"] = {"from": "a release", "files": ["model.ckpt"]}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    other = load_card(tmp_path)
    assert str(other.checkpoint) == "a release" and other.weights_sha256 != found.weights_sha256
    assert other.missing is not None and other.missing.endswith("ldm; they can be had from a release")
    assert ", model.ckpt, are not in" in other.missing
    pinned = card | {"sha256": {"a": "a" * 64}}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(pinned))
    apart = {key: value for key, value in pinned.items() if key != "checkpoint"}
    weights = load_card(tmp_path).weights_sha256
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(apart))
    assert load_card(tmp_path).weights_sha256 == weights, "files that are known are known by their sha256"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"checkpoint": {"files": ["a"]}}, 'give either "source" (hf://owner/name@revision, or a folder) or "from"'),
        ({"checkpoint": {"source": "a", "from": "b"}}, 'give either "source"'),
        ({"checkpoint": {"from": "b", "files": ["../a"]}}, "expected a path inside the card"),
        ({"flops": 0}, "flops: 0 is not allowed; expected a number above 0"),
        ({"checkpoint": None}, "sha256: a mapping is not allowed; expected a mapping of files to their sha256"),
    ],
)
def test_wrong_words_about_a_checkpoint(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    card = yaml.safe_load(CARD) | {"sha256": {}, "checkpoint": {"from": "a release"}, **changes}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(CardError) as caught:
        load_card(tmp_path)
    assert message in str(caught.value)
