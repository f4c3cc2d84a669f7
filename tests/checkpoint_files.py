"""Tensors of many kinds, and how files of them are read in tests: with the hashes that they have."""

import hashlib

import torch

from diffbench.models.weights import read_tensors

TENSORS = {
    "conv.weight": torch.randn(3, 2, 5),
    "half": torch.randn(7).half(),
    "brain": torch.randn(2, 3).bfloat16(),
    "double": torch.randn(1, 1).double(),
    "eighth": torch.randn(3).to(torch.float8_e4m3fn),
    "mask": torch.tensor([True, False, True]),
    "steps": torch.tensor(7),
    "wide": torch.tensor([1, 2], dtype=torch.uint16),
    "none": torch.empty(0, 4),
}


def sha(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(folder, file, allow_pickle=False):
    return read_tensors(folder, file, sha(folder), allow_pickle)


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(found[name].contiguous().view(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8))
        assert found[name].is_contiguous() and found[name].device.type == "cpu" and not found[name].requires_grad
