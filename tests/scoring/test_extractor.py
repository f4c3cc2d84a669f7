from __future__ import annotations

import hashlib
import json

import pytest
import torch
from safetensors.torch import save

from diffbench import shipped
from diffbench.errors import ScoringError, UsageError, WeightsError
from diffbench.scoring.extractor import load_extractor
from diffbench.scoring.mnist_features import MnistFeatures


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Untrained weights in a folder of shipped data."""
    monkeypatch.setattr(shipped, "reference_models", lambda: tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MnistFeatures()
    place = tmp_path / "mnist-features"
    place.mkdir()
    write(place, save({name: value.contiguous() for name, value in network.state_dict().items()}))
    return place


def write(place, content):
    (place / "model.safetensors").write_bytes(content)
    (place / "config.json").write_text(json.dumps({"sha256": hashlib.sha256(content).hexdigest()}))


def images(n=5, seed=0):
    return torch.randint(256, (n, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_features_and_logits_are_those_of_the_network(folder):
    extractor = load_extractor("mnist-features")
    seen = extractor(images())
    with torch.no_grad():
        features, logits = extractor.network(images().float() / 255)
    assert torch.equal(seen.features, features) and torch.equal(seen.logits, logits)
    assert seen.features.shape == (5, extractor.dim) == (5, 64) and seen.logits.shape == (5, 10)
    assert seen.features.dtype == seen.logits.dtype == torch.float32
    assert (extractor.name, extractor.image_shape) == ("mnist-features", (1, 28, 28))
    assert extractor.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert not extractor.network.training and not any(p.requires_grad for p in extractor.network.parameters())


def test_the_same_batch_gives_the_same_bytes_and_the_layout_does_not_matter(folder):
    extractor = load_extractor("mnist-features")
    first = extractor(images())
    again = load_extractor("mnist-features")(images().to(memory_format=torch.channels_last))
    assert torch.equal(first.features, again.features) and torch.equal(first.logits, again.logits)


def test_the_batch_is_not_split(folder):
    extractor = load_extractor("mnist-features")
    sizes = []
    extractor.network.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    extractor(images(300))
    assert sizes == [300]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), r"\(1, 28, 28\), got \(3, 32, 32\)"),
        (torch.zeros(1, 28, 28, dtype=torch.uint8), r"\(1, 28, 28\), got \(28, 28\) \(batch \(1, 28, 28\)\)"),
        (torch.zeros(2, 1, 28, 28), "uint8 images, got torch.float32"),
        (torch.zeros(0, 1, 28, 28, dtype=torch.uint8), "no images"),
    ],
)
def test_wrong_images(folder, wrong, message):
    with pytest.raises(ScoringError, match=message):
        load_extractor("mnist-features")(wrong)


def one_line(error):
    return "\n" not in str(error.value)


def test_other_weights_are_refused_before_they_are_read(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="sha256 is .* but config.json says") as error:
        load_extractor("mnist-features")
    assert one_line(error)


def test_missing_files(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="FileNotFoundError") as error:
        load_extractor("mnist-features")
    assert one_line(error)


@pytest.mark.parametrize("config", ["", "{}", "[]", "null"])
def test_malformed_config(folder, config):
    (folder / "config.json").write_text(config)
    with pytest.raises(WeightsError, match="can't be read") as error:
        load_extractor("mnist-features")
    assert one_line(error)


@pytest.mark.parametrize("content", [b"", b"not safetensors", save({"head.weight": torch.zeros(3)})])
def test_weights_of_something_else(folder, content):
    write(folder, content)
    with pytest.raises(WeightsError, match="does not fit MnistFeatures") as error:
        load_extractor("mnist-features")
    assert one_line(error)


def test_unknown_extractor():
    with pytest.raises(UsageError, match="'inception': known are mnist-features"):
        load_extractor("inception")
