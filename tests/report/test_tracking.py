"""A run in MLflow and Weights & Biases, written and read back by their own clients where these are installed."""

import json
import sqlite3
import struct
import sys

import pytest

from diffbench.errors import UsageError
from diffbench.report.folder import open_run
from diffbench.report.tracking import artefacts, log_to_mlflow, log_to_wandb, series

OWN_WARNINGS = pytest.mark.filterwarnings("default")  # those of the clients


def test_a_series_is_a_curve_over_evaluations(made_run):
    found = {one.name: one for one in series(open_run(made_run))}
    assert len(found) == 12
    heun = found["ddpm-mnist / heun"]
    assert [step for step, _ in heun.points] == [5, 9, 19, 49]
    cells = {c.nfe: c for c in open_run(made_run).cells if (c.model, c.sampler) == ("ddpm-mnist", "heun")}
    for _, values in heun.points:
        cell = cells[values["nfe"]]
        assert values["fid"] == cell.value("fid") and values["fid_ci_low"] == cell["fid"].low
        assert "peak_memory_mb" not in values  # missing is missing
    assert heun.params["sampler"] == "heun" and '"n":160' in heun.params["signature.fid"]
    assert [step for step, _ in found["vp-mnist / ddim"].points] == [5, 10, 20]  # the failed one has none
    assert ("results.parquet", "") in {(path.name, folder) for path, folder in artefacts(made_run)}


@pytest.mark.parametrize(("name", "log"), [("mlflow", log_to_mlflow), ("wandb", log_to_wandb)])
def test_without_the_client_it_says_what_to_install(name, log, made_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"pip install 'diffbench\[{name}\]'"):
        log(made_run, tmp_path if name == "wandb" else "sqlite://")


@OWN_WARNINGS
def test_mlflow_has_the_runs_numbers(made_run, tmp_path, diffbench):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/t.db"
    code, out, err = diffbench("export", str(made_run), "--mlflow", uri)
    assert code == 0 and "MLflow run" in out, err
    client = MlflowClient(uri)
    runs = {
        run.info.run_name: run for run in client.search_runs([client.get_experiment_by_name("made-up").experiment_id])
    }
    assert len(runs) == 13
    heun = runs["vp-mnist / heun"]
    logged = [(m.step, m.value) for m in client.get_metric_history(heun.info.run_id, "fid")]
    assert logged == [(step, values["fid"]) for step, values in _series(made_run, "vp-mnist / heun").points]
    assert heun.data.params["sampler"] == "heun" and heun.info.status == "FINISHED"
    assert heun.data.tags["mlflow.parentRunId"] == runs[made_run.name].info.run_id
    assert {"results.parquet", "suite.yaml"} <= {f.path for f in client.list_artifacts(runs[made_run.name].info.run_id)}
    with sqlite3.connect(tmp_path / "t.db") as base:
        assert base.execute("select count(*) from runs").fetchone() == (13,)
    code, _, err = diffbench("export", str(made_run), "--mlflow", "nosuch://x")
    assert code == 2 and "Traceback" not in err


@OWN_WARNINGS
def test_wandb_has_the_runs_numbers_offline(made_run, tmp_path, diffbench):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2 as protocol

    code, out, err = diffbench("export", str(made_run), "--wandb", "--out", "off")
    assert code == 0 and len(out.splitlines()) == 13, err
    fids = {}
    for file in (tmp_path / "off" / "wandb").glob("offline-run-*/*.wandb"):
        name, values = None, []
        for data in records(file.read_bytes()):
            record = protocol.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "run":
                name = record.run.display_name
            if record.WhichOneof("record_type") == "history":
                items = {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
                values.append((items["nfe"], items["fid"]))
        fids[name] = values
    wanted = [(values["nfe"], values["fid"]) for _, values in _series(made_run, "vp-mnist / heun").points]
    assert fids["vp-mnist / heun"] == wanted and fids["report"] == []


def records(data):
    """Those of a log as LevelDB writes it, after seven bytes: in blocks, each part with checksum, size and kind."""
    place, whole = 7, b""
    while place < len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        size, kind = struct.unpack_from("<HB", data, place + 4)
        if kind == 0:
            return
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):
            yield whole
            whole = b""


def _series(run, name):
    return next(one for one in series(open_run(run)) if one.name == name)
