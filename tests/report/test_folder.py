import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from diffbench import results
from diffbench.errors import StoreError
from diffbench.report.folder import open_run
from diffbench.report.grids import mosaic, shown_budgets
from diffbench.report.page import draw
from diffbench.store.sealed import write_sealed
from diffbench.store.shards import IMAGES, Artefact, ShardRange, Store


@pytest.fixture
def run(made_run, tmp_path):
    return shutil.copytree(made_run, tmp_path / "run")


def test_images_come_in_index_order_and_only_as_many_as_asked(run):
    folder = open_run(run)
    cell = folder.cells[3]
    images = folder.images(cell, 100)
    assert images.shape == (64, 1, 28, 28) and images.dtype == np.uint8
    np.testing.assert_array_equal(folder.images(cell, 50), images[:50])
    assert len(np.unique(images.reshape(64, -1), axis=0)) == 64


def test_a_short_shard_that_a_longer_one_replaced_is_not_read_twice(run):
    folder = open_run(run)
    cell = folder.cells[3]
    place = run / "cells" / cell.id
    before = folder.images(cell, 100)
    artefacts = {IMAGES: Artefact({IMAGES: before[:20]}, {"count": 20})}
    Store(run).write(cell.id, ShardRange(0, 20), artefacts, {})
    assert place.is_dir()
    np.testing.assert_array_equal(folder.images(cell, 100), before)


def test_a_shard_without_a_manifest_does_not_exist(run):
    folder = open_run(run)
    for path in (run / "cells" / folder.cells[3].id).glob("shard-*.json"):
        path.unlink()
    assert len(folder.images(folder.cells[3], 8)) == 0


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("results.parquet", None, "no results.parquet here"),
        ("results.parquet", b"PAR1", "corrupt"),
        ("references.json", b"{", "references.json: cut short"),
        ("timing.json", b'{"spent": NaN}', "timing.json: cut short"),
        ("provenance.json", b"[1]", "provenance.json: cut short"),
    ],
)
def test_damaged_files_are_named(run, file, damage, message):
    (run / file).unlink()
    if damage is not None:
        (run / file).write_bytes(damage)
    with pytest.raises(StoreError, match=message):
        draw(run)


def test_an_altered_shard_is_named(run):
    folder = open_run(run)
    path = run / "cells" / folder.cells[3].id / "shard-00000000-00000040.images.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(StoreError, match=r"shard-00000000-00000040.*sha256"):
        folder.images(folder.cells[3], 8)


def test_a_cell_id_is_never_a_path(new_run, tmp_path, monkeypatch):
    def hostile(rows):
        return [replace(row, cell="../../outside", status="failed", value=None, se=None, ci_low=None, ci_high=None,
                        reason="why") for row in rows if row.metric == "fid" and row.budget == 5]  # fmt: skip

    with pytest.raises(StoreError, match="not an id"):
        new_run(tmp_path / "run", hostile, models=("ddpm-mnist",))
    anything = re.compile(".*")
    with monkeypatch.context() as patch:  # as another program would write it
        patch.setattr(results, "_PLAIN_NAME", anything)
        run = new_run(tmp_path / "run", hostile, models=("ddpm-mnist",))
    with pytest.raises(StoreError, match="not an id"):
        draw(run)
    monkeypatch.setattr(results, "_PLAIN_NAME", anything)
    with pytest.raises(StoreError, match="not a cell id"):
        draw(run)


def test_mosaic_places_images_row_by_row():
    images = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 28, 28), np.uint8)
    sheet = mosaic(images, 2, 3)
    assert sheet.shape == (57, 86)
    centres = [[int(sheet[14 + 29 * r, 14 + 29 * c]) for c in range(3)] for r in range(2)]
    assert centres == [[1, 2, 3], [4, 5, 235]] and sheet[28, 0] == 235 and sheet[0, 28] == 235
    colour = mosaic(np.zeros((4, 3, 64, 64), np.uint8), 2, 2)
    assert colour.shape == (130, 130, 3)
    assert mosaic(np.zeros((1, 2, 8, 8), np.uint8), 1, 1).shape == (8, 8)


def test_many_budgets_are_thinned_with_both_ends(run):
    cell = open_run(run).cells[0]
    cells = [replace(cell, budget=b) for b in (1000, *range(1, 21))]
    budgets = shown_budgets(cells)
    assert len(budgets) == 8 and budgets[0] == "NFE 1" and budgets[-1] == "NFE 1000"
    mixed = [replace(cell, budget=None, budget_kind=None), replace(cell, budget_kind="steps"), cell]
    assert shown_budgets(mixed) == ["NFE 5", "steps 5", "adaptive"]


def test_json_side_files_are_optional(run):
    for name in ("references", "timing", "provenance"):
        (run / f"{name}.json").unlink()
    (run / "suite.yaml").unlink()
    folder = open_run(run)
    assert folder.floor(folder.cells[0], "fid") is None and folder.name == "made-up" and folder.suite_text == ""


def test_a_floor_that_is_not_a_number_is_no_floor(run):
    write_sealed(run / "references.json", {"mnist": {"floors": {"160": {"fid": {"mean": None}}}}})
    folder = open_run(run)
    assert folder.floor(folder.cells[0], "fid") is None
