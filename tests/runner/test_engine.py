import json
import shutil

import pandas as pd
import pytest

from diffbench import results
from diffbench.errors import Interrupted, UsageError, WeightsError
from diffbench.runner import execute, sampling
from diffbench.runner.engine import execute as run_suite
from diffbench.suite.read import read_suite, suite_from_objects

QUALITY = ["fid", "is", "kid"]


def suite(checkpoint, **changes):
    base = {
        "name": "tiny",
        "samples": {"n": 12, "shard": 5},
        "models": [{"id": "tiny", "source": str(checkpoint)}],
        "samplers": ["ddim", "ddpm", {"id": "noisy", "sampler": "ddim", "eta": 1.0}, "euler-maruyama"],
        "budgets": {"nfe": [2, 3]},
        "run": {"batch_size": 3, "device": "cpu", "keep": {"samples": 4}},
        "timing": {"seconds": 0},
    }
    return suite_from_objects({**base, **changes})


def quality(folder):
    table = results.read(folder)
    return table[table["metric"].isin(QUALITY)].reset_index(drop=True)


@pytest.fixture(scope="module")
def finished(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run_suite(suite(checkpoint), folder, quiet=True)
    return folder


def test_the_table_has_every_cell_and_metric_with_counted_evaluations(finished):
    table = results.read(finished)
    assert list(table.columns) == list(results.COLUMNS)
    assert len(table) == 4 * 2 * 6
    ok = table[table["status"] == "ok"]
    assert (ok["nfe"] == ok["budget"]).all()
    assert (ok["n"] == 12).all()
    scores = ok[ok["metric"].isin(QUALITY)]
    assert scores["value"].notna().all()
    below_rank = scores[scores["metric"] == "fid"]
    assert below_rank["se"].isna().all() and below_rank["reason"].notna().all(), "12 samples, 64 dimensions"
    assert scores[scores["metric"] != "fid"]["se"].notna().all()
    cost = ok[ok["metric"] == "seconds_per_image"]
    assert cost["value"].isna().all() and cost["reason"].str.contains("timing").all()


def test_a_sampler_that_the_schedule_does_not_carry_is_skipped_with_the_reason(finished):
    table = results.read(finished)
    skipped = table[table["sampler"] == "euler-maruyama"]
    assert (skipped["status"] == "skipped").all() and skipped["value"].isna().all()
    assert skipped["reason"].str.contains("SDE").all()


def test_coinciding_samplers_are_sampled_once(finished):
    table = quality(finished)
    ddpm, noisy = (table[table["sampler"] == name] for name in ("ddpm", "noisy"))
    assert list(ddpm["cell"]) == list(noisy["cell"])
    assert list(ddpm["value"]) == list(noisy["value"])
    assert len(list((finished / "cells").iterdir())) == 4
    assert set(table[table["sampler"] == "ddim"]["cell"]).isdisjoint(ddpm["cell"])


def test_the_run_folder_says_how_it_came_about(finished):
    provenance = json.loads((finished / "provenance.json").read_text())
    assert provenance["device"]["type"] == "cpu" and provenance["packages"]["torch"]
    assert set(provenance["seconds"]) == {"sampling", "timing", "scoring", "total"}
    reference = json.loads((finished / "references.json").read_text())["mnist"]
    assert reference["floors"]["12"]["fid"]["draws"] == 10
    cell = next((finished / "cells").iterdir())
    described = json.loads((cell / "cell.json").read_text())
    assert described["sigma"][-1] == 0 and len(described["t"]) == described["steps"] + 1


def test_a_repeat_samples_nothing_and_changes_nothing(checkpoint, finished):
    before = (finished / results.PARQUET).read_bytes()
    summary = run_suite(suite(checkpoint), finished, quiet=True)
    assert (summary.sampled, summary.changed) == (0, False)
    assert (finished / results.PARQUET).read_bytes() == before


@pytest.mark.parametrize("shard", [0, 1, 7, 11])
def test_an_interrupted_run_resumes_to_the_same_rows(checkpoint, finished, tmp_path, monkeypatch, shard):
    calls = iter(range(100))

    def interrupted(*args, **kwargs):
        if next(calls) == shard:
            raise KeyboardInterrupt
        return execute.run_shard(*args, **kwargs)

    monkeypatch.setattr(sampling, "run_shard", interrupted)
    with pytest.raises(Interrupted, match="the same command resumes"):
        run_suite(suite(checkpoint), tmp_path / "run", quiet=True)
    monkeypatch.undo()
    summary = run_suite(suite(checkpoint), tmp_path / "run", quiet=True)
    assert summary.sampled == 12 - shard
    pd.testing.assert_frame_equal(quality(tmp_path / "run"), quality(finished), check_exact=True)


def test_a_corrupt_shard_is_made_again_and_the_rest_is_kept(checkpoint, finished, tmp_path):
    run_suite(suite(checkpoint), tmp_path / "run", quiet=True)
    path = sorted((tmp_path / "run" / "cells").glob("*/shard-*.mnist-features.safetensors"))[4]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"!")
    assert run_suite(suite(checkpoint), tmp_path / "run", quiet=True).sampled == 1
    assert path.read_bytes() == whole
    pd.testing.assert_frame_equal(quality(tmp_path / "run"), quality(finished), check_exact=True)


