from collections import OrderedDict

import pytest
import torch
from checkpoint_files import TENSORS, read, same, sha
from torch.torch_version import TorchVersion

from diffbench.errors import CardError, WeightsError
from diffbench.models.pickled import read_checkpoint
from diffbench.models.weights import read_tensors

OLD_DTYPES = {name: tensor for name, tensor in TENSORS.items() if name not in ("eighth", "wide")}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("suffix", ["pt", "pth", "ckpt", "bin"])
def test_pickled_state_dicts_come_back_as_they_were_saved(tmp_path, zipped, suffix):
    tied = torch.randn(4, 3)
    extra = {"turned": tied.t(), "tied": tied, "parameter": torch.nn.Parameter(torch.ones(2))}
    kinds = TENSORS if zipped else OLD_DTYPES  # torch itself can't read the newer ones in its old format
    state = OrderedDict({**kinds, **extra})
    state._metadata = {"": {"version": 1}}
    torch.save(state, tmp_path / f"w.{suffix}", _use_new_zipfile_serialization=zipped)
    found = read(tmp_path, f"w.{suffix}", allow_pickle=True)
    assert type(found) is dict
    same(found, {**kinds, **extra, "parameter": torch.ones(2)})


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_are_plain_containers(tmp_path, zipped):
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    shared = torch.ones(3)
    checkpoint = {
        "model": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "ema": {"shadow_params": [shared, shared[1:]], "decay": 0.999, "num_updates": 7},
        "more": ("a", None, True, torch.Size([1, 2])),
    }
    torch.save(checkpoint, tmp_path / "c.pt", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path, "c.pt", sha(tmp_path), True)
    same(found["model"], network.state_dict())
    first, second = found["ema"].pop("shadow_params")
    assert torch.equal(first, shared) and torch.equal(second, shared[1:])
    assert found["ema"] == {"decay": 0.999, "num_updates": 7}
    assert found["more"] == ("a", None, True, (1, 2)) and type(found["more"][3]) is tuple
    assert found["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    assert torch.equal(found["optimizer"]["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    with pytest.raises(WeightsError, match='not a dictionary of tensors alone; it has "model", "optimizer", "ema", "m'):
        read(tmp_path, "c.pt", allow_pickle=True)


def test_only_a_dictionary_of_named_tensors_is_a_state_dict(tmp_path):
    for held, says in (([torch.ones(1)], "but a list"), ({1: torch.ones(1)}, "alone; it has 1$"), (5, "but a int")):
        torch.save(held, tmp_path / "w.pt")
        with pytest.raises(WeightsError, match=says):
            read(tmp_path, "w.pt", allow_pickle=True)


def test_pickles_are_read_only_where_allowed(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pt")
    for reading in (read_tensors, read_checkpoint):
        with pytest.raises(
            WeightsError, match=r"w.pt: is a pickle, .*; convert it to safetensors.* pass --allow-pickle"
        ):
            reading(tmp_path, "w.pt", sha(tmp_path), False)
    with pytest.raises(CardError, match="no sha256 for w.pt"):
        read_tensors(tmp_path, "w.pt", {}, True)
    with pytest.raises(WeightsError, match="the card says 000000000000…"):
        read_tensors(tmp_path, "w.pt", {"w.pt": "0" * 64}, True)
    for name in ("w.pkl", "w.npz", "pytorch_model.bin.index.json", "w"):
        with pytest.raises(WeightsError, match="no weights are read from such files, but from .safetensors, .pt"):
            read_tensors(tmp_path, name, {name: "0" * 64}, True)


@pytest.mark.parametrize("version", ["2.9.1", "2.6.0+cu124", "2.10.0a0"])
def test_an_old_torch_reads_no_pickles(tmp_path, monkeypatch, version):
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pt")
    monkeypatch.setattr(torch, "__version__", TorchVersion(version))
    with pytest.raises(WeightsError, match=r"with torch 2\.10 or later, this is 2\."):
        read(tmp_path, "w.pt", allow_pickle=True)
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.10.0+cpu"))
    assert read(tmp_path, "w.pt", allow_pickle=True)


def test_files_are_not_mapped_even_where_torch_maps_by_default(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pt")
    with torch.utils.serialization.config.patch("load.mmap", True):
        same(read(tmp_path, "w.pt", allow_pickle=True), {"a": torch.ones(1)})
