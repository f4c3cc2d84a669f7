import io
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from diffbench.cli import cli
from diffbench.report.sheets import QUALITIES, Quality, sheet, sheets

NOISE = np.random.default_rng(0).integers(0, 256, (3, 5, 3, 12, 10), dtype=np.uint8)


def opened(made):
    with Image.open(io.BytesIO(made.data)) as image:
        return np.asarray(image)


def test_tiles_are_where_they_say_and_without_loss():
    made = sheet(NOISE, QUALITIES[0])
    whole = opened(made)
    assert (made.kind, made.rows, made.columns, made.width, made.height) == ("png", 3, 5, 10, 12)
    for row in range(3):
        for column in range(5):
            found = whole[row * 12 : (row + 1) * 12, column * 10 : (column + 1) * 10]
            np.testing.assert_array_equal(found, NOISE[row, column].transpose(1, 2, 0))
    grey = sheet(NOISE[:, :, :2], QUALITIES[0])
    np.testing.assert_array_equal(opened(grey)[:12, :10], NOISE[0, 0, 0])


def test_large_tiles_shrink_to_the_mean_of_their_pixels():
    large = np.kron(NOISE[:1, :2].astype(np.uint8), np.ones((4, 4), np.uint8)).astype(np.uint8)
    made = sheet(large, Quality(16, 12, None))
    assert (made.width, made.height) == (10, 12)
    np.testing.assert_array_equal(opened(made), opened(sheet(NOISE[:1, :2], QUALITIES[0])))


def test_the_best_quality_that_fits_is_taken_for_all():
    random = np.random.default_rng(1)
    images = {f"{i:03d}": random.integers(0, 256, (1, 16, 3, 32, 32), dtype=np.uint8) for i in range(20)}
    tiles = {name: (lambda count, grid=grid: grid[:, :count]) for name, grid in images.items()}
    whole, quality = sheets(tiles, 10_000_000)
    assert quality == QUALITIES[0] and set(whole) == set(images)
    for most in (700_000, 200_000, 40_000):
        made, quality = sheets(tiles, most)
        size = sum(len(one.to_dict()["src"]) for one in made.values())
        assert size <= most and quality != QUALITIES[0] and len(made) == 20
        assert {(one.columns, one.kind) for one in made.values()} == {(min(16, quality.samples), "webp")}
    assert sheets(tiles, 1_000) == ({}, None) and sheets({}, 1_000)[0] == {}


def test_what_a_report_costs_is_measured_on_one_that_has_everything(tmp_path):
    done = CliRunner().invoke(cli, ["bench", "report", "--cells", "20", "--out", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    page = (tmp_path / "report.html").read_text()
    assert row["cells"] == 20 and row["page_megabytes"] == pytest.approx(len(page.encode()) / 1e6)
    assert 0 < row["cpu_seconds"] < 60 and row["page_megabytes"] < row["folder_megabytes"]
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    assert len(data["cells"]) == len(data["sheets"]) == len(data["trajectories"]) == 20
