import hashlib

import numpy as np
import pytest

from diffbench.store import manifest
from diffbench.store.manifest import MANIFEST, damage, write_manifest
from diffbench.store.probe import Answer, Answers, settle
from diffbench.store.sealed import read_sealed, write_sealed
from diffbench.store.shards import FREED, IMAGES, Artefact, ShardRange, Store

SHARD = ShardRange(0, 2)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    store = Store(folder)
    artefacts = {
        "eyes": Artefact({"features": np.ones((2, 3), np.float32)}, {"weights": "ab"}),
        IMAGES: Artefact({IMAGES: np.zeros((1, 1, 2, 2), np.uint8)}, {"count": 1}),
    }
    store.write("c0ffee", SHARD, artefacts, {"probe": "p"})
    answers = Answers({"a": Answer(np.ones(1), "float32", np.ones(1))})
    settle(folder / "probes" / "model.json", answers)
    settle(store.folder("c0ffee") / "probe.json", answers)
    write_sealed(store.folder("c0ffee") / "cell.json", {"id": "c0ffee"})
    influence = b"influence values"
    (store.folder("c0ffee") / "scores.safetensors").write_bytes(influence)
    write_sealed(store.folder("c0ffee") / "scores.json", {"influence": hashlib.sha256(influence).hexdigest()})
    write_sealed(folder / "sessions" / "1.json", {"started": "x"})
    (folder / "suite.yaml").write_text("name: x\n")
    (folder / "figures").mkdir()
    (folder / "figures" / "a.png").write_bytes(b"\x89PNG")
    (folder / ".suite.yaml.1.tmp").write_text("half")
    write_manifest(folder)
    return folder


def test_it_lists_what_is_made_from_the_shards_with_size_and_hash(run):
    files = read_sealed(run / MANIFEST)["files"]
    assert sorted(files) == ["figures/a.png", "suite.yaml"]
    assert files["suite.yaml"] == {"sha256": hashlib.sha256(b"name: x\n").hexdigest(), "bytes": 8}
    assert list(damage(run)) == []


def test_it_is_not_written_again_when_nothing_changed(run):
    before = (run / MANIFEST).stat().st_mtime_ns, (run / MANIFEST).read_bytes()
    write_manifest(run)
    assert ((run / MANIFEST).stat().st_mtime_ns, (run / MANIFEST).read_bytes()) == before


def test_a_file_that_changes_while_it_is_written_is_listed_as_it_is_in_the_end(run, monkeypatch):
    write = manifest.write_sealed
    changes = iter([b"a", b"b"])

    def meanwhile(path, content):
        write(path, content)
        if (data := next(changes, None)) is not None:
            (run / "results.csv").write_bytes(data)

    monkeypatch.setattr(manifest, "write_sealed", meanwhile)
    write_manifest(run)
    monkeypatch.undo()
    assert list(damage(run)) == []
    assert read_sealed(run / MANIFEST)["files"]["results.csv"]["sha256"] == hashlib.sha256(b"b").hexdigest()


def test_damage_to_any_one_file_is_one_line_that_names_it(run):
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and not path.name.endswith(".tmp")]
    assert len(files) == 12
    for path in files:
        whole = path.read_bytes()
        for harm in (whole[:-3] + b"!" + whole[-2:], whole[:-1]):
            path.write_bytes(harm)
            told = list(damage(run))
            assert len(told) == 1 and str(path) in told[0], (path, told)
        path.write_bytes(whole)
    assert list(damage(run)) == []


def test_what_is_missing_is_told(run):
    (run / "figures" / "a.png").unlink()
    assert list(damage(run)) == [f"{run / 'figures' / 'a.png'}: missing"]
    (run / MANIFEST).unlink()
    assert list(damage(run)) == [f"{run / MANIFEST}: No such file or directory"]
    write_manifest(run)
    (Store(run).folder("c0ffee") / f"{SHARD.name}.eyes.safetensors").unlink()
    assert "eyes.safetensors: No such file" in next(damage(run))
    (Store(run).folder("c0ffee") / "scores.safetensors").unlink()
    assert any("scores.safetensors" in line for line in damage(run))


def test_freed_features_are_no_damage(run):
    folder = Store(run).folder("c0ffee")
    write_sealed(folder / FREED, {"freed": "features"})
    (folder / f"{SHARD.name}.eyes.safetensors").unlink()
    assert list(damage(run)) == []
    (folder / f"{SHARD.name}.{IMAGES}.safetensors").unlink()
    assert len(list(damage(run))) == 1


def test_listing_some_files_keeps_what_is_said_of_the_others_so_that_their_damage_is_found(run):
    (run / "figures" / "a.png").write_bytes(b"\x89PnG")
    (run / "suite.yaml").write_text("name: y\n")
    (run / "results.csv").write_bytes(b"new")
    write_manifest(run, only=("suite.yaml", "results.csv", "never.there"))
    assert sorted(read_sealed(run / MANIFEST)["files"]) == ["figures/a.png", "results.csv", "suite.yaml"]
    assert list(damage(run)) == [f"{run / 'figures' / 'a.png'}: does not match the sha256 in {MANIFEST}"]
    write_manifest(run)
    assert list(damage(run)) == []
