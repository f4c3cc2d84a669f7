"""What ``doctor`` finds, on machines that lack or have something."""

import json
import shutil
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from tiny_model import write_checkpoint
from tiny_run import tiny_suite

from diffbench import shipped
from diffbench.runner import doctor, machine
from diffbench.runner.doctor import examine
from diffbench.scoring.weights import FILES, INCEPTION, hash_of


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch, tmp_path):
    """No weights of this machine, and no driver."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("DIFFBENCH_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setitem(sys.modules, "pynvml", None)


def by_name(found, group):
    return {one.name: one for one in found if one.group == group}


def test_a_sound_installation_is_fine(diffbench):
    found = examine()
    assert not [one for one in found if one.state == "wrong"]
    models = by_name(found, "models")
    assert set(models) == set(shipped.model_names()) and {one.state for one in models.values()} == {"ok"}
    weights = shipped.reference_models() / "mnist-features" / "model.safetensors"
    assert by_name(found, "extractors")["mnist-features"].sha256 == hash_of(weights)
    mnist = json.loads((shipped.reference_models() / "references" / "mnist.json").read_text())
    assert by_name(found, "references")["mnist"].sha256 == mnist["sha256"]
    assert by_name(found, "packages")["torch"].detail == metadata.version("torch")
    absent = by_name(found, "extractors")[INCEPTION]
    assert absent.state == "absent" and all(
        word in absent.advice for word in (FILES[INCEPTION].name, "6726825d", "https")
    )
    code, out, err = diffbench("doctor")
    assert (code, err) == (0, "") and out.endswith("Fine.\n") and "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 100
    code, out, err = diffbench("doctor", "--json")
    assert (code, err) == (0, "") and {row["name"] for row in json.loads(out)} == {one.name for one in found}


def test_altered_and_missing_files_are_named(diffbench, monkeypatch, tmp_path):
    shutil.copytree(shipped.reference_models(), tmp_path / "models", ignore=shutil.ignore_patterns("training"))
    monkeypatch.setattr(shipped, "reference_models", lambda: tmp_path / "models")
    weights = next((tmp_path / "models" / "ddpm-mnist").rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    next((tmp_path / "models" / "ldm-mnist").rglob("*.safetensors")).unlink()
    for name in ("mnist-features/model.safetensors", "references/mnist.safetensors"):
        (tmp_path / "models" / name).write_bytes(b"other")
    code, out, err = diffbench("doctor")
    assert code == 3 and err == "4 things to mend: ddpm-mnist, ldm-mnist, mnist-features, mnist\n"
    assert out.count("sha256 is") == 3 and "can't be read: No such file" in " ".join(out.split())


def test_what_a_suite_needs_is_needed(diffbench, monkeypatch, tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    card = (checkpoint / "card.yaml").read_text()
    (checkpoint / "card.yaml").write_text(
        card.replace("extractor: mnist-features", f"extractor: {INCEPTION}").replace(
            "reference: mnist", "reference: mine.json"
        )
    )
    suite = tiny_suite(checkpoint, metrics=["kid"], run={"device": "cuda:1"}, samples=1000)
    found = examine(suite, tmp_path)
    wrong = {one.name for one in found if one.state == "wrong"}
    assert wrong == {INCEPTION, "mine", "cuda"}
    (model,) = by_name(found, "models").values()  # not the shipped ones
    assert model.state == "ok" and model.detail.startswith("2 files")
    assert "the suite takes" in by_name(found, "disk")["run folders"].detail
    free = SimpleNamespace(free=doctor.LEAST_DISK - 1)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: free)
    assert by_name(examine(suite, tmp_path), "disk")["run folders"].state == "wrong"


def test_a_file_of_the_right_name_that_is_another_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setenv("DIFFBENCH_WEIGHTS", str(tmp_path))
    (tmp_path / FILES[INCEPTION].name).write_bytes(b"hello")
    found = by_name(examine(), "extractors")[INCEPTION]
    assert found.state == "wrong" and "sha256 is" in found.advice


@pytest.mark.parametrize(
    ("requirement", "extra", "state", "words"),
    [
        ("torch>=2.9", "", "ok", metadata.version("torch")),
        ("torch>=999", "", "wrong", "but diffbench needs >=999"),
        ("torch<1", "hub", "wrong", "but diffbench needs <1"),
        ("no-such-package>=1", "", "wrong", "not installed"),
        ("no-such-package>=1", "gpu", "absent", "for diffbench[gpu]"),
    ],
)
def test_packages_are_held_to_the_requirements(requirement, extra, state, words):
    found = doctor._package(Requirement(requirement), extra)
    assert found.state == state and words in found.detail
    assert (found.advice == "") == (state == "ok")


class Nvml:
    """The part of NVML that is asked: two devices, the second in use."""

    class NVMLError(Exception):
        """As in nvidia-ml-py."""

    def __init__(self, told=True):
        self.told = told

    def nvmlInit(self):  # noqa: N802
        if self.told is None:
            raise self.NVMLError("no driver")

    def nvmlShutdown(self):  # noqa: N802
        pass

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return f"device {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        return SimpleNamespace(total=10**10, free=(1 + handle) * 10**9)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):  # noqa: N802
        if not self.told:
            raise self.NVMLError("not supported")
        process = SimpleNamespace(pid=machine.os.getpid(), usedGpuMemory=1)
        other = SimpleNamespace(pid=7, usedGpuMemory=None)
        return [process, *([SimpleNamespace(pid=9, usedGpuMemory=3 * 10**9), other] if handle else [])]

    def nvmlSystemGetProcessName(self, pid):  # noqa: N802
        if pid == 7:
            raise self.NVMLError("gone")
        return "/usr/bin/python3.11 train.py"


def test_other_users_of_a_device_are_told(monkeypatch):
    assert machine.gpus() is None, "no nvidia-ml-py"
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    first, second = machine.gpus()
    assert (first.name, first.memory, first.free, first.users) == ("device 0", 10**10, 10**9, ())
    assert second.users == (machine.User(9, "python3.11", 3 * 10**9), machine.User(7, "?", None))
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(told=False))
    assert machine.gpus()[1].users == ()
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(told=None))
    assert machine.gpus() is None

    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    cuda = SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 2, mem_get_info=lambda index: (5 * 10**9, 10**10),
        get_device_capability=lambda index: (9, 0), get_device_name=lambda index: f"device {index}",
    )  # fmt: skip
    monkeypatch.setattr("torch.cuda", cuda)
    found = by_name(examine(), "devices")
    assert found["cuda:0"].detail == "device 0, 5 GB of 10 GB free, capability 9.0" and not found["cuda:0"].advice
    assert found["cuda:1"].detail.endswith("; also used by python3.11 (9, 3 GB), ? (7)")
    assert found["cuda:1"].state == "ok" and "not to be trusted" in found["cuda:1"].advice
    assert "other users" not in found


def test_a_published_suite_says_where_its_weights_are_to_be_had(diffbench, monkeypatch, tmp_path):
    monkeypatch.setenv("DIFFBENCH_WEIGHTS", str(tmp_path / "weights"))
    code, out, err = diffbench("doctor", "published/ddpm-cifar10", "--json")
    found = {row["name"]: row for row in json.loads(out)}
    assert code == 3 and "Traceback" not in err
    both = found["ddpm-cifar10, clipped"]  # models of the suite that are of one checkpoint
    assert both["state"] == "wrong" and "can be had from" in json.dumps(both)