def test_more_samples_keep_the_whole_shards(checkpoint, tmp_path):
    run_suite(suite(checkpoint), tmp_path / "run", quiet=True)
    grown = run_suite(suite(checkpoint, samples={"n": 20, "shard": 5}), tmp_path / "run", quiet=True)
    assert grown.sampled == 4 * 2  # of each cell: 10-15 instead of 10-12, and 15-20
    assert (quality(tmp_path / "run")["n"] == 20).all()


def test_keeping_more_images_samples_those_shards_again(checkpoint, tmp_path):
    run_suite(suite(checkpoint), tmp_path / "run", quiet=True)
    more = suite(checkpoint, run={"batch_size": 3, "device": "cpu", "keep": {"samples": 7}})
    assert run_suite(more, tmp_path / "run", quiet=True).sampled == 4 * 2


def test_a_failing_model_does_not_stop_the_others(checkpoint, spoiled, tmp_path):
    models = [{"id": "tiny", "source": str(checkpoint)}, {"id": "spoiled", "source": str(spoiled)}]
    summary = run_suite(suite(checkpoint, models=models, samplers=["ddim"]), tmp_path / "run", quiet=True)
    table = results.read(tmp_path / "run")
    failed = table[table["model"] == "spoiled"]
    assert (failed["status"] == "failed").all() and failed["value"].isna().all()
    assert failed["reason"].str.contains("sample 0 is not finite").all()
    assert (table[table["model"] == "tiny"]["status"] == "ok").all()
    assert len(summary.failed) == 2


def test_samples_do_not_depend_on_shards_only_identity_does(checkpoint, tmp_path):
    """Shards of 3 and of 6 hold the same batches, so the same features; their cells have ids of their own."""
    tables = []
    for shard in (3, 6):
        changed = suite(checkpoint, samples={"n": 12, "shard": shard}, samplers=["ddim", "ddpm"])
        run_suite(changed, tmp_path / str(shard), quiet=True)
        tables.append(quality(tmp_path / str(shard)))
    assert set(tables[0]["cell"]).isdisjoint(tables[1]["cell"])
    assert list(tables[0]["value"]) == list(tables[1]["value"])


