"""A run's images as other tools take them."""

import json

import numpy as np
import pytest
from PIL import Image
from tiny_run import run, tiny_suite

from diffbench.runner.export import export_images
from diffbench.store.kept import kept_images
from diffbench.store.shards import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    from tiny_model import write_checkpoint

    checkpoint = write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    run(tiny_suite(checkpoint), folder)
    return folder


def test_npz_holds_the_very_pixels_channels_last(finished, tmp_path):
    found = export_images(finished, tmp_path / "npz", "sampler=ddim", "npz")
    ((path, count),) = found.folders.items()
    with np.load(path) as file:
        images = file["arr_0"]
        assert file.files == ["arr_0"] and images.dtype == np.uint8 and images.shape == (3, 28, 28, 1) and count == 3
    (entry,) = json.loads((tmp_path / "npz" / "cells.json").read_text()).values()
    assert np.array_equal(images.transpose(0, 3, 1, 2), kept_images(Store(finished), entry["cell"]))
    again = export_images(finished, tmp_path / "again", "sampler=ddim", "npz")
    assert next(iter(again.folders)).read_bytes() == path.read_bytes()
    pngs = export_images(finished, tmp_path / "png", "sampler=ddim")
    with Image.open(next(iter(pngs.folders)) / "00000002.png") as image:
        assert np.array_equal(np.asarray(image), images[2, :, :, 0])


def test_npz_scores_what_the_run_says(finished, tmp_path, diffbench):
    code, out, _ = diffbench("export", str(finished), "--npz", "--out", "out", "--only", "sampler=ddpm")
    assert code == 0 and "3 images" in out
    (path,) = (tmp_path / "out").glob("*.npz")
    assert path.name.startswith("tiny-ddpm-nfe-2")
    code, out, err = diffbench("score", str(path), "--metrics", "is")
    assert code == 0, err


@pytest.mark.parametrize("options", [("--npz", "--png", "--out", "x"), (), ("--mlflow", "u", "--out", "x"),
                                     ("--wandb", "--npz", "--out", "x")])  # fmt: skip
def test_options_that_contradict_are_one_clear_line(finished, diffbench, options):
    code, _, err = diffbench("export", str(finished), *options)
    assert code == 2 and len(err.splitlines()) == 1
