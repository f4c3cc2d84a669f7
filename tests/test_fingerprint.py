"""A hash of code and all that it refers to: equal for equal objects, other for others, none where it can't be said."""

import functools
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

from diffbench.fingerprint import fingerprint, why_unknown

FACTOR = 2.0


def scaled(x):
    return FACTOR * helper(x)


def helper(x):
    return torch.tanh(x)


def closing(value):
    def inner(x, power=1.0):
        return x * value**power

    return inner


def net(seed=0, width=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, width), nn.SiLU())


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        return scaled(self.layer(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda: scaled, lambda: closing(3), lambda: closing(np.arange(3)), lambda: functools.partial(closing, 2),
        net, Own, lambda: (1, "a", None, {"b": 2.5}), lambda: torch.arange(4).bfloat16(), lambda: torch.relu,
        lambda: Own().forward,
    ],
)  # fmt: skip
def test_equal_objects_have_equal_hashes(make):
    first, second = fingerprint(make()), fingerprint(make())
    assert first == second and len(first) == 64 and why_unknown(make()) == ""


def test_what_differs_in_anything_differs_in_its_hash(monkeypatch):
    objects = [
        scaled, helper, closing(3), closing(3.0), closing("3"), closing(np.arange(3)), closing(np.arange(3.0)), net(),
        net(1), net(0, 4), net().double(), torch.zeros(2), torch.zeros(2, 1), torch.zeros(1, 2), [1, 2], (1, 2), {1: 2},
        {2: 1}, Own(), functools.partial(closing, 2), functools.partial(closing, 3), torch.float32, torch.float64,
        torch.relu, torch.tanh, sorted, len, [[]], [[], []], True, 1, 1.0, "1", b"1",
    ]  # fmt: skip
    made = [fingerprint(one) for one in objects]
    assert None not in made and len(set(made)) == len(objects)
    before = fingerprint(scaled)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 3.0)
    assert fingerprint(scaled) != before  # a global that it reads
    monkeypatch.setattr(sys.modules[__name__], "helper", torch.sin)
    assert len({before, fingerprint(scaled), fingerprint(Own())}) == 3


def test_a_changed_weight_is_another_network():
    one = net()
    before = fingerprint(one)
    with torch.no_grad():
        one[0].weight[0, 0] += 1e-7
    assert fingerprint(one) != before
    assert fingerprint(net().eval()) == fingerprint(net())  # a mode is no other network


def test_a_function_of_a_package_is_known_with_what_it_closes_over():
    from diffbench.diffusion.denoiser import NetworkDenoiser
    from diffbench.diffusion.schedule import VP

    def denoiser(prediction):
        return NetworkDenoiser(net(), VP(0.1, 20.0), prediction)

    assert fingerprint(denoiser("epsilon")) == fingerprint(denoiser("epsilon")) is not None
    assert fingerprint(denoiser("epsilon")) != fingerprint(denoiser("sample"))


@pytest.mark.parametrize("value", [threading.Lock(), (i for i in ()), sys.stdout.buffer, eval("lambda x: x")])
def test_what_can_not_be_known_has_none_and_a_reason(value):
    inside = closing(value)
    assert fingerprint(inside) is None and why_unknown(inside)


def test_a_circle_ends():
    one = []
    one.append(one)
    assert fingerprint(one) == fingerprint(one) is not None


def test_another_process_finds_the_same(tmp_path):
    (tmp_path / "own_code.py").write_text("import torch\nK = 2\ndef fn(x):\n    return torch.tanh(K * x)\n")
    code = "from diffbench.fingerprint import fingerprint; import own_code; print(fingerprint(own_code.fn))"
    made = [
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert made[0] == made[1] and len(made[0].strip()) == 64