def test_the_timing_pass_fills_the_cost_rows_and_is_not_repeated(checkpoint, tmp_path):
    timed = suite(checkpoint, samplers=["ddim"], timing={"seconds": 1.5, "batch_size": 2})
    run_suite(timed, tmp_path / "run", quiet=True)
    table = results.read(tmp_path / "run").set_index(["metric", "budget"])
    for budget in (2, 3):
        seconds = table.loc[("seconds_per_image", budget), "value"]
        assert seconds > 0
        assert table.loc[("images_per_second", budget), "value"] == pytest.approx(1 / seconds)
        assert table.loc[("peak_memory_mb", budget), "value"] > 50
        assert table.loc[("seconds_per_image", budget), "ci_low"] <= seconds
    first = (tmp_path / "run" / "timing.json").read_bytes()
    run_suite(timed, tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "timing.json").read_bytes() == first
    spent = json.loads(first)
    assert spent["spent"] < 4 and spent["rounds"] >= 1


def test_a_timing_pass_of_no_stated_length_takes_no_longer_than_sampling_did(checkpoint, tmp_path, monkeypatch):
    """Two shortest tenths of a second here. It counts on resume, whatever its length was; a stated one does not."""
    monkeypatch.setattr("diffbench.suite.spec.SHORTEST_TIMING", 0.2)
    untold = suite(checkpoint, samplers=["ddim"], timing={"batch_size": 2})
    run_suite(untold, tmp_path / "run", quiet=True)
    stored = json.loads((tmp_path / "run" / "timing.json").read_bytes())
    (session,) = (tmp_path / "run" / "sessions").iterdir()
    took = sum(cell["seconds"] for cell in json.loads(session.read_bytes())["cells"].values())
    assert stored["limit"] == pytest.approx(min(max(0.2, took), 60)) and stored["limit"] < 60
    for again, same in ((untold, True), (read_suite(tmp_path / "run" / "suite.yaml"), True), (
        suite(checkpoint, samplers=["ddim"], timing={"batch_size": 2, "seconds": 0.5}), False
    )):  # fmt: skip
        run_suite(again, tmp_path / "run", quiet=True)
        assert (json.loads((tmp_path / "run" / "timing.json").read_bytes()) == stored) is same


def test_altered_weights_are_refused_even_beside_the_model_they_were_copied_from(checkpoint, tmp_path):
    """The card still states the old hashes, so both would have one identity."""
    shutil.copytree(checkpoint, tmp_path / "copy")
    with open(tmp_path / "copy" / "unet" / "diffusion_pytorch_model.safetensors", "ab") as file:
        file.write(b"x")
    models = [{"id": "tiny", "source": str(checkpoint)}, {"id": "ours", "source": str(tmp_path / "copy")}]
    with pytest.raises(WeightsError, match="sha256"):
        run_suite(suite(checkpoint, models=models), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_run_folder_belongs_to_one_suite(checkpoint, tmp_path):
    run_suite(suite(checkpoint, samplers=["ddim"]), tmp_path / "run", quiet=True)
    before = (tmp_path / "run" / results.PARQUET).read_bytes()
    with pytest.raises(UsageError, match="holds the run of suite 'tiny', not of 'other'"):
        run_suite(suite(checkpoint, name="other"), tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / results.PARQUET).read_bytes() == before


@pytest.mark.parametrize("error", [ValueError("oops"), ZeroDivisionError("by zero")])
def test_any_error_of_one_cell_is_its_reason_and_the_others_go_on(checkpoint, tmp_path, monkeypatch, error):
    def run_shard(model, cell, *arguments):
        if cell.sampler == "ddpm":
            raise error
        return execute.run_shard(model, cell, *arguments)

    monkeypatch.setattr(sampling, "run_shard", run_shard)
    summary = run_suite(suite(checkpoint, samplers=["ddpm", "ddim"]), tmp_path / "run", quiet=True)
    table = results.read(tmp_path / "run").set_index("sampler")
    assert len(summary.failed) == 2
    assert set(table.loc["ddpm", "reason"]) == {f"{type(error).__name__}: {error}"}
    assert set(table.loc["ddim", "status"]) == {"ok"}
