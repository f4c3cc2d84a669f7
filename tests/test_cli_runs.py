"""``plan``, ``run``, ``status``, ``merge`` and ``cache`` as they are typed."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from diffusers.models.unets.unet_2d import UNet2DModel
from tiny_model import write_checkpoint
from tiny_run import count_shards, run, tree

from diffbench import results
from diffbench.report import page
from diffbench.status.stored import Part
from diffbench.suite.read import read_suite

SUITE = """
name: tiny
models: [{{id: tiny, source: "{checkpoint}"}}]
samplers: [ddim, ddpm, {{id: noisy, sampler: ddim, eta: 1.0}}, euler-maruyama]
budgets: {{nfe: [2]}}
samples: {{n: 5, shard: 2}}
metrics: [is]
run: {{device: cpu, batch_size: 2, keep: {{samples: 3}}}}
timing: {{seconds: 0}}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with ``suite.yaml`` and its run under ``runs/tiny``, without a report."""
    folder = tmp_path_factory.mktemp("cli")
    checkpoint = write_checkpoint(folder / "checkpoint")
    (folder / "suite.yaml").write_text(SUITE.format(checkpoint=checkpoint))
    run(read_suite(folder / "suite.yaml"), folder / "runs" / "tiny")
    return folder


@pytest.fixture
def here(finished, diffbench, tmp_path):
    """A copy of it as the working folder."""
    shutil.copy(finished / "suite.yaml", tmp_path)
    shutil.copytree(finished / "runs", tmp_path / "runs")
    return tmp_path


@pytest.fixture
def no_report(monkeypatch):
    """Drawing takes longer than all the rest of so small a run."""
    monkeypatch.setattr(page, "draw", lambda folder: (folder / "report.html").touch() or [])


def columns(out):
    """Words of the lines of a table by sampler."""
    names = ("ddim", "ddpm", "noisy", "euler-maruyama")
    return {name: line.split() for line in reversed(out.splitlines()) for name in names if f" {name} " in line}


def test_plan_before_and_after_a_run(diffbench, here):
    before = tree(here)
    code, out, err = diffbench("plan", "./suite.yaml", "--out", "elsewhere/new")
    assert (code, err) == (0, "")
    lines = columns(out)
    assert lines["ddim"] == ["tiny", "ddim", "nfe", "2", "2", "5", "10", "?", "missing"]
    assert lines["ddpm"][-4:] == ["5", "10", "?", "missing"]
    assert lines["noisy"][-6:] == ["–", "–", "–", "same", "as", "ddpm/nfe=2"]
    assert lines["euler-maruyama"][-4:] == ["–", "–", "–", "skipped"]
    assert "4 cells (2 missing, 1 same, 1 skipped); to do: 10 samples, 20 evaluations" in out
    assert "disk when done: " in out
    assert "time: unknown; no earlier run tells how fast tiny is at this batch size; --probe measures it" in out

    code, out, err = diffbench("plan", "./suite.yaml")
    assert (code, err) == (0, "")
    assert "4 cells (2 done, 1 same, 1 skipped); to do: 0 samples, 0 evaluations" in out and "time:" not in out

    code, out, _ = diffbench("plan", "./suite.yaml", "--set", "samples.n=8")
    assert "4 cells (2 partly, 1 same, 1 skipped); to do: 8 samples, 16 evaluations" in out
    assert "2 of 4 shards" in out and "2 cells partly: 2 of 4 shards: not sampled yet" in out
    assert re.search(r"time: about [0-9.e-]+ m?s on .+ \(by earlier runs\)", out)

    code, out, _ = diffbench("plan", "./suite.yaml", "--set", "run.keep.samples=5", "--only", "sampler=ddim")
    assert "1 cell (1 partly)" in out and "fewer images were kept than are wanted now" in out
    assert tree(here) == before


def test_plan_as_rows(diffbench, here):
    rows = json.loads(diffbench("plan", "./suite.yaml", "--json", "--set", "samples.n=6")[1])
    by = {row["sampler"]: row for row in rows}
    assert [row["state"] for row in rows] == ["partly", "partly", "same", "skipped"]
    assert (by["ddim"]["shards"], by["ddim"]["shards_done"], by["ddim"]["samples_missing"]) == (3, 2, 2)
    assert by["ddim"]["evaluations_missing"] == 4 and by["ddim"]["seconds"] > 0
    assert by["noisy"]["same_as"] == "tiny/ddpm/nfe=2" and by["noisy"]["cell"] == by["ddpm"]["cell"]
    assert by["noisy"]["seconds"] == by["noisy"]["samples_missing"] == 0
    assert "SDE" in by["euler-maruyama"]["reason"] and by["euler-maruyama"]["nfe"] is None


def test_plan_with_a_probe_measures_and_writes_nothing(diffbench, here):
    before = tree(here)
    code, out, _ = diffbench("plan", "./suite.yaml", "--out", "new", "--probe", "--json", "--device", "cpu")
    seconds = {row["sampler"]: row["seconds"] for row in json.loads(out)}
    assert code == 0 and 0 < seconds["ddim"] < 10 and seconds["ddim"] == seconds["ddpm"]
    assert seconds["noisy"] == seconds["euler-maruyama"] == 0
    out = diffbench("plan", "./suite.yaml", "--out", "new", "--probe", "--device", "cpu")[1]
    assert re.search(r"time: about [0-9.e-]+ s on .+ \(by a probe of this device\)", out)
    assert tree(here) == before


def test_status_says_what_is_there_by_its_exit_code(diffbench, here):
    before = tree(here)
    for verify in ([], ["--verify"]):
        code, out, err = diffbench("status", "runs/tiny", *verify)
        assert (code, err) == (0, "") and "runs/tiny: 2 cells, all sampled" in out
    assert tree(here) == before

    features = sorted((here / "runs" / "tiny" / "cells").glob("*/shard-*.mnist-features.safetensors"))
    whole = features[0].read_bytes()
    features[0].write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert diffbench("status", "runs/tiny")[0] == 0, "sizes alone do not tell"
    code, out, err = diffbench("status", "runs/tiny", "--verify")
    assert code == 4 and f"{features[0].relative_to(here)}: does not match the sha256" in err
    assert "1 damaged file; diffbench run runs/tiny/suite.yaml --out runs/tiny makes them again" in err
    assert "runs/tiny: 1 of 2 cells are not complete" in out

    features[0].write_bytes(whole)
    features[0].with_name(f"{features[0].name.partition('.')[0]}.json").unlink()
    code, out, err = diffbench("status", "runs/tiny")
    assert code == 3 and "2 of 3 shards" in out and err == "the run is not complete\n"
    code, out, err = diffbench("status", "runs/tiny", "--json")
    assert code == 3 and "partly" in {row["state"] for row in json.loads(out)} and "not complete" in err
    assert diffbench("status", "nowhere")[0] == 4 and "not a run folder" in diffbench("status", "nowhere")[2]


def test_no_state_of_an_unfinished_run_passes_for_damage(diffbench, here, no_report, monkeypatch):
    for index, arguments in enumerate((["--shard", "0/2"], [])):
        if not arguments:
            monkeypatch.setattr("diffbench.runner.engine._Run.write_results", _interrupted)
        out = f"parts/{index}"
        diffbench("run", "./suite.yaml", "--out", out, "--quiet", *arguments)
        code, _, err = diffbench("status", out, "--verify")
        assert code == (3 if arguments else 0), err
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert diffbench("merge", "merged", "parts/0")[0] == 0
    assert diffbench("status", "merged", "--verify")[0] == 3
    grown = ["run", "./suite.yaml", "--quiet", "--set", "samples.n=6", "--shard", "3/3"]
    assert diffbench(*grown)[0] == 0
    code, _, err = diffbench("status", "runs/tiny", "--verify")
    assert code == 3 and err == "the run is not complete\n"


def _interrupted(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("first", [0, 1])
def test_the_parts_of_a_job_array_make_every_shard_once(diffbench, here, no_report, monkeypatch, first):
    made = count_shards(monkeypatch)
    for index in range(first, first + 4):
        code, out, err = diffbench("run", "./suite.yaml", "--out", "array", "--quiet", "--shard", f"{index}/4")
        assert (code, err) == (0, "") and out.startswith(f"Part {index}/4: ")
    assert len(made) == len(set(made)) == 6
    assert not (here / "array" / results.PARQUET).exists()
    assert diffbench("run", "./suite.yaml", "--out", "array", "--quiet")[0] == 0
    assert len(made) == 6
    for name in ("cells", "probes", results.PARQUET):
        path = here / "array" / name
        whole = here / "runs" / "tiny" / name
        assert (tree(path) == tree(whole)) if path.is_dir() else path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("text", ["", "3", "5/4", "-1/4", "1/0", "0/0", "1/4/2", "a/b", "1.5/4", "1/9999999", "١/٢x"])
def test_a_part_that_is_none_is_one_clear_line(diffbench, here, text):
    before = tree(here)
    code, out, err = diffbench("run", "./suite.yaml", "--shard", text)
    assert (code, out) == (2, "") and err.count("\n") == 1 and "expected I/N" in err
    assert tree(here) == before


def test_some_cells_of_a_complete_run_keep_the_table_whole(diffbench, here, no_report):
    before = (here / "runs" / "tiny" / results.PARQUET).read_bytes()
    code, out, _ = diffbench("run", "./suite.yaml", "--quiet", "--only", "sampler=ddim")
    assert code == 0 and "nothing was sampled" in out
    assert (here / "runs" / "tiny" / results.PARQUET).read_bytes() == before

    shutil.rmtree(here / "runs" / "tiny" / "cells" / _cell(diffbench, "ddpm"))
    assert diffbench("run", "./suite.yaml", "--quiet", "--only", "sampler=ddim")[0] == 0
    table = results.read(here / "runs" / "tiny")
    assert set(table["sampler"]) == {"ddim"}, "an incomplete cell that was not asked for is not in the table"


def _cell(diffbench, sampler):
    rows = json.loads(diffbench("plan", "./suite.yaml", "--json")[1])
    return next(row["cell"] for row in rows if row["sampler"] == sampler)


def test_a_changed_network_is_one_clear_line_and_force_goes_on(diffbench, here, no_report, monkeypatch):
    forward = UNet2DModel.forward
    with monkeypatch.context() as patch:
        patch.setattr(UNet2DModel, "forward", lambda self, *a, **k: (forward(self, *a, **k)[0] * 1.001,))
        before = tree(here)
        code, out, err = diffbench("run", "./suite.yaml", "--quiet")
        assert (code, out) == (2, "") and err.count("\n") == 1
        assert err.startswith("runs/tiny: the model tiny does not answer as it did") and "--force" in err
        assert tree(here) == before
        assert diffbench("run", "./suite.yaml", "--quiet", "--force")[0] == 0
        assert tree(here / "runs" / "tiny" / "cells") != tree(here / "runs")
    code, _, err = diffbench("run", "./suite.yaml", "--quiet")
    assert code == 2 and "does not answer" in err


def test_a_weight_changed_in_place_is_refused(diffbench, here, finished, tmp_path):
    shutil.copytree(finished / "checkpoint", here / "checkpoint")
    text = (here / "suite.yaml").read_text().replace(str(finished / "checkpoint"), "./checkpoint")
    (here / "suite.yaml").write_text(text)
    weights = here / "checkpoint" / "unet" / "diffusion_pytorch_model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    before = tree(here)
    code, _, err = diffbench("run", "./suite.yaml", "--quiet")
    assert code == 2 and err.count("\n") == 1 and "diffusion_pytorch_model.safetensors: sha256 is" in err
    assert tree(here) == before


def test_a_damaged_figure_is_found_and_drawn_again(diffbench, here, monkeypatch):
    drawn = []

    def draw(folder):
        drawn.append(folder)
        (folder / "report.html").write_text("page")
        return [folder / "report.html"]

    monkeypatch.setattr(page, "draw", draw)
    command = ["run", "./suite.yaml", "--quiet"]
    assert diffbench(*command)[0] == 0 and len(drawn) == 1
    assert diffbench(*command)[0] == 0 and len(drawn) == 1
    (here / "runs" / "tiny" / "report.html").write_text("pag!")
    assert diffbench("status", "runs/tiny", "--verify")[0] == 4
    assert diffbench(*command)[0] == 0 and len(drawn) == 2
    assert diffbench("status", "runs/tiny", "--verify")[0] == 0
    (here / "runs" / "tiny" / "report.html").unlink()
    assert "report.html: missing" in diffbench("status", "runs/tiny", "--verify")[2]


def test_the_report_states_the_error_of_the_estimate(diffbench, here):
    code, _, err = diffbench("run", "./suite.yaml", "--out", "reported", "--only", "sampler=ddim")
    assert code == 0 and re.search(r"5 samples in 1 cell, 10 evaluations: about \S+ s by a probe of this device", err)
    said = re.search(
        r"Sampling was expected to take (\S+) s when it began; it took (\S+) s, (\d+)% (more|less)\.",
        (here / "reported" / "report.md").read_text(),
    )
    session = json.loads((here / "reported" / "provenance.json").read_text())["sessions"][0]
    estimate = session["estimate"]
    assert estimate["actual"] == session["seconds"]["sampling"] and estimate["basis"] == "a probe of this device"
    error = estimate["actual"] / estimate["seconds"] - 1
    assert int(said[3]) == pytest.approx(abs(100 * error), abs=0.51)
    assert said[4] == ("more" if error >= 0 else "less")


def test_merge_and_cache_from_the_command_line(diffbench, here):
    suite = read_suite(here / "suite.yaml")
    for index in (0, 1):
        run(suite, here / f"part{index}", part=Part(index, 2))
    code, out, err = diffbench("merge", "whole", "part0", "part1")
    assert (code, err) == (0, "") and "whole: 6 shards copied, 0 were there already" in out
    assert "diffbench run whole/suite.yaml --out whole" in out
    broken = sorted((here / "part0" / "cells").glob("*/shard-*.images.safetensors"))[0]
    broken.write_bytes(b"")
    code, _, err = diffbench("merge", "other", "part0", "part1")
    assert code == 3 and err.startswith("left out: ") and broken.name in err and "1 shards were left out" in err
    assert diffbench("merge", "whole", "whole")[0] == 2 and diffbench("merge", "whole")[0] == 2
    code, out, _ = diffbench("cache", "why", "tiny/ddim/nfe=2")
    assert code == 0 and "3 of 3 shards are there and whole" in out
    assert diffbench("cache", "why", "tiny/dimm/nfe=2")[0] == 2
    assert diffbench("cache", "gc", "runs/tiny")[:2] == (0, "nothing to free\n")
    code, out, _ = diffbench("cache", "gc", "runs/tiny", "--features", "--dry-run")
    assert re.fullmatch(r"features of scored cells: 6 files, \S+ kB would be freed\n", out)
    assert re.search(r"6 files, \S+ kB freed", diffbench("cache", "gc", "runs/tiny", "--features")[1])


def test_a_run_whose_features_were_freed_is_complete_until_a_score_needs_them(diffbench, here, no_report):
    before = (here / "runs" / "tiny" / results.PARQUET).read_bytes()
    assert diffbench("cache", "gc", "runs/tiny", "--features")[0] == 0
    for verify in ([], ["--verify"]):
        code, out, _ = diffbench("status", "runs/tiny", *verify)
        assert code == 0 and "2 cells, all sampled" in out
    assert "to do: 0 samples" in diffbench("plan", "./suite.yaml")[1]
    assert diffbench("run", "./suite.yaml", "--quiet", "--only", "sampler=ddim")[0] == 0
    assert (here / "runs" / "tiny" / results.PARQUET).read_bytes() == before
    for more in ("metrics=[is,kid]", "samples.n=6", "metrics=[{metric: is, splits: 2}]"):
        out = diffbench("plan", "./suite.yaml", "--set", more)[1]
        assert f"to do: {12 if 'n=6' in more else 10} samples" in out, (more, out)
    assert "freed by cache gc" in out
    assert diffbench("run", "./suite.yaml", "--quiet", "--set", "metrics=[is,kid]")[0] == 0
    assert diffbench("status", "runs/tiny")[0] == 0


def test_commands_that_read_and_copy_do_not_import_torch(here):
    calls = [
        "plan ./suite.yaml", "plan ./suite.yaml --json --out new", "status runs/tiny", "status runs/tiny --verify",
        "merge merged runs/tiny", "cache why tiny/ddim/nfe=2", "cache gc runs/tiny --features",
    ]  # fmt: skip
    code = (
        "import sys; from diffbench.cli import main\n"
        f"for call in {calls!r}:\n"
        "    sys.argv = ['diffbench', *call.split()]\n"
        "    try:\n        main()\n    except SystemExit as leave:\n        assert not leave.code, (call, leave.code)\n"
        "    assert 'torch' not in sys.modules and 'diffusers' not in sys.modules, call"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=here)
    assert done.returncode == 0, done.stderr


def test_run_says_why_nothing_was_scored(diffbench, no_report, tmp_path):
    (tmp_path / "suite.yaml").write_text(
        "name: plain\nmodels: [gaussian-mixture]\nsamplers: [ddim]\nbudgets: {nfe: [2]}\nsamples: 4\n"
        "metrics: [fid, is]\nrun: {device: cpu}\ntiming: {seconds: 0}\n"
    )
    code, out, err = diffbench("run", "suite.yaml", "--quiet")
    assert code == 0, err
    why = "gaussian-mixture has no feature extractor: its samples are no images of a data set"
    assert f"\nNo cell was scored: {why}.\n" in out and "FID" not in out
