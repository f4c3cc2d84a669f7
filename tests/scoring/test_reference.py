from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save

from diffbench import shipped
from diffbench.errors import ReferenceDataError, ScoringError
from diffbench.scoring.fid import fid
from diffbench.scoring.kid import kernel_mean, kid
from diffbench.scoring.reference import floor, load_reference

RNG = np.random.default_rng


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a reference "toy" into a folder of shipped data, with some tensors or facts replaced (None: left out)."""
    monkeypatch.setattr(shipped, "reference_models", lambda: tmp_path)
    folder = tmp_path / "references"
    folder.mkdir()

    def make(facts=None, **replaced):
        features = RNG(0).standard_normal((40, 6)).astype(np.float32)
        wide = features.astype(np.float64)
        tensors = {"features": features, "logits": np.zeros((40, 3), np.float32)}
        tensors |= {"mean": wide.mean(axis=0), "cov": np.cov(wide, rowvar=False)}
        tensors = {key: value for key, value in {**tensors, **replaced}.items() if value is not None}
        content = save(tensors)
        (folder / "toy.safetensors").write_bytes(content)
        info = {"n": 40, "image_shape": [1, 2, 2], "extractor": "eyes", "extractor_sha256": "ee", "split": "all"}
        info |= {"sha256": hashlib.sha256(content).hexdigest()}
        info = {key: value for key, value in {**info, **(facts or {})}.items() if value is not None}
        (folder / "toy.json").write_text(json.dumps(info))
        return folder

    return make


def test_a_reference_is_read_back(write):
    write()
    reference = load_reference("toy")
    assert (reference.name, reference.n, reference.extractor, reference.image_shape) == ("toy", 40, "eyes", (1, 2, 2))
    assert reference.features.dtype == np.float32 and reference.features.shape == (40, 6)
    assert reference.info["split"] == "all" and len(reference.sha256) == 64
    np.testing.assert_allclose(reference.cov, np.cov(reference.features.astype(np.float64), rowvar=False), rtol=1e-13)


def test_no_such_reference(write):
    write()
    for name in ("cifar", "../references/toy", "", "TOY"):
        with pytest.raises(ReferenceDataError, match="known are toy"):
            load_reference(name)


def test_one_flipped_bit_is_found(write):
    path = write() / "toy.safetensors"
    content = path.read_bytes()
    for position in (0, len(content) // 2, len(content) - 1):
        broken = bytearray(content)
        broken[position] ^= 1
        path.write_bytes(bytes(broken))
        with pytest.raises(ReferenceDataError, match="sha256"):
            load_reference("toy")
    path.write_bytes(content[:-1])
    with pytest.raises(ReferenceDataError, match="sha256"):
        load_reference("toy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"facts": {"sha256": None}}, "lacks sha256"),
        ({"facts": {"n": 41}}, "says n = 41, but there are features of 40"),
        ({"facts": {"image_shape": [28, 28]}}, "image_shape"),
        ({"cov": None}, "cov"),
        ({"mean": np.zeros(6)}, "stored mean"),
        ({"mean": np.zeros(5)}, "stored mean"),
        ({"cov": np.eye(6)}, "stored cov"),
        ({"cov": np.full((6, 6), np.nan)}, "stored cov"),
        ({"features": np.full((40, 6), np.nan, np.float32)}, "sample 0 "),
        ({"logits": np.zeros((39, 3), np.float32)}, "40 features but 39 logits"),
    ],
)
def test_contradictions_are_refused(write, change, message):
    write(**change)
    with pytest.raises(ReferenceDataError, match=message):
        load_reference("toy")


@pytest.mark.parametrize("content", ["", "[", '"text"', "[]"])
def test_malformed_facts(write, content):
    (write() / "toy.json").write_text(content)
    with pytest.raises(ReferenceDataError, match="toy.json"):
        load_reference("toy")


def test_missing_tensors(write):
    (write() / "toy.safetensors").unlink()
    with pytest.raises(ReferenceDataError, match=r"toy\.json: can't be read"):
        load_reference("toy")


def test_extractors_are_told_apart_by_name_and_hash(write):
    write()
    reference = load_reference("toy")
    reference.check_extractor(SimpleNamespace(name="eyes", sha256="ee", resize="none"))
    for name, sha256 in (("eyes", "ef"), ("ears", "ee")):
        with pytest.raises(ReferenceDataError, match="eyes"):
            reference.check_extractor(SimpleNamespace(name=name, sha256=sha256, resize="none"))


@pytest.mark.parametrize(("n", "d"), [(100, 8), (5, 8), (100, 100)])
def test_the_root_squares_to_the_covariance(make_reference, n, d):
    reference = make_reference(RNG(n).standard_normal((n, d)) / np.arange(1, d + 1))
    root = reference.sqrt_cov
    np.testing.assert_allclose(root @ root, reference.cov, atol=1e-14 * np.trace(reference.cov))
    np.testing.assert_allclose(root, root.T, atol=1e-15)
    assert np.linalg.eigvalsh(root)[0] > -1e-14
    assert reference.sqrt_cov is root  # worked out once


def test_the_kernel_mean_is_worked_out_once(make_reference):
    reference = make_reference(RNG(0).standard_normal((30, 4)))
    assert reference.kernel_mean == kernel_mean(reference.features)
    reference.__dict__["kernel_mean"] = 7.0
    assert kid(reference.features[:9], reference).value > 5.0


@pytest.mark.parametrize("n", [4, 50, 196])
@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_floor_is_the_mean_over_seeded_splits(make_reference, n, metric):
    features = RNG(0).standard_normal((200, 6)).astype(np.float32)
    values = []
    for draw in range(10):
        order = np.random.RandomState([3, draw]).permutation(200)
        score = {"fid": fid, "kid": kid}[metric](features[order[:n]], make_reference(features[order[n:]]))
        values.append(score.value)
    mean, sd = floor(make_reference(features), n, metric, seed=3)
    assert mean == pytest.approx(np.mean(values), rel=1e-12)
    assert sd == pytest.approx(np.std(values, ddof=1), rel=1e-9)


def test_floor_falls_with_n_and_is_zero_on_average_for_kid(make_reference):
    reference = make_reference(RNG(0).standard_normal((400, 6)))
    assert floor(reference, 20)[0] > 2 * floor(reference, 80)[0] > 0
    mean, sd = floor(reference, 100, "kid", draws=40)
    assert abs(mean) < 4 * sd / 40**0.5


def test_floor_draws_without_replacement(make_reference):
    # all but two drawn: with replacement, some would be missing from both parts, and the sums would differ
    features = np.arange(10.0)[:, None] ** 2
    mean, _ = floor(make_reference(features), 8, draws=2)
    values = []
    for draw in range(2):
        rest = np.random.RandomState([0, draw]).permutation(10)[8:]
        drawn = np.delete(features, rest, axis=0)
        spread = drawn.std(ddof=1) - features[rest].std(ddof=1)
        values.append((drawn.mean() - features[rest].mean()) ** 2 + spread**2)
    assert mean == pytest.approx(np.mean(values), rel=1e-12)


def test_floor_refusals(make_reference):
    reference = make_reference(RNG(0).standard_normal((20, 3)))
    for n in (0, 1, 19, 20, 5000):
        with pytest.raises(ReferenceDataError, match=f"n = {n}: reference 'toy' has 20 images"):
            floor(reference, n)
    for options in ({"metric": "is"}, {"draws": 1}, {"seed": -1}, {"seed": 2**32}):
        with pytest.raises(ScoringError):
            floor(reference, 5, **options)


def test_features_and_logits_must_pair_up(make_reference):
    with pytest.raises(ScoringError, match="20 features but 3 logits"):
        make_reference(RNG(0).standard_normal((20, 3)), np.zeros((3, 2)))
