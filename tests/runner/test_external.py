"""Images scored from files: what a run says of them, to the last digit."""

import json
import os
import shutil
import struct
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image
from tiny_model import write_checkpoint
from tiny_run import run as tiny_run
from tiny_run import tiny_suite

import diffbench
from diffbench import catalog, results
from diffbench.comparison.compare import compare
from diffbench.comparison.side import RunSide
from diffbench.errors import DiffbenchError, ImagesError, ReferenceDataError, StoreError, SuiteError, UsageError
from diffbench.runner.export import INDEX, export_images
from diffbench.runner.external import reference_of
from diffbench.scoring import known
from diffbench.scoring.extractor import NetworkExtractor, load_extractor
from diffbench.scoring.pictures import open_pictures
from diffbench.scoring.reference import load_reference, read_reference
from diffbench.scoring.reference_file import write_reference

N = 100
METRICS = [name for name, entry in catalog.METRICS.items() if entry.uses in ("features", "logits")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in shards and batches that don't fit the extractor's."""
    folder = tmp_path_factory.mktemp("external") / "run"
    suite = {"name": "q", "models": ["ddpm-mnist"], "samplers": ["ddim"], "budgets": {"nfe": [2]}, "metrics": METRICS,
             "samples": {"n": N, "shard": 48}, "timing": {"seconds": 0},
             "run": {"keep": {"samples": N}, "batch_size": 30, "device": "cpu"}}  # fmt: skip
    return diffbench.run(suite, folder, quiet=True)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "images"
    ((folder, count),) = export_images(run.folder, out).folders.items()
    assert count == N and json.loads((out / INDEX).read_text())[folder.name]["key"] == "ddpm-mnist/ddim/nfe=2"
    return folder


def scores(frame):
    rows = results.rows(frame)
    return {row["metric"]: [row[key] for key in ("value", "se", "ci_low", "ci_high", "n")] for row in rows}


def test_exported_images_score_what_the_run_says_to_the_last_digit(run, exported):
    known = {metric: values for metric, values in scores(run.frame).items() if metric in METRICS}
    assert len(known) == len(METRICS) > 3
    assert known == scores(diffbench.score(exported, reference="mnist", metrics=METRICS).frame)


def test_arrays_of_the_same_images_too(run, exported, tmp_path):
    images = np.stack([np.asarray(Image.open(path)) for path in sorted(exported.glob("*.png"))])
    np.save(tmp_path / "grey.npy", images)
    np.savez_compressed(tmp_path / "last.npz", images[..., None])
    np.save(tmp_path / "floats.npy", (images / 255 * 2 - 1).astype(np.float32)[:, None])
    known = scores(diffbench.score(exported, reference="mnist").frame)
    for name, values in (("grey.npy", None), ("last.npz", None), ("floats.npy", (-1.0, 1.0))):
        found = diffbench.score(tmp_path / name, reference="mnist", values=values)
        assert scores(found.frame) == known, name
        quantiser = json.loads(results.rows(found.frame)[0]["signature"])["comparable"]["quantiser"]
        assert quantiser == ("given" if values is None else "round")


def test_a_scored_folder_is_reported_and_compared(exported, tmp_path):
    first = diffbench.score(exported, reference="mnist", name="one", out=tmp_path / "a")
    assert (tmp_path / "a" / "report.html").is_file() and "given images" in (tmp_path / "a" / "report.md").read_text()
    noise = np.random.default_rng(0).integers(0, 256, (N, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "noise.npy", noise)
    diffbench.score(tmp_path / "noise.npy", reference="mnist", name="one", out=tmp_path / "b")
    found = compare(RunSide.open(tmp_path / "a"), RunSide.open(tmp_path / "b"))
    (row,) = [row for row in found.rows if row.metric == "kid"]
    assert row.verdict.word == "WORSE" and found.gate == "fail" and row.difference.correlation is not None
    assert first.folder == tmp_path / "a"


def test_real_data_in_every_form(exported, tmp_path):
    mnist = load_reference("mnist")
    np.savez(tmp_path / "moments.npz", mu=mnist.mean, sigma=mnist.cov)
    given = diffbench.score(exported, reference="mnist").frame
    moments = results.rows(diffbench.score(exported, reference=tmp_path / "moments.npz").frame)
    assert moments[0]["value"] == pytest.approx(scores(given)["fid"][0], rel=1e-9)
    assert moments[2]["value"] is None and "holds moments alone" in moments[2]["reason"]
    itself = scores(diffbench.score(exported, reference=exported).frame)
    assert abs(itself["fid"][0]) < 1e-9 and itself["kid"][0] < 0


@pytest.mark.parametrize(
    ("keywords", "error", "said"),
    [
        ({}, ReferenceDataError, "FID compares with real data"),
        ({"reference": "mnits"}, ReferenceDataError, "no reference 'mnits'"),
        ({"reference": "mnist", "metrics": ["fdi"]}, SuiteError, 'unknown metric "fdi"'),
        ({"reference": "mnist", "metrics": ["solver_error"]}, UsageError, "only a run makes"),
        ({"reference": "mnist", "extractor": "nothing"}, UsageError, "no extractor 'nothing'"),
    ],
)
def test_what_can_not_be_scored_is_told(exported, keywords, error, said):
    with pytest.raises(error, match=said):
        diffbench.score(exported, **keywords)


def test_images_of_another_shape_are_refused(tmp_path):
    np.save(tmp_path / "rgb.npy", np.zeros((3, 28, 28, 3), np.uint8))
    with pytest.raises(ImagesError, match="images are 3 x 28 x 28 .* mnist-features takes 1 x 28 x 28"):
        diffbench.score(tmp_path / "rgb.npy", reference="mnist")


@pytest.mark.parametrize(("images", "said"), [(1, "too few samples"), (5, "rank-deficient: n <= d")])
def test_few_images_have_scores_with_their_reason(exported, tmp_path, images, said):
    few = np.stack([np.asarray(Image.open(path)) for path in sorted(exported.glob("*.png"))[:images]])
    np.save(tmp_path / "few.npy", few)
    row = results.rows(diffbench.score(tmp_path / "few.npy", reference="mnist").frame)[0]
    assert said in row["reason"] and row["se"] is None and (row["value"] is None) == (images == 1)


def test_images_all_alike_are_told(tmp_path):
    np.save(tmp_path / "black.npy", np.zeros((80, 28, 28), np.uint8))
    rows = results.rows(diffbench.score(tmp_path / "black.npy", reference="mnist").frame)
    assert all("same features" in row["reason"] or row["metric"] == "is" for row in rows)


def test_exports_that_can_not_be_made(run, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("x")
    for folder, out, error in ((run.folder, tmp_path / "full", UsageError), (tmp_path, tmp_path / "o", StoreError)):
        with pytest.raises(error):
            export_images(folder, out)
    with pytest.raises(DiffbenchError, match="no cell"):
        export_images(run.folder, tmp_path / "none", "sampler=heun")


def test_cells_that_keep_only_some_images_are_told(diffbench, tmp_path):
    """Five samples, three of them kept; the cells that share samples are one folder."""
    tiny_run(tiny_suite(write_checkpoint(tmp_path / "tiny")), tmp_path / "run")
    code, out, err = command(diffbench, "export", tmp_path / "run", "--out", tmp_path / "png")
    assert code == 0 and out.count(": 3 images") == 2 == len(list((tmp_path / "png").glob("*/00000002.png")))
    assert err.count("3 of 5 images were kept; run: {keep: {samples: 5}} keeps all") == 2


def test_a_runs_table_is_never_overwritten(run, exported, tmp_path):
    before = (run.folder / results.PARQUET).read_bytes()
    (tmp_path / "file").write_text("x")
    for out, said in ((run.folder, "is the folder of a run"), (tmp_path / "file", "is not a folder")):
        with pytest.raises(UsageError, match=said):
            diffbench.score(exported, reference="mnist", out=out)
    assert (run.folder / results.PARQUET).read_bytes() == before
    with pytest.raises(UsageError, match="a range is for files of floats"):
        diffbench.score([], reference="mnist", values=(0.0, 1.0))


def command(diffbench_command, *arguments):
    code, out, err = diffbench_command(*map(str, arguments))
    assert "Traceback" not in err
    return code, out, err


def test_references_are_built_imported_and_shown(diffbench, exported, tmp_path):
    known = ["--name", "mine", "--split", "test"]
    code, out, _ = command(diffbench, "reference", "build", exported, *known, "--out", tmp_path / "refs")
    assert code == 0 and f"{N} images in the eyes of mnist-features" in out
    built = read_reference(tmp_path / "refs" / "mine.json")
    assert (built.n, built.info["split"], built.info["resize"]) == (N, "test", "none") and built.features.shape[0] == N
    np.savez(tmp_path / "stats.npz", mu=built.mean, sigma=built.cov)
    known = ["--name", "theirs", "--extractor", "mnist-features", "--n", N]
    code, _, _ = command(diffbench, "reference", "import", tmp_path / "stats.npz", *known, "--out", tmp_path / "refs")
    imported = read_reference(tmp_path / "refs" / "theirs.json")
    assert code == 0 and imported.features is None and imported.n == N
    np.testing.assert_array_equal(imported.mean, built.mean)
    code, out, _ = command(diffbench, "reference", "show", tmp_path / "refs" / "theirs.json", "--json")
    assert json.loads(out)[0]["holds"] == "moments"
    code, out, _ = command(diffbench, "score", exported, "--reference", tmp_path / "refs" / "mine.json", "--json")
    rows = json.loads(out)
    assert code == 0 and abs(rows[0]["value"]) < 1e-9 and rows[0]["reference"] == "mine"
    for bad in ("../mine", "", "a/b"):
        assert command(diffbench, "reference", "build", exported, "--name", bad)[0] == 2


@pytest.mark.parametrize(
    ("mean", "cov", "said"),
    [
        (np.zeros(3), np.eye(2), "a mean of shape"),
        (np.zeros(2), np.array([[1.0, 2.0], [2.0, 1.0]]), "negative eigenvalue"),
        (np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]]), "not symmetric"),
        (np.array([0.0, np.nan]), np.eye(2), "not finite"),
        (np.zeros(2, np.int64), np.eye(2), "not floats"),
        (np.array([{}], dtype=object), np.eye(2), "pickled objects"),
    ],
)
def test_moments_that_are_none(diffbench, exported, tmp_path, mean, cov, said):
    np.savez(tmp_path / "bad.npz", mu=mean, sigma=cov)
    code, _, err = command(diffbench, "score", exported, "--reference", tmp_path / "bad.npz")
    assert code == 2 and said in err and err.count("\n") == 1


def claims(descr, shape):
    """A .npy whose header states a shape that 64 bytes don't hold."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(64)


def test_files_beside_the_images_neither_hang_nor_fill_the_memory(diffbench, exported, tmp_path):
    with zipfile.ZipFile(tmp_path / "moments.npz", "w") as archive:
        archive.writestr("mu.npy", claims("<f8", (8,)))
        archive.writestr("sigma.npy", claims("<f8", (10**7, 10**6)))
    (tmp_path / "labels.npy").write_bytes(claims("<i8", (10**13,)))
    (tmp_path / "number.json").write_text("7")
    (tmp_path / "number.safetensors").write_bytes(b"")
    for name in ("pipe.json", "pipe.npz", "pipe.npy"):
        os.mkfifo(tmp_path / name)
    score = ("score", exported, "--metrics", "is")
    known = ("--name", "x", "--extractor", "mnist-features")
    for arguments, said in (
        (("reference", "show", tmp_path / "pipe.json"), "pipe.json: not a regular file"),
        (("reference", "import", tmp_path / "pipe.npz", *known), "not a regular file"),
        (("reference", "show", tmp_path / "number.json"), "no JSON object"),
        ((*score, "--reference", tmp_path / "pipe.npz"), "neither a folder nor a file"),
        ((*score, "--reference", tmp_path / "moments.npz"), "sigma does not hold the 80,000,000,000,000 bytes"),
        ((*score, "--labels", tmp_path / "pipe.npy"), "not a regular file"),
        ((*score, "--prompts", tmp_path / "pipe.npy"), "not a regular file"),
        ((*score, "--labels", tmp_path / "labels.npy"), "does not hold the 10000000000000 values"),
    ):
        code, _, err = command(diffbench, *arguments)
        assert code == 2 and said in err and err.count("\n") == 1, err


def test_score_and_export_on_the_command_line(diffbench, run, exported, tmp_path):
    code, out, _ = command(diffbench, "score", exported, "--reference", "mnist")
    assert code == 0 and "95% interval" in out and "FID" in out
    (shutil.copytree(exported, tmp_path / "more") / "notes.txt").write_text("x")
    code, out, err = command(diffbench, "score", tmp_path / "more", "--reference", "mnist", "--json")
    assert code == 0 and len(json.loads(out)) == 3 and "1 other file in the folder" in err and "ignored" in err
    code, out, _ = command(diffbench, "export", run.folder, "--out", tmp_path / "png")
    assert code == 0 and f": {N} images" in out
    for arguments, said in (
        (("score", tmp_path / "nowhere"), "No such file"),
        (("score", exported, "--range", "0"), "expected two numbers"),
        (("score", exported, "--range", "0,1"), "8-bit values"),
        (("export", run.folder, "--out", tmp_path / "png"), "not an empty folder"),
    ):
        code, _, err = command(diffbench, *arguments)
        assert code == 2 and said in err


def test_a_card_names_real_data_of_its_own(exported, tmp_path):
    """A checkpoint with the reference beside it: what people have who train on their own data."""
    checkpoint = write_checkpoint(tmp_path / "tiny")
    extractor = load_extractor("mnist-features")
    write_reference(reference_of(open_pictures(exported), extractor, "mine"), checkpoint)
    card = yaml.safe_load((checkpoint / "card.yaml").read_text())
    (checkpoint / "card.yaml").write_text(yaml.safe_dump({**card, "reference": "mine.json"}))
    suite = tiny_suite(checkpoint, samplers=["ddim"], metrics=["kid"])
    tiny_run(suite, tmp_path / "run")
    row = results.rows(results.read(tmp_path / "run"))[0]
    signature = json.loads(row["signature"])["comparable"]
    assert signature["reference"] == "mine" and row["value"] is not None
    assert signature["reference_sha256"] == read_reference(checkpoint / "mine.json").sha256
    (checkpoint / "mine.safetensors").write_bytes(b"changed")
    with pytest.raises(ReferenceDataError, match="sha256"):
        tiny_run(suite, tmp_path / "other")


def test_a_package_adds_an_extractor(exported, monkeypatch):
    def darkness(device):
        def network(levels):
            return levels.flatten(1)[:, :4], levels.new_zeros(len(levels), 0)

        return NetworkExtractor("darkness", "0" * 64, 4, None, device, network)

    point = SimpleNamespace(name="darkness", load=lambda: darkness)
    monkeypatch.setattr(known, "entry_points", lambda group: [point] if group == "diffbench.extractors" else [])
    assert "darkness" in known.known_extractors()
    rows = results.rows(diffbench.score(exported, reference=exported, extractor="darkness").frame)
    assert rows[0]["extractor"] == "darkness" and abs(rows[0]["value"]) < 1e-9 and "no classes" in rows[1]["reason"]


def test_labels_add_a_fid_for_each_class(diffbench, exported, tmp_path):
    labels = np.arange(N) % 3
    np.save(tmp_path / "labels.npy", labels)
    np.save(tmp_path / "floats.npy", labels / 2)
    given = ["--labels", tmp_path / "labels.npy", "--reference-labels", tmp_path / "labels.npy"]
    code, out, _ = command(diffbench, "score", exported, "--reference", exported, "--metrics", "fid", *given, "--json")
    rows = json.loads(out)
    assert code == 0 and [json.loads(row["options"]) for row in rows] == [{}, *({"label": k} for k in range(3))]
    assert [row["n"] for row in rows] == [N, 34, 33, 33] and all(abs(row["value"]) < 1e-9 for row in rows)
    code, out, _ = command(diffbench, "score", exported, "--reference", exported, *given)
    assert code == 0 and "FID, class 2" in out
    for bad, said in (
        (["--labels", tmp_path / "labels.npy"], "needs a reference and the labels"),
        (["--labels", tmp_path / "floats.npy"], "labels are whole numbers"),
        (["--labels", tmp_path / "nowhere.npy"], "can't be read as .npy"),
        (["--prompts", tmp_path / "labels.npy"], "can't be read as text"),
    ):
        code, _, err = command(diffbench, "score", exported, "--reference", exported, *bad)
        assert code == 2 and said in err


def test_prompts_need_an_extractor_that_reads_text(diffbench, exported, tmp_path):
    (tmp_path / "prompts.txt").write_text("a seven\n" * N)
    code, _, err = command(diffbench, "score", exported, "--metrics", "is", "--prompts", tmp_path / "prompts.txt")
    assert code == 2 and "clip-vitb32 or clip-vitl14-336, not mnist-features" in err


def test_a_reference_of_another_resize_is_refused(diffbench, exported, tmp_path):
    """A silent mix of protocols is what makes FIDs unlike."""
    built = reference_of(open_pictures(exported), load_extractor("mnist-features"), "mine")
    assert built.info["resize"] == "none", "as the extractor has it"
    np.savez(tmp_path / "stats.npz", mu=built.mean, sigma=built.cov)
    known = ["--name", "clean", "--extractor", "mnist-features", "--resize", "clean", "--out", tmp_path]
    assert command(diffbench, "reference", "import", tmp_path / "stats.npz", *known)[0] == 0
    code, _, err = command(diffbench, "score", exported, "--reference", tmp_path / "clean.json")
    assert code == 2 and "resized by 'clean', but mnist-features resizes by 'none'" in err
    known[3] = "mnist-featuers"
    code, _, err = command(diffbench, "reference", "import", tmp_path / "stats.npz", *known)
    assert code == 2 and 'did you mean "mnist-features"?' in err


def test_moments_do_not_say_whose_they_are(diffbench, tmp_path):
    np.savez(tmp_path / "stats.npz", mu=np.zeros(3), sigma=np.eye(3))
    for given, stated in (([], None), (["--extractor", "mnist-features"], "mnist-features")):
        code, out, _ = command(diffbench, "reference", "show", tmp_path / "stats.npz", *given, "--json")
        assert code == 0 and json.loads(out)[0]["extractor"] == stated


def test_real_images_that_are_floats_have_a_range_of_their_own(diffbench, exported, tmp_path):
    images = np.stack([np.asarray(Image.open(path)) for path in sorted(exported.glob("*.png"))])
    np.save(tmp_path / "real.npy", (images / 255).astype(np.float32)[:, None])
    code, _, err = command(diffbench, "score", exported, "--reference", tmp_path / "real.npy")
    assert code == 2 and "real.npy" in err
    given = ["--reference", tmp_path / "real.npy", "--reference-range", "0,1", "--json"]
    code, out, _ = command(diffbench, "score", exported, *given)
    assert code == 0 and abs(json.loads(out)[0]["value"]) < 1e-9
