"""A baseline file says what its run folder says, and nothing that is broken passes for a baseline."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_run import run, tiny_suite

from diffbench.comparison.baseline import Baseline, open_side, write_baseline
from diffbench.comparison.compare import compare
from diffbench.comparison.rows import as_rows
from diffbench.comparison.side import RunSide
from diffbench.errors import StoreError
from diffbench.store.sealed import seal, unseal


@pytest.fixture(scope="module")
def folders(checkpoint, tmp_path_factory):
    root = tmp_path_factory.mktemp("baselines")
    shared = {"samples": {"n": 60, "shard": 60}, "metrics": ["is", "kid"], "run": {"batch_size": 60, "device": "cpu"}}
    clipped = {"models": [{"id": "tiny", "source": str(checkpoint), "clip": [-0.2, 0.2]}]}
    for name, changes in (("base", {}), ("clipped", clipped)):
        run(tiny_suite(checkpoint, **{**shared, **changes}), root / name)
    return root


@pytest.fixture
def stored(folders, tmp_path):
    path = tmp_path / "base.safetensors"
    write_baseline(RunSide.open(folders / "base"), path)
    return path


def test_a_baseline_gives_the_same_comparison_as_its_run(folders, stored):
    new = RunSide.open(folders / "clipped")
    rows = [as_rows(compare(open_side(base), new)) for base in (folders / "base", stored)]
    assert len(rows[0]) == 9
    for folder, file in zip(*rows, strict=True):
        assert {**folder, "samples": ""} == {**file, "samples": ""}  # the file keeps fewer images
    same = compare(open_side(stored), RunSide.open(folders / "base"))
    assert same.gate == "pass" and {row.verdict.word for row in same.rows} == {"SAME"}
    assert all(one.equal and one.images == 8 for one in same.samples.values())


def test_it_says_which_of_network_and_sampler_changed(folders, stored):
    found = compare(open_side(stored), RunSide.open(folders / "clipped")).changed
    assert all(one.known and one.model is not None and one.sampler is None for one in found.values())
    assert "denoised" in {one.model.name for one in found.values()}
    same = compare(open_side(stored), RunSide.open(folders / "base")).changed
    assert all(one.known and one.model is None and one.sampler is None for one in same.values())


def test_images_are_the_first_of_the_run(folders, tmp_path):
    side = RunSide.open(folders / "base")
    for count in (0, 3):
        write_baseline(side, tmp_path / "b", count)
        stored = Baseline.open(tmp_path / "b")
        for cell in {row["cell"] for row in side.rows}:
            assert np.array_equal(stored.images(cell), side.images(cell)[:count]) or count == 0
            assert len(stored.images(cell)) == count


def test_it_is_small(folders, tmp_path):
    """8 bytes a sample and score, and what does not grow with them."""
    side = RunSide.open(folders / "base")
    one = side.images(side.rows[0]["cell"])[0].nbytes
    sizes = [write_baseline(side, tmp_path / "b", images) for images in (0, 8)]
    assert sizes[0] < 200_000 and sizes[1] - sizes[0] == pytest.approx(2 * 8 * one, abs=400)


def broken(path, damage):
    arrays = load_file(path)
    content = unseal(Baseline.open(path).path.read_bytes() and _text(path), path)
    content.pop("sha256", None)
    damage(arrays, content)
    save_file(arrays, path, metadata={"diffbench": seal(content).decode()})


def _text(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size])["__metadata__"]["diffbench"].encode()


def newer(arrays, content):
    content["format"] = 2


def other_values(arrays, content):
    name = next(name for name in arrays if name.startswith("influence/"))
    arrays[name] = arrays[name] + 1e-12


def bad_row(arrays, content):
    content["rows"][0]["status"] = "fine"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (newer, "newer than this diffbench reads"),
        (other_values, "own sha256"),
        (bad_row, r"base\.safetensors: results row 0 .*status is 'fine'"),
    ],
)
def test_broken_content_is_told(stored, damage, said):
    broken(stored, damage)
    with pytest.raises(StoreError, match=said):
        Baseline.open(stored)


def test_what_is_no_baseline_is_told(stored, tmp_path):
    with pytest.raises(StoreError, match="no baseline there; `diffbench baseline RUN --out"):
        open_side(tmp_path / "missing")
    (tmp_path / "text").write_text("hello")
    save_file({"a": np.zeros(3)}, tmp_path / "other")
    (tmp_path / "cut").write_bytes(stored.read_bytes()[:-9])
    flipped = bytearray(stored.read_bytes())
    flipped[300] ^= 1
    (tmp_path / "flipped").write_bytes(flipped)
    for name in ("text", "other", "cut", "flipped"):
        with pytest.raises(StoreError, match=name):
            open_side(tmp_path / name)


def test_a_run_without_scores_is_no_baseline(folders, tmp_path):
    side = RunSide.open(folders / "base")
    empty = [{**row, "value": None, "se": None, "ci_low": None, "ci_high": None, "reason": "r"} for row in side.rows]
    with pytest.raises(StoreError, match="nothing to compare with"):
        write_baseline(RunSide(side.path, empty, side.provenance), tmp_path / "b")
